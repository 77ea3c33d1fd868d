"""UniSurg: V-JEPA's prediction, guided by motion, with distilled affinities and a floor under the variance.

Section 3.4 of the paper's objective, with tubes as masks:

    L = L_motion + 0.1 L_st + 0.3 L_var
    L_motion = mean over masked tubes i of (1 + w_i) |z_i - h_i|, w = softmax(gamma g) over the K tubes of most motion
    L_st = mean over masked tubes i of KL(a'_i || a_i), a_ij = softmax_j(cos(z_i, z_j) / tau), a' the same of h
    L_var = mean over features d of max(0, sigma_0 - sigma_d)

z are predictions and h = LayerNorm(E'(clip)) the averaged encoder's features; |.| is the mean absolute difference, of a
tube the mean over time. How that departs from the paper's letter, and which switch takes it back:

- |.| is a mean, where the letter has an L1 norm (`norm: sum`), D times as large in L_motion, and as many times as a
  patch has values in motion scores.
- L_motion averages over the masked tubes, where the letter sums (`reduction: sum`) over the K alone (`scope: topk`),
  which trains on 3 of some 167 tubes.
- Motion scores g are standardised over a clip's masked tubes, where the letter takes them raw (`standardise_motion:
  false`). As sums they are so large that the softmax gives one tube all of the weight; as means they are so small that
  it gives the K tubes alike.
- Affinities are among tubes, of vectors averaged over time, where the letter's are among all masked tokens
  (`affinities: tokens`, some rows at a time, computed again on the way back: time grows with the square of the tokens,
  memory does not).
- h and sigma_d are of features after a LayerNorm without parameters, where the letter has none (`normalise_targets:
  false`, `normalise_variance: false`).

The recipe `unisurg_letter` has all of these. What the letter leaves open is the same in both: that a step draws one
ratio, that a tube's error is its mean over time, and that sigma_d is over the micro-batch's masked tokens.
"""

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.objectives.base import ObjectiveOutput, Pass
from surgstream.trainer.objectives.colours import heat, spread_over
from surgstream.trainer.objectives.config import UniSurgConfig
from surgstream.trainer.objectives.jepa import AveragedJepa, distance_of_mean
from surgstream.trainer.objectives.masks.mask import Mask, TokenCount
from surgstream.trainer.objectives.masks.masking import num_masked_tubes, step_mask_ratio, tube_mask
from surgstream.trainer.objectives.masks.tube_draws import to_device

_EPS = 1e-6
_ROWS = 256


