"""The bases of joint-embedding predictive objectives: an encoder, a target network, and a predictor between them.

The target network, which no gradient reaches, sees the whole clip and provides the targets; the encoder sees some
tokens, and the predictor says what the target network makes of the others. In `AveragedJepa` it is the moving average
of the encoder's weights.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.models.initial import initialise_rescaled
from surgstream.trainer.models.predictor import Predictor
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.base import NetworkUse, Objective, Pass
from surgstream.trainer.objectives.colours import FeatureColours, only, spread_over
from surgstream.trainer.objectives.jepa_config import AveragedJepaConfig, JepaConfig
from surgstream.trainer.objectives.masks.block_draws import most_visible
from surgstream.trainer.objectives.masks.mask import Mask, TokenCount
from surgstream.trainer.objectives.pixels import Pixels


class Seen(NamedTuple):
    """Clips under one mask.

    Attributes:
        clips: (B, C, T, H, W).
        targets: (B, N, L D), those of all tokens.
        mask: The mask.
    """

    clips: Tensor
    targets: Tensor
    mask: Mask


class Jepa(Objective):
    """The encoder and the predictor; a subclass has the target network, and makes `features` by it.

    Args:
        config: Their numbers.
        seed: Decides masks, together with each clip's g.
        counts: The tokens that each kind of mask shows and hides; about, where these are drawn.
        target_dim: Width of one level of the targets; None is the encoder's.
        normalise_targets: Whether targets pass a LayerNorm without parameters, each level by itself.
        predicts_visible: Whether the predictor has a head for visible tokens.
    """

    masks_change_size = True

    def __init__(
        self,
        config: JepaConfig,
        seed: int,
        counts: Sequence[TokenCount],
        *,
        target_dim: int | None = None,
        normalise_targets: bool = True,
        predicts_visible: bool = False,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.grid = config.encoder.grid
        self.counts = tuple(counts)
        self._target_dim = target_dim or config.encoder.shape.embed_dim
        self._normalise_targets = normalise_targets
        self.num_tokens = self.grid.num_tokens
        self.num_visible, self.num_masked = (
            round(fmean(kinds)) for kinds in zip(*counts, strict=True)
        )

        self.pixels = Pixels(config.encoder)
        self.encoder = Encoder(config.encoder)
        self.predictor = Predictor(
            config.predictor,
            config.encoder,
            out_dim=config.encoder.num_levels * self._target_dim,
            predicts_visible=predicts_visible,
        )
        self._networks = (config.encoder, config.predictor)

    def init_weights(self, generator: torch.Generator) -> None:
        """Give the networks initial weights."""
        initialise_rescaled(self, generator)

    @abstractmethod
    def features(self, clips: Tensor) -> Tensor:
        """What the target network makes of every token, scaled as the predictions are to be: (B, N, L D) float32."""

    @torch.no_grad()
    def collapse_features(self, batch: ClipBatch) -> dict[str, Tensor]:
        """`targets` and `predictions` of the masked tokens, the latter scaled like the former."""
        clips, targets, (visible, masked) = self.first_seen(batch)
        encoded = self.encoder.at_levels(clips, visible)
        predicted = self._scaled(self.predictor(encoded, visible, masked, 0).float())
        return {
            "targets": take_tokens(targets, masked).flatten(0, 1),
            "predictions": predicted.flatten(0, 1),
        }

    def first_seen(self, batch: ClipBatch) -> Seen:
        """What pictures and checks of collapse look at: the clips under their first kind of mask."""
        return Seen(batch.clips, self.targets(batch), self.draw(batch)[0])

    def worst_case(self, batch: ClipBatch) -> ClipBatch:
        """The draws, among some steps', with the most visible tokens: the worst case for memory."""
        return most_visible(batch, self._num_visible_drawn)

    def _num_visible_drawn(self, batch: ClipBatch) -> int:
        return sum(mask.visible.numel() for mask in self.masks_among(self.draw(batch)))

    def masks_among(self, draws: Any) -> list[Mask]:
        """All masks among what `draw` returned; by default it returns nothing else."""
        masks: list[Mask] = draws
        return masks

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw `original`, `masked` (in grey), `features` and `prediction`.

        Features are those of the target network, the first three principal components of these clips' tokens as red,
        green and blue. The prediction shows the same of visible tokens, and what is predicted of masked ones; tokens
        that a mask leaves out are black.
        """
        clips, targets, (visible, masked) = self.first_seen(batch)
        encoded = self.encoder.at_levels(clips, visible)
        predicted = self.predictor(encoded, visible, masked, 0).float()
        index = masked.unsqueeze(-1).expand_as(predicted)

        colours = FeatureColours(targets)
        size = clips.shape[2:]
        with_predictions = targets.scatter(1, index, predicted)
        painted = only(colours(with_predictions), torch.cat([visible, masked], dim=1))
        original, hidden = self.pixels.hidden(clips, visible, masked)

        return {
            "original": original,
            "masked": hidden,
            "features": spread_over(colours(targets), self.grid, size),
            "prediction": spread_over(painted, self.grid, size),
        }

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder and the predictor, a pass each for each kind of mask."""
        encoder, predictor = self._networks
        encodings = tuple(Pass(encoder, visible) for visible, _ in self.counts)
        predictions = tuple(Pass(predictor, visible + masked) for visible, masked in self.counts)

        encoding_flops = sum(self.encoder.flops(visible) for visible, _ in self.counts)
        prediction_flops = sum(self.predictor.flops(*count) for count in self.counts)
        return {
            "encoder": NetworkUse(self.encoder, encoding_flops, encodings),
            "predictor": NetworkUse(self.predictor, prediction_flops, predictions),
        }

    def _scaled(self, features: Tensor) -> Tensor:
        if not self._normalise_targets:
            return features
        levels = rearrange(features, "b n (l d) -> b n l d", d=self._target_dim)
        return F.layer_norm(levels, levels.shape[-1:]).flatten(-2)


