"""SurgMotion: V-JEPA's prediction, weighted where something moves, with a floor under the variance.

SurgMotion's paper (arXiv 2602.05638, first called UniSurg) and its code have different objectives. `unisurg` is the
paper's; this is the code's, CAIR-HKISI/SurgMotion at 0e5c678d52 (`app/vjepa_pred`). The numbers of lines are those of
`docs/recipes_next.md`, which has their sources:

    [M1-M4] m = the motion map of the clips, (B, N), see `terms/motion_map.py`
    [M5] h = LayerNorm(E'(clip)), z = P(E(clip, visible), masked), as V-JEPA
    [M6] L_jepa = mean over masked tokens i of (1 + a m_i) |z_i - h_i|; the weights are not normalised
    [M7] L_var = mean over features d of max(0, sigma_0 - sqrt(var z_d + 1e-4)), var unbiased
    [M8] L_gram = smooth L1, mean over masked i and j of a clip, of cos(z_i, z_j) from cos(h_i, h_j)
    [M9] L_cov = sum of squares off the diagonal of the (D, D) covariance of z over all masked tokens, / D
    [M10] L = L_jepa + w_var L_var + w_gram L_gram + w_cov L_cov; w' <- ema w' + (1 - ema) w

|.| is the mean absolute difference over features. Of the paper's objective nothing is here but [M5] and a floor under
the variance: no tubes, no top K, no softmax of motion, no affinities. How this departs from the code, and which switch
takes it back:

- The variance of [M7] is over the masked tokens of a clip, as a comment there says it is meant. What runs there takes
  it over the micro-batch, at each place in the list of masked tokens, which are the same tokens by chance alone
  (`variance_over: batch`, which needs two clips or more; of one clip the floor is 0).
- [M8] and [M9] are left out by default (`gram_weight`, `covariance_weight`): at that commit they cannot have run.
- A step draws one kind of mask for all ranks, where each batch of a rank there has its own (`mask_kinds: one`).
  Evaluations, and `mask_kinds: all`, take every kind, and the mean of each term over them: so held-out losses compare.

One mask token serves all kinds of masks, as in the code.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.objectives.base import NetworkUse, ObjectiveOutput
from surgstream.trainer.objectives.colours import heat, spread_over
from surgstream.trainer.objectives.config import SurgMotionConfig
from surgstream.trainer.objectives.jepa import AveragedJepa, distance_of_mean
from surgstream.trainer.objectives.masks.block_draws import draw_blocks, typical_counts
from surgstream.trainer.objectives.masks.mask import Mask
from surgstream.trainer.objectives.masks.masking import step_mask_kind
from surgstream.trainer.objectives.terms.motion_map import motion_map
from surgstream.trainer.objectives.terms.pairs import gram_loss

_VARIANCE_EPS = 1e-4


class SurgMotion(AveragedJepa):
    """The objective.

    Args:
        config: Its numbers.
        seed: Decides masks, together with each clip's g, and their kind, together with the step's first g.
    """

    against_collapse = (
        "Raise objective.variance_weight or objective.ema_decay, lower optim.base_lr, or lengthen "
        "optim.warmup_epochs"
    )

    def __init__(self, config: SurgMotionConfig, seed: int) -> None:
        super().__init__(config, seed, typical_counts(config.encoder.grid, config.masks))
        self.config = config

    def networks(self) -> dict[str, NetworkUse]:
        """Those of every such objective; of one kind of mask a step the mean operations, and the largest pass."""
        uses = super().networks()
        if self.config.mask_kinds == "all":
            return uses

        num_kinds = len(self.counts)
        largest = self.counts.index(max(self.counts))
        return {
            name: use._replace(flops=use.flops // num_kinds, passes=(use.passes[largest],))
            if use.passes
            else use
            for name, use in uses.items()
        }

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """The pictures of every such objective, and `motion`, the motion map as heat."""
        motion = motion_map(batch.clips, self.grid)
        painted = spread_over(heat(motion), self.grid, batch.clips.shape[2:])
        return super().pictures(batch) | {"motion": painted}

    def draw(self, batch: ClipBatch) -> list[Mask]:
        """Draw the blocks to hide: of the step's kind of mask, or of each kind."""
        first = 0
        kinds = self.config.masks
        if self.training and self.config.mask_kinds == "one":
            first = step_mask_kind(len(kinds), self.seed, batch.step_draw)
            kinds = (kinds[first],)

        device = batch.clips.device
        return draw_blocks(self.grid, kinds, self.seed, batch.draws, device, first_kind=first)

    def losses(self, clips: Tensor, targets: Tensor, masks: list[Mask]) -> ObjectiveOutput:
        """Compute [M10] and its terms, each a mean over kinds of masks.

        `loss/prediction` is [M6] without weights, and `loss/prediction_of_mean` that of each clip's mean masked target
        as a prediction; it goes to 0 when the targets collapse.
        """
        # First, since what they take is as large as the clips, and gone before activations are kept
        weights = self._weights(clips)

        by_kind = [self._terms(clips, targets, weights, mask) for mask in masks]
        terms = {name: torch.stack([each[name] for each in by_kind]).mean() for name in by_kind[0]}

        config = self.config
        loss = terms["motion"] + config.variance_weight * terms["variance"]
        if config.gram_weight:
            loss = loss + config.gram_weight * terms["gram"]
        if config.covariance_weight:
            loss = loss + config.covariance_weight * terms["covariance"]

        metrics = {f"loss/{name}": term.detach() for name, term in terms.items()}
        return ObjectiveOutput(loss, metrics)

    def _weights(self, clips: Tensor) -> Tensor:
        """1 + a m of [M6], (B, N)."""
        if not self.config.motion_weight:
            return clips.new_ones(len(clips), self.num_tokens)
        return 1.0 + self.config.motion_weight * motion_map(clips, self.grid)

    def _terms(
        self, clips: Tensor, targets: Tensor, weights: Tensor, mask: Mask
    ) -> dict[str, Tensor]:
        """[M6] to [M9] of one kind of mask; those that weigh nothing are left out, but for the variance."""
        visible, masked = mask
        encoded = self.encoder(clips, visible)
        predicted = self.predictor(encoded, visible, masked, 0).float()
        true = take_tokens(targets, masked)

        distances = (predicted - true).abs().mean(-1)
        over = 1 if self.config.variance_over == "clip" else 0
        terms = {
            "prediction": distances.mean(),
            "prediction_of_mean": distance_of_mean(true),
            "motion": (weights.gather(1, masked) * distances).mean(),
            "variance": variance_floor(predicted, self.config.least_std, over),
        }

        if self.config.gram_weight:
            terms["gram"] = gram_loss(predicted, true)
        if self.config.covariance_weight:
            terms["covariance"] = covariance_loss(predicted)
        return terms


