"""V-JEPA 2.1's loss, slow: loops over the equations [J1] to [J11] of `docs/recipes_next.md`, token by token."""

import math
from typing import Any

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Grid
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.masks.masking import block_mask
from surgstream.trainer.objectives.vjepa import VJepa


def slow_levels(encoder: Encoder, clip: Tensor, visible: Tensor | None) -> list[Tensor]:
    """The normed tokens (N, D) of one clip after each of its levels, block by block, [J1] and [J2]."""
    shown = None if visible is None else visible[None]
    x = encoder.embedding(clip[None], shown)
    tokens = range(x.shape[1]) if visible is None else visible.tolist()
    rotation = None if encoder.rope is None else encoder.rope.tables[:, None, list(tokens)]

    norms = {len(encoder.blocks): encoder.norm}
    norms |= {level: encoder.level_norms[i] for i, level in enumerate(encoder.levels[:-1])}
    found = []
    for number, block in enumerate(encoder.blocks, start=1):
        x = block(x, None, rotation)
        if number in norms:
            found.append(norms[number](x)[0])
    return found


def slow_target(objective: VJepa, clip: Tensor) -> list[list[Tensor]]:
    """h of one clip: of each token, its levels, each of mean 0 and deviation 1."""
    with torch.no_grad():
        levels = slow_levels(objective.target_encoder, clip, None)
    scaled = [[(t - t.mean()) / (t.var(correction=0) + 1e-5).sqrt() for t in of] for of in levels]
    return [list(token) for token in zip(*scaled, strict=True)]


def slow_distance(grid: Grid, token: int, masked: list[int]) -> float:
    """d of one visible token, [J7]."""

    def place(number: int) -> tuple[int, int, int]:
        row = number % (grid.rows * grid.columns)
        return number // (grid.rows * grid.columns), row // grid.columns, row % grid.columns

    return min(math.dist(place(token), place(other)) for other in masked)


def slow_loss(objective: VJepa, batch: ClipBatch, ramp: float) -> Tensor:
    """[J9] and [J11] of a micro-batch, with its gradient; `ramp` is the share of lambda that holds."""
    config = objective.config
    kinds: list[tuple[bool, list[int]]] = [(False, list(range(len(batch.draws))))]
    if config.images:
        kinds = [
            (image, [i for i, still in enumerate(batch.stills) if still == image])
            for image in (False, True)
        ]

    total = torch.zeros((), dtype=torch.float64)
    for is_image, rows in kinds:
        masks: Any = config.images.masks if config.images and is_image else config.masks
        grid = Grid(1, *objective.grid[1:]) if is_image else objective.grid
        for number, blocks in enumerate(masks):
            kind = number + (len(config.masks) if is_image else 0)
            if not rows:
                continue
            visible, masked = block_mask(grid, blocks, objective.seed, kind, batch.draws[rows])
            for place, shown, hidden in zip(rows, visible, masked, strict=True):
                clip = batch.clips[place][:, :1] if is_image else batch.clips[place]
                loss = _of_clip(objective, grid, clip, shown, hidden, kind, is_image, ramp)
                weight = config.images.weights[is_image] if config.images else 1.0
                total = total + weight * loss / len(masks) / len(batch.draws)
    return total


def _of_clip(
    objective: VJepa, grid: Grid, clip: Tensor, shown: Any, hidden: Any, kind: int, is_image: bool, ramp: float
) -> Tensor:  # fmt: skip
    config = objective.config
    target = slow_target(objective, clip)
    levels = slow_levels(objective.encoder, clip, torch.from_numpy(shown))
    context = torch.cat(levels, dim=-1)[None]
    arguments = (context, torch.from_numpy(shown)[None], torch.from_numpy(hidden)[None], kind)

    if config.context is None:
        z, u = objective.predictor(*arguments, is_image=is_image)[0], None
    else:
        z, u = (each[0] for each in objective.predictor.both(*arguments, is_image=is_image))

    def distance(prediction: Tensor, token: int) -> Tensor:
        h = torch.cat(target[token])
        return sum((abs(a - b) for a, b in zip(prediction, h, strict=True)), start=h[0] * 0) / len(
            h
        )

    loss = sum((distance(z[i], t) for i, t in enumerate(hidden)), start=z[0, 0] * 0) / len(hidden)
    if u is not None and config.context:
        weight = config.context.image_weight if is_image else config.context.weight
        for i, token in enumerate(shown):
            d = slow_distance(grid, token, hidden.tolist()) if config.context.by_distance else 1.0
            loss = loss + ramp * weight * distance(u[i], token) / math.sqrt(d) / len(shown)
    return loss
