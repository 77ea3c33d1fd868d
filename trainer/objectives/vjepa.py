"""V-JEPA: prediction in the space of features, the recipe of SurgRec-JEPA; and what V-JEPA 2.1 adds, by switches.

"V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and Planning" (Assran et al., 2025), after
"Revisiting Feature Prediction for Learning Visual Representations from Video" (Bardes et al., 2024). Blocks of tokens
are hidden through all of time, by two kinds of masks in turn; a predictor predicts the averaged encoder's features:

    L = mean over masks of mean |z - h| over masked tokens, h = LayerNorm(E'(clip)), w' <- ema w' + (1 - ema) w.

The size of blocks, and the number of tokens to which clips are cut, belong to the micro-batch.

V-JEPA 2.1 (arXiv 2603.14482), by the lines of `docs/recipes_next.md`:

- `encoder.levels`: E and E' give the normed tokens of several blocks, and the predictor, which gets all of them through
  an MLP, predicts all of them: [J1] to [J6].
- `context`: visible tokens have a loss as well, by a head of their own, L_ctx = mean |u - h| / sqrt(d) with d their
  distance to the nearest masked token, and L = L_pred + lambda L_ctx with a lambda that grows: [J5], [J7] to [J9].
- `images`: a micro-batch may hold still images. They have a tokenizer, an embedding and masks of their own, and
  L = r L_image + (1 - r) L_video in the mean over clips: [J11].
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.objectives.base import NetworkUse, ObjectiveOutput
from surgstream.trainer.objectives.config import VJepaConfig
from surgstream.trainer.objectives.jepa import AveragedJepa, Seen, distance_of_mean
from surgstream.trainer.objectives.masks.block_draws import draw_blocks, typical_counts
from surgstream.trainer.objectives.masks.clip_kinds import ClipsOfKind, kinds_in
from surgstream.trainer.objectives.masks.distances import distances_to_masked
from surgstream.trainer.objectives.masks.mask import Mask
from surgstream.trainer.objectives.masks.tube_draws import to_device


class Part(NamedTuple):
    """The videos of a micro-batch, or its images, and what is drawn for them.

    Attributes:
        of: Which clips these are.
        masks: A mask of each kind.
        nearness: (b, V) float32 for each kind of mask, the weights of visible tokens; empty where they have no loss.
        context_weight: Lambda of this step, a scalar; None likewise.
    """

    of: ClipsOfKind
    masks: list[Mask]
    nearness: list[Tensor]
    context_weight: Tensor | None


class PartLosses(NamedTuple):
    """The losses of the videos of a micro-batch, or of its images: means over them.

    Attributes:
        whole: [J9].
        by_mask: (kinds,), those of masked tokens, [J6].
        of_mean: The same of each clip's mean target, as a prediction.
        context: That of visible tokens, [J8]; 0 where they have none.
    """

    whole: Tensor
    by_mask: Tensor
    of_mean: Tensor
    context: Tensor


class VJepa(AveragedJepa):
    """The objective.

    Args:
        config: Its numbers.
        seed: Decides masks, together with each clip's g.
    """

    def __init__(self, config: VJepaConfig, seed: int) -> None:
        counts = typical_counts(config.encoder.grid, config.masks)
        super().__init__(config, seed, counts, predicts_visible=config.context is not None)
        self.config = config
        self.image_grid = self.grid._replace(slices=1)
        # Of a video's loss, and of an image's
        self._weights = config.images.weights if config.images else (1.0, 1.0)

    def draw(self, batch: ClipBatch) -> list[Part]:
        """Draw the blocks to hide, through all of time: for the videos first, then for the images, if there are any."""
        return [self._draw_part(batch, of) for of in self._kinds_in(batch)]

    @torch.no_grad()
    def targets(self, batch: ClipBatch) -> list[Tensor]:
        """The targets (b, N, L D) of the videos first, then of the images, if there are any."""
        features = self._compiled_features or self.features
        return [features(of.clips(batch.clips)) for of in self._kinds_in(batch)]

    def losses(self, clips: Tensor, targets: list[Tensor], parts: list[Part]) -> ObjectiveOutput:
        """Compute the loss, and its terms.

        `loss/prediction` is that of masked tokens, by kind of mask `loss/mask_0` and so on, and `loss/context` that of
        visible ones. `loss/prediction_of_mean` is the loss of each clip's mean masked target as a prediction; it goes
        to 0 when the targets collapse. Where images are trained on, `loss/videos` and `loss/images` are what each adds
        to the loss.
        """
        found = [
            self._losses_of(part.of.clips(clips), target, part)
            for part, target in zip(parts, targets, strict=True)
        ]
        shares = [part.of.share for part in parts]

        metrics = {
            "loss/prediction": _mean(shares, [each.by_mask.detach().mean() for each in found]),
            "loss/prediction_of_mean": _mean(shares, [each.of_mean for each in found]),
        }
        if self.config.context is not None:
            metrics["loss/context"] = _mean(shares, [each.context.detach() for each in found])
        if self.config.images is not None:
            return self._weighted(parts, found, metrics)

        by_mask = found[0].by_mask.detach()
        metrics |= {f"loss/mask_{kind}": loss for kind, loss in enumerate(by_mask)}
        return ObjectiveOutput(found[0].whole, metrics)

    def networks(self) -> dict[str, NetworkUse]:
        """Those of every such objective; operations are those of the mean clip, where some are images."""
        uses = super().networks()
        images = self.config.images
        if images is None:
            return uses

        counts = typical_counts(self.image_grid, images.masks)
        num_tokens = self.image_grid.num_tokens
        of_image = {
            "encoder": sum(self.encoder.flops(count.visible, of_image=True) for count in counts),
            "predictor": sum(self.predictor.flops(*count) for count in counts),
            "target_encoder": self.encoder.flops(num_tokens, backward=False, of_image=True),
        }
        return {
            name: use._replace(
                flops=round((1 - images.share) * use.flops + images.share * of_image[name])
            )
            for name, use in uses.items()
        }

    def first_seen(self, batch: ClipBatch) -> Seen:
        """The videos alone, or, where there are none, images as videos of one picture."""
        videos = np.flatnonzero(~batch.stills)
        batch = batch.take(videos) if videos.size else batch
        whole = ClipsOfKind.all_videos(batch.clips)
        part = self._draw_part(batch, whole)
        return Seen(batch.clips, super().features(batch.clips), part.masks[0])

    def masks_among(self, draws: list[Part]) -> list[Mask]:
        """See `Jepa.masks_among`."""
        return [mask for part in draws for mask in part.masks]

    def _kinds_in(self, batch: ClipBatch) -> list[ClipsOfKind]:
        if self.config.images is None:
            return [ClipsOfKind.all_videos(batch.clips)]
        return kinds_in(batch)

    def _draw_part(self, batch: ClipBatch, of: ClipsOfKind) -> Part:
        device = batch.clips.device
        draws = batch.draws if of.rows is None else batch.draws[of.rows]
        config = self.config
        grid, kinds, first_kind = self.grid, config.masks, 0
        if of.is_image and config.images:
            grid, kinds, first_kind = self.image_grid, config.images.masks, len(config.masks)

        masks = draw_blocks(grid, kinds, self.seed, draws, device, first_kind=first_kind)
        if config.context is None:
            return Part(of, masks, [], None)

        # What is judged is judged by the whole weight
        ramp = config.context.ramp(batch.step_draw) if self.training else 1.0
        weight = config.context.image_weight if of.is_image else config.context.weight
        context_weight = to_device(np.asarray(ramp * weight, np.float32), device)

        nearness = [torch.ones_like(visible, dtype=torch.float32) for visible, _ in masks]
        if config.context.by_distance:
            nearness = [distances_to_masked(grid, *mask).rsqrt() for mask in masks]
        return Part(of, masks, nearness, context_weight)

    def _losses_of(self, clips: Tensor, targets: Tensor, part: Part) -> PartLosses:
        """The losses of videos, or of images (b, C, 1, H, W), from their targets (b, N, L D)."""
        first_token = len(self.config.masks) if part.of.is_image else 0
        by_mask = []
        of_mean = []
        context = []
        for kind, (visible, masked) in enumerate(part.masks):
            encoded = self.encoder.at_levels(clips, visible)
            arguments = (encoded, visible, masked, first_token + kind)
            true = take_tokens(targets, masked)
            of_mean.append(distance_of_mean(true))

            if part.context_weight is None:
                predicted = self.predictor(*arguments, is_image=part.of.is_image)
            else:
                predicted, shown = self.predictor.both(*arguments, is_image=part.of.is_image)
                distances = (shown.float() - take_tokens(targets, visible)).abs().mean(-1)
                context.append((part.nearness[kind] * distances).mean())
            by_mask.append((predicted.float() - true).abs().mean())

        prediction = torch.stack(by_mask)
        whole = prediction.mean()
        of_context = torch.stack(context).mean() if context else torch.zeros_like(whole)
        if part.context_weight is not None:
            whole = whole + part.context_weight * of_context
        return PartLosses(whole, prediction, torch.stack(of_mean).mean(), of_context)

    def _weighted(
        self, parts: list[Part], found: list[PartLosses], metrics: dict[str, Tensor]
    ) -> ObjectiveOutput:
        """The loss of videos and images together, each by its weight, [J11]."""
        nothing = 0.0 * self._of_one_kind()
        added = [nothing, nothing]
        for part, losses in zip(parts, found, strict=True):
            weight = self._weights[part.of.is_image]
            added[part.of.is_image] = weight * part.of.share * losses.whole

        videos, images = added
        metrics |= {"loss/videos": videos.detach(), "loss/images": images.detach()}
        return ObjectiveOutput(videos + images + nothing, metrics)

    def _of_one_kind(self) -> Tensor:
        """The sum of the weights that videos alone, or images alone, reach.

        Added without a factor of its own, it gives each of them a gradient in every micro-batch, so that all ranks
        reduce the same ones.
        """
        embedding = self.encoder.embedding
        parts = (
            embedding.projection,
            embedding.image_projection,
            embedding.modality,
            self.predictor.modality,
        )
        weights = [weight.sum() for part in parts if part for weight in part.parameters()]
        return torch.stack(weights).sum()


def _mean(shares: list[Tensor], values: list[Tensor]) -> Tensor:
    """The mean over all clips of a micro-batch, from those over each kind and their shares of it."""
    return torch.stack([share * value for share, value in zip(shares, values, strict=True)]).sum()


def make(config: VJepaConfig, seed: int, *, with_weights: bool) -> VJepa:
    """Make the objective; see `choice.build`."""
    return VJepa(config, seed)
