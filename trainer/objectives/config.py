"""The objectives' numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from trainer.models.config import DecoderConfig, EncoderConfig, Grid, TeacherConfig
from trainer.objectives.masking import num_masked_tubes


@dataclass(frozen=True, kw_only=True)
class SurgVistaConfig:
    """The objective SurgVISTA; the defaults are the published ViT-B.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder.
        reconstruction_decoder: Predicts pixels.
        distillation_decoder: Predicts the teacher's features.
        teacher: The frozen image teacher.
        mask_ratio: Share of tubes that are masked.
        reconstruction_weight: Of the mean squared error of normalised pixels.
        distillation_weight: Of the SmoothL1 loss of features.
        smooth_l1_beta: Where SmoothL1 turns from a square into an absolute value.
    """

    name: Literal["surgvista"] = "surgvista"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    reconstruction_decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(depth=4))
    distillation_decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(depth=2))
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    mask_ratio: float = 0.85
    reconstruction_weight: float = 1.0
    distillation_weight: float = 0.05
    smooth_l1_beta: float = 1.0

    @property
    def decoders(self) -> tuple[DecoderConfig, ...]:
        """The networks that see all tokens."""
        return self.reconstruction_decoder, self.distillation_decoder

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from mask_problems(self.encoder.grid, self.mask_ratio)
        if self.smooth_l1_beta <= 0.0:
            yield f"smooth_l1_beta: expected a number above 0, got {self.smooth_l1_beta}"


@dataclass(frozen=True, kw_only=True)
class VideoMaeConfig:
    """The objective VideoMAE; the defaults are SurgRec-MAE's ViT-B.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder.
        decoder: Predicts pixels.
        mask_ratio: Share of tubes that are masked.
    """

    name: Literal["videomae"] = "videomae"
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(positions="sinusoid", drop_path=0.0))
    decoder: DecoderConfig = field(
        default_factory=lambda: DecoderConfig(depth=4, positions="sinusoid", projection_bias=False, drop_path=0.0)
    )
    mask_ratio: float = 0.9

    @property
    def decoders(self) -> tuple[DecoderConfig, ...]:
        """The networks that see all tokens."""
        return (self.decoder,)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from mask_problems(self.encoder.grid, self.mask_ratio)


ObjectiveConfig = SurgVistaConfig | VideoMaeConfig


def mask_problems(grid: Grid, mask_ratio: float) -> Iterator[str]:
    """What is wrong with a share of tubes to mask."""
    if not 0 < num_masked_tubes(grid, mask_ratio) < grid.num_tubes:
        yield (
            f"mask_ratio: expected some of a slice's {grid.num_tubes} tokens masked and some visible, got {mask_ratio}"
        )
