"""What joint-embedding predictive objectives share: an encoder, its moving average, and a predictor between them.

The average of the encoder's weights (a teacher that no gradient reaches) sees the whole clip and provides the targets;
the encoder sees some tokens, and the predictor says what the average makes of the others.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Transformer
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.models.predictor import Predictor
from surgstream.trainer.models.vit import Encoder, initialise_rescaled, num_parameters
from surgstream.trainer.objectives.base import Objective, ObjectiveOutput
from surgstream.trainer.objectives.colours import FeatureColours, only, spread_over
from surgstream.trainer.objectives.config import UniSurgConfig, VJepaConfig
from surgstream.trainer.objectives.pixels import Pixels

_TRIED_DRAWS = 64


class TokenCount(NamedTuple):
    """Tokens of a clip that a mask shows and hides."""

    visible: int
    masked: int


class Mask(NamedTuple):
    """What one kind of mask shows of a micro-batch and what it hides.

    Attributes:
        visible: (B, V) int64, the tokens that the encoder sees.
        masked: (B, M) int64, the tokens to predict.
    """

    visible: Tensor
    masked: Tensor


class Jepa(Objective):
    """The networks, the targets and the average.

    Args:
        config: Their numbers.
        seed: Decides masks, together with each clip's g.
        counts: For each kind of mask, the tokens that it shows and hides; about, where these are drawn.
        normalise_targets: Whether targets pass a LayerNorm without parameters.
    """

    target_encoder: Encoder
    against_collapse = (
        "Raise objective.ema, so that the average follows more slowly, lower optim.base_lr, or lengthen "
        "optim.warmup_epochs"
    )

    def __init__(
        self,
        config: VJepaConfig | UniSurgConfig,
        seed: int,
        counts: Sequence[TokenCount],
        *,
        normalise_targets: bool = True,
    ) -> None:
        super().__init__()
        self.seed, self.grid, self.counts = seed, config.encoder.grid, tuple(counts)
        self._normalise_targets = normalise_targets
        self.num_tokens = self.grid.num_tokens
        self.num_visible, self.num_masked = (round(fmean(kinds)) for kinds in zip(*counts, strict=True))

        self.pixels, self.encoder = Pixels(config.encoder), Encoder(config.encoder)
        self.predictor = Predictor(config.predictor, self.grid, config.encoder.shape.embed_dim)
        self.hold("target_encoder", Encoder(config.encoder))
        self._networks, self._average = (config.encoder, config.predictor), get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]

        # `compile_parts` puts others in their place, for training alone.
        self._training_features, self._training_losses = self._features, self._losses

    def begin(self, generator: torch.Generator) -> None:
        """Give the networks initial weights, and the average the encoder's."""
        initialise_rescaled(self, generator)
        self.average_anew()

    def average_anew(self) -> None:
        """Let the average begin where the encoder is."""
        self.target_encoder.load_state_dict(self.encoder.state_dict())

    def targets(self, batch: ClipBatch) -> Tensor:
        """What the average makes of every token, scaled as the predictions are to be: (B, N, D) float32."""
        features = self._training_features if self.training else self._features
        with torch.no_grad():
            return features(batch.clips)

    def forward(self, batch: ClipBatch, targets: Tensor) -> ObjectiveOutput:
        """Compute the loss.

        Args:
            batch: B clips.
            targets: (B, N, D), see `targets`.

        Returns:
            The loss and its parts; `loss/prediction_of_mean` is what the mean of each clip's masked targets would score
            as a prediction, which goes to 0 when the targets collapse.
        """
        losses = self._training_losses if self.training else self._losses
        return losses(batch.clips, targets, self._masks(batch))

    def after_optimizer_step(self) -> None:
        """Let the average follow: w' <- ema w' + (1 - ema) w, in fp32."""
        self._average(list(self.target_encoder.parameters()), list(self.encoder.parameters()), None)

    def averages(self) -> Mapping[str, Tensor]:
        """The target encoder's weights, by the names of the encoder's."""
        return {f"encoder.{name}": parameter for name, parameter in self.target_encoder.named_parameters()}

    @torch.no_grad()
    def represent(self, clips: Tensor) -> Tensor:
        """The mean of the averaged encoder's tokens, which is what V-JEPA hands on: (B, D) float32."""
        tokens: Tensor = self.target_encoder(clips)
        return tokens.float().mean(1)

    @torch.no_grad()
    def latents(self, batch: ClipBatch) -> dict[str, Tensor]:
        """`targets` and `predictions` of the masked tokens, the latter scaled like the former."""
        targets, (visible, masked) = self.targets(batch), self._masks(batch)[0]
        predicted = self.predictor(self.encoder(batch.clips, visible), visible, masked, 0).float()
        predicted = self._scaled(predicted)
        return {"targets": take_tokens(targets, masked).flatten(0, 1), "predictions": predicted.flatten(0, 1)}

    def hardest(self, batch: ClipBatch) -> ClipBatch:
        """The draws, among some steps', with the most visible tokens: the worst case for memory."""
        size = len(batch.g)
        tried = (replace(batch, g=batch.g + i * size, step_g=i * size) for i in range(_TRIED_DRAWS))
        return max(tried, key=lambda drawn: sum(mask.visible.numel() for mask in self._masks(drawn)))

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw `original`, `masked` (in grey), `features` and `prediction`.

        Features are those of the averaged encoder, the first three principal components of these clips' tokens as red,
        green and blue. The prediction shows the same of visible tokens, and what is predicted of masked ones; tokens
        that a mask leaves out are black.
        """
        targets, (visible, masked) = self.targets(batch), self._masks(batch)[0]
        predicted = self.predictor(self.encoder(batch.clips, visible), visible, masked, 0).float()
        index = masked.unsqueeze(-1).expand_as(predicted)

        colours, size = FeatureColours(targets), batch.clips.shape[2:]
        painted = only(colours(targets.scatter(1, index, predicted)), torch.cat([visible, masked], dim=1))
        original, hidden = self.pixels.hidden(batch.clips, visible, masked)

        return {
            "original": original,
            "masked": hidden,
            "features": spread_over(colours(targets), self.grid, size),
            "prediction": spread_over(painted, self.grid, size),
        }

    def compile_parts(self, **options: Any) -> None:
        """Compile the average's pass, and the encoder's and predictor's with the losses, for training alone.

        The latter for any number of visible and masked tokens, since masks of another size would compile it anew.
        """
        self._training_features = torch.compile(self._features, **options)
        self._training_losses = torch.compile(self._losses, dynamic=True, **options)

    def trained(self) -> list[tuple[Transformer, int]]:
        """The encoder's and the predictor's passes, one for each kind of mask."""
        encoder, predictor = self._networks
        return [
            *((encoder, visible) for visible, _ in self.counts),
            *((predictor, visible + masked) for visible, masked in self.counts),
        ]

    def flops(self) -> dict[str, int]:
        """Floating point operations of a clip: forward and backward of what learns, forward of the average."""
        return {
            "encoder": sum(self.encoder.flops(visible) for visible, _ in self.counts),
            "predictor": sum(self.predictor.flops(visible, masked) for visible, masked in self.counts),
            "target_encoder": self.target_encoder.flops(self.num_tokens, backward=False),
        }

    def parts(self) -> dict[str, int]:
        """Parameters by network; `total` is without the average, a copy of the encoder."""
        parts = {name: num_parameters(self.get_submodule(name)) for name in ("encoder", "predictor")}
        return parts | {
            "target_encoder": num_parameters(self.target_encoder),
            "total": sum(parts.values()),
            "trainable": sum(p.numel() for p in self.parameters() if p.requires_grad),
        }

    def _features(self, clips: Tensor) -> Tensor:
        return self._scaled(self.target_encoder(clips).float())

    def _scaled(self, features: Tensor) -> Tensor:
        return F.layer_norm(features, features.shape[-1:]) if self._normalise_targets else features

    @abstractmethod
    def _masks(self, batch: ClipBatch) -> list[Mask]:
        """The masks of a micro-batch, one of each kind."""

    @abstractmethod
    def _losses(self, clips: Tensor, targets: Tensor, masks: list[Mask]) -> ObjectiveOutput:
        """The loss and its parts; for the arguments see `forward`."""


def distance_of_mean(true: Tensor) -> Tensor:
    """The mean absolute error of each clip's mean vector, as a prediction of its vectors (B, M, D)."""
    return (true - true.mean(1, keepdim=True)).abs().mean()
