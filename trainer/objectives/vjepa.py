"""V-JEPA: prediction in the space of features, the recipe of SurgRec-JEPA.

"V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and Planning" (Assran et al., 2025), after
"Revisiting Feature Prediction for Learning Visual Representations from Video" (Bardes et al., 2024). Blocks of tokens
are hidden through all of time, by two kinds of masks in turn; a predictor predicts the averaged encoder's features:

    L = mean over masks of mean |z - h| over masked tokens, h = LayerNorm(E'(clip)), w' <- ema w' + (1 - ema) w.

The size of blocks, and the number of tokens to which clips are cut, belong to the micro-batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Grid
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.objectives.base import ObjectiveOutput
from surgstream.trainer.objectives.config import VJepaConfig
from surgstream.trainer.objectives.jepa import Jepa, Mask, TokenCount, distance_of_mean
from surgstream.trainer.objectives.masking import BlockMask, Int64, block_mask
from surgstream.trainer.objectives.tube_draws import to_device

_COUNTED_CLIPS = 480
_COUNTED_TOGETHER = 24


class VJepa(Jepa):
    """The objective.

    Args:
        config: Its numbers.
        seed: Decides masks, together with each clip's g.
    """

    def __init__(self, config: VJepaConfig, seed: int) -> None:
        super().__init__(config, seed, typical_counts(config.encoder.grid, config.masks))
        self.config = config

    def draw(self, batch: ClipBatch) -> list[Mask]:
        """Draw the blocks to hide, through all of time, for each kind of mask."""
        masks = self.config.masks
        return draw_blocks(self.grid, masks, self.seed, batch.draws, batch.clips.device)

    def losses(self, clips: Tensor, targets: Tensor, masks: list[Mask]) -> ObjectiveOutput:
        """Compute the loss, and its parts by kind of mask.

        `loss/prediction_of_mean` is the loss of each clip's mean masked target as a prediction; it goes to 0 when the
        targets collapse.
        """
        losses = []
        of_mean = []
        for kind, (visible, masked) in enumerate(masks):
            encoded = self.encoder(clips, visible)
            predicted = self.predictor(encoded, visible, masked, kind)
            true = take_tokens(targets, masked)
            losses.append(F.l1_loss(predicted.float(), true))
            of_mean.append(distance_of_mean(true))

        loss = torch.stack(losses).mean()
        metrics = {f"loss/mask_{kind}": part.detach() for kind, part in enumerate(losses)}
        metrics |= {
            "loss/prediction": loss.detach(),
            "loss/prediction_of_mean": torch.stack(of_mean).mean(),
        }
        return ObjectiveOutput(loss, metrics)


def draw_blocks(
    grid: Grid,
    kinds: Sequence[BlockMask],
    seed: int,
    draws: Int64,
    device: torch.device,
    *,
    first_kind: int = 0,
) -> list[Mask]:
    """Draw blocks to hide, through all of time, for each kind of mask.

    Args:
        grid: The clips' grid of tokens.
        kinds: The kinds of masks.
        seed: The run's seed.
        draws: (B,) draw numbers.
        device: The device of the clips.
        first_kind: Number of the first kind within its objective; each has draws of its own.
    """
    masks = []
    for kind, blocks in enumerate(kinds, start=first_kind):
        visible, masked = block_mask(grid, blocks, seed, kind, draws)
        masks.append(Mask(to_device(visible, device), to_device(masked, device)))
    return masks


def typical_counts(grid: Grid, kinds: Sequence[BlockMask]) -> list[TokenCount]:
    """The mean numbers of visible and masked tokens, by kind of mask, in micro-batches of 24, as published."""
    batches = np.arange(_COUNTED_CLIPS).reshape(-1, _COUNTED_TOGETHER)
    counts = []
    for kind, blocks in enumerate(kinds):
        drawn = [block_mask(grid, blocks, 0, kind, g) for g in batches]
        visible = np.mean([shown.shape[1] for shown, _ in drawn])
        masked = np.mean([hidden.shape[1] for _, hidden in drawn])
        counts.append(TokenCount(round(float(visible)), round(float(masked))))
    return counts


def make(config: VJepaConfig, seed: int, *, with_weights: bool) -> VJepa:
    """Make the objective; see `choice.build`."""
    return VJepa(config, seed)