def variance_floor(predicted: Tensor, least_std: float, over: int) -> Tensor:
    """[M7] L_var = mean of max(0, sigma_0 - sqrt(var z + 1e-4)), var unbiased.

    Args:
        predicted: z, (B, M, D).
        least_std: sigma_0.
        over: The axis of the variance: 0 for clips, 1 for masked tokens.

    Returns:
        0 where there is one value alone, whose variance is unknown.
    """
    if predicted.shape[over] < 2:
        return predicted.new_zeros(())
    std = (predicted.var(over) + _VARIANCE_EPS).sqrt()
    return F.relu(least_std - std).mean()


def covariance_loss(predicted: Tensor) -> Tensor:
    """[M9] L_cov = the sum of squares off the diagonal of the (D, D) covariance of z over all tokens, by D.

    Args:
        predicted: z, (B, M, D).

    Returns:
        0 where there is one token alone.
    """
    tokens = predicted.flatten(0, 1)
    if len(tokens) < 2:
        return predicted.new_zeros(())

    centred = tokens - tokens.mean(0)
    # bf16 would lose what is small beside the diagonal
    with torch.autocast(predicted.device.type, enabled=False):
        covariance = centred.T @ centred / (len(centred) - 1)
    off_diagonal = covariance - covariance.diagonal().diag()
    return off_diagonal.square().sum() / len(covariance)


def make(config: SurgMotionConfig, seed: int, *, with_weights: bool) -> SurgMotion:
    """Make the objective; see `choice.build`."""
    return SurgMotion(config, seed)