class AveragedJepa(Jepa):
    """The target network is the moving average of the encoder's weights."""

    target_encoder: Encoder
    against_collapse = (
        "Raise objective.ema_decay, so that the average follows more slowly, lower optim.base_lr, "
        "or lengthen optim.warmup_epochs"
    )

    def __init__(
        self,
        config: AveragedJepaConfig,
        seed: int,
        counts: Sequence[TokenCount],
        *,
        normalise_targets: bool = True,
        predicts_visible: bool = False,
    ) -> None:
        super().__init__(
            config,
            seed,
            counts,
            normalise_targets=normalise_targets,
            predicts_visible=predicts_visible,
        )
        self.attach_frozen("target_encoder", Encoder(config.encoder))
        self._average = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]

    def init_weights(self, generator: torch.Generator) -> None:
        """Give the networks initial weights, and the average the encoder's."""
        super().init_weights(generator)
        self.reset_average()

    def reset_average(self) -> None:
        """Let the average begin where the encoder is."""
        self.target_encoder.load_state_dict(self.encoder.state_dict())

    def features(self, clips: Tensor) -> Tensor:
        """See `Jepa.features`; levels are those of the encoder."""
        return self._scaled(self.target_encoder.at_levels(clips).float())

    def after_optimizer_step(self) -> None:
        """Let the average follow: w' <- ema w' + (1 - ema) w, in fp32."""
        self._average(list(self.target_encoder.parameters()), list(self.encoder.parameters()), None)

    def averages(self) -> Mapping[str, Tensor]:
        """The target encoder's weights, by the names of the encoder's."""
        return {
            f"encoder.{name}": parameter
            for name, parameter in self.target_encoder.named_parameters()
        }

    @torch.no_grad()
    def embed_tokens(self, clips: Tensor) -> Tensor:
        """The averaged encoder's tokens, which is what V-JEPA hands on: (B, N, D)."""
        tokens: Tensor = self.target_encoder(clips)
        return tokens

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder and the predictor, and the average, which sees whole clips."""
        flops = self.target_encoder.flops(self.num_tokens, backward=False)
        return super().networks() | {"target_encoder": NetworkUse(self.target_encoder, flops)}


def distance_of_mean(true: Tensor) -> Tensor:
    """The mean absolute error of each clip's mean vector, as a prediction of its vectors (B, M, D)."""
    return (true - true.mean(1, keepdim=True)).abs().mean()