class UniSurg(AveragedJepa):
    """The objective.

    Args:
        config: Its numbers.
        seed: Decides masks, together with each clip's g, and their ratio, together with the step's first g.
    """

    against_collapse = (
        "Raise objective.variance_weight or objective.ema_decay, mask less (objective.mask_ratio), "
        "or lower optim.base_lr"
    )

    def __init__(self, config: UniSurgConfig, seed: int) -> None:
        grid = config.encoder.grid
        mean_ratio = sum(config.mask_ratio) / 2
        masked = grid.slices * num_masked_tubes(grid, mean_ratio)
        counts = [TokenCount(grid.num_tokens - masked, masked)]
        super().__init__(config, seed, counts, normalise_targets=config.normalise_targets)
        self.config = config
        self.mean_ratio = mean_ratio
        patch = 3 * config.encoder.patch_size**2
        width = config.encoder.shape.embed_dim
        # Factors that make sums of means
        is_sum = config.norm == "sum"
        self._patch_values = patch if is_sum else 1
        self._token_values = width if is_sum else 1

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """The pictures of every such objective, and two heat maps.

        `motion` is each tube's score, from the least to the most of the clip; `weight` is w, of the masked tubes.
        """
        rows = super().pictures(batch)
        _, masked = self.draw(batch)[0]
        scores = self._scores(batch.clips)
        low, high = scores.aminmax(dim=1, keepdim=True)
        motion = (scores - low) / (high - low).clamp(min=_EPS)

        tubes = self._tubes_of(masked)
        masked_weights, _ = self._weights(scores.gather(1, tubes))
        weights = torch.zeros_like(scores).scatter(1, tubes, masked_weights)

        size = batch.clips.shape[2:]
        for name, values in (("motion", motion), ("weight", weights)):
            in_all_slices = values.repeat(1, self.grid.slices)
            rows[name] = spread_over(heat(in_all_slices), self.grid, size)
        return rows

    def passes(self) -> list[Pass]:
        """The encoder's and the predictor's passes at the least ratio, which takes most memory."""
        low, _ = self.config.mask_ratio
        visible = self.num_tokens - self.grid.slices * num_masked_tubes(self.grid, low)
        return [Pass(self.config.encoder, visible), Pass(self.config.predictor, self.num_tokens)]

    def draw(self, batch: ClipBatch) -> list[Mask]:
        """Draw the tubes to hide, in a share that is one for all clips of a step."""
        ratio = self.mean_ratio
        if self.training:
            low, high = self.config.mask_ratio
            ratio = step_mask_ratio(low, high, self.seed, batch.step_draw)
        visible, masked = tube_mask(self.grid, ratio, self.seed, batch.draws)
        device = batch.clips.device
        return [Mask(to_device(visible, device), to_device(masked, device))]

    def losses(self, clips: Tensor, targets: Tensor, masks: list[Mask]) -> ObjectiveOutput:
        """Compute the loss and its terms; `loss/prediction_of_mean` is the loss of each clip's mean masked target."""
        config = self.config
        ((visible, masked),) = masks
        encoded = self.encoder(clips, visible)
        predicted = self.predictor(encoded, visible, masked, 0).float()
        true = take_tokens(targets, masked)
        scores = self._scores(clips).gather(1, self._tubes_of(masked))
        weights, chosen = self._weights(scores)

        distances = (predicted - true).abs().mean(-1)
        # From (B, M) to (B, masked tubes): the mean over time of each
        by_tube = distances.unflatten(1, (self.grid.slices, -1)).mean(1)
        motion = self._token_values * self._motion(by_tube, weights, chosen)

        affinity = self._affinity(predicted, true)
        measured = predicted
        if config.normalise_variance:
            measured = F.layer_norm(predicted, predicted.shape[-1:])
        variance = F.relu(config.least_std - measured.flatten(0, 1).std(0)).mean()

        loss = motion + config.affinity_weight * affinity + config.variance_weight * variance
        metrics = {
            "loss/prediction": distances.detach().mean(),
            "loss/prediction_of_mean": distance_of_mean(true),
            "loss/motion": motion.detach(),
            "loss/affinity": affinity.detach(),
            "loss/variance": variance.detach(),
        }
        return ObjectiveOutput(loss, metrics)

    def _tubes_of(self, masked: Tensor) -> Tensor:
        """The tubes (B, K) of masked tokens (B, M); the first slice's tokens have the numbers of their tubes."""
        return masked[:, : masked.shape[1] // self.grid.slices]

    def _scores(self, clips: Tensor) -> Tensor:
        """Motion scores g of all tubes of clips as loaded, (B, tubes)."""
        scores = motion_scores(self.pixels.plain(clips), self.config.encoder.patch_size)
        return self._patch_values * scores

    def _affinity(self, predicted: Tensor, true: Tensor) -> Tensor:
        """L_st, from masked tokens (B, M, D)."""
        temperature = self.config.temperature
        exclude_self = self.config.exclude_self
        if self.config.affinities == "tokens":
            loss: Tensor = affinity_loss_by_rows(
                predicted, true, temperature, exclude_self=exclude_self
            )
            return loss

        slices = self.grid.slices
        tubes = reduce(predicted, "b (s n) d -> b n d", "mean", s=slices)
        true_tubes = reduce(true, "b (s n) d -> b n d", "mean", s=slices)
        return affinity_loss(tubes, true_tubes, temperature, exclude_self=exclude_self)

    def _weights(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Weights w of masked tubes, from their motion scores, and 1 for the K of them that have one; (B, tubes)."""
        if self.config.standardise_motion:
            std, mean = torch.std_mean(scores, dim=1, keepdim=True)
            scores = (scores - mean) / (std + _EPS)

        top = scores.topk(min(self.config.top_k, scores.shape[1]), dim=1)
        top_weights = (self.config.gamma * top.values).softmax(dim=1)
        none = torch.zeros_like(scores)
        return none.scatter(1, top.indices, top_weights), none.scatter(1, top.indices, 1.0)

    def _motion(self, distances: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """L_motion, from each masked tube's mean absolute difference, its w, and whether it has one; (B, tubes)."""
        counts = chosen if self.config.scope == "topk" else torch.ones_like(weights)
        weighted = (1.0 + weights) * distances
        sums = (weighted * counts).sum(1)
        if self.config.reduction == "sum":
            return sums.mean()
        return (sums / counts.sum(1)).mean()


def motion_scores(clips: Tensor, patch_size: int) -> Tensor:
    """The change of each tube, and its difference from its neighbours, per value of a patch.

    g_i = mean over t of |x_{t+1,i} - x_{t,i}| + mean over t and 4-neighbours j of |x_{t,i} - x_{t,j}|, with x_{t,i} the
    pixels of patch i of frame t and |.| the mean absolute difference.

    Args:
        clips: (B, C, T, H, W) in [0, 1].
        patch_size: Rows and columns of a patch.

    Returns:
        (B, tubes).
    """
    patches = rearrange(clips, "b c t (h p) (w q) -> b t h w (c p q)", p=patch_size, q=patch_size)
    in_time = (patches[:, 1:] - patches[:, :-1]).abs().mean((1, -1))
    down = (patches[:, :, 1:] - patches[:, :, :-1]).abs().mean((1, -1))
    right = (patches[:, :, :, 1:] - patches[:, :, :, :-1]).abs().mean((1, -1))

    # A difference counts for both of its patches; those at an edge have fewer to average over
    ones_down = torch.ones_like(down)
    ones_right = torch.ones_like(right)
    sums = _for_both(down, right)
    numbers = _for_both(ones_down, ones_right)
    return (in_time + sums / numbers).flatten(1)


def _for_both(down: Tensor, right: Tensor) -> Tensor:
    """The sum, at each patch, of values that lie between it and its neighbours.

    Args:
        down: (B, rows - 1, columns), between a patch and the one below.
        right: (B, rows, columns - 1), between a patch and the one to its right.

    Returns:
        (B, rows, columns).
    """
    above = F.pad(down, (0, 0, 1, 0))
    below = F.pad(down, (0, 0, 0, 1))
    before = F.pad(right, (1, 0))
    after = F.pad(right, (0, 1))
    return above + below + before + after


def affinity_loss(
    predicted: Tensor, true: Tensor, temperature: float, *, exclude_self: bool
) -> Tensor:
    """L_st: the mean Kullback-Leibler divergence of predicted affinities from the true ones.

    Args:
        predicted: (B, N, D), a vector a tube, or a token.
        true: (B, N, D).
        temperature: tau.
        exclude_self: Leave a vector's affinity to itself out.
    """
    return _divergences(predicted, true, slice(None), temperature, exclude_self).mean()


# Compiled, its loop would be compiled again for every number of tokens
@torch.compiler.disable  # type: ignore[untyped-decorator]
def affinity_loss_by_rows(
    predicted: Tensor, true: Tensor, temperature: float, *, exclude_self: bool
) -> Tensor:
    """The same as `affinity_loss`, in memory that grows with N instead of its square."""
    parts = []
    for start in range(0, predicted.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        arguments = (predicted, true, rows, temperature, exclude_self)
        parts.append(checkpoint(_divergences, *arguments, use_reentrant=False))
    return torch.cat(parts, dim=1).mean()


def _divergences(
    predicted: Tensor, true: Tensor, rows: slice, temperature: float, exclude_self: bool
) -> Tensor:
    """The divergence of some vectors' affinities to all, (B, rows)."""

    def log_affinities(vectors: Tensor) -> Tensor:
        unit = F.normalize(vectors, dim=-1)
        cosines = unit[:, rows] @ unit.transpose(1, 2) / temperature
        if exclude_self:
            numbers = torch.arange(vectors.shape[1], device=vectors.device)
            cosines = cosines.masked_fill(numbers[rows, None] == numbers, -1e9)
        return cosines.log_softmax(-1)

    # bf16 would move cosines over tau by hundredths
    with torch.autocast(predicted.device.type, enabled=False):
        found = log_affinities(predicted)
        expected = log_affinities(true)
        divergences = F.kl_div(found, expected, reduction="none", log_target=True)
    return divergences.sum(-1)


def make(config: UniSurgConfig, seed: int, *, with_weights: bool) -> UniSurg:
    """Make the objective; see `choice.build`."""
    return UniSurg(config, seed)
