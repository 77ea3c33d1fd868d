"""The objectives' numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from surgstream.configs.ranges import Range
from surgstream.trainer.models.config import (
    DecoderConfig,
    EncoderConfig,
    PredictorConfig,
    TeacherConfig,
)
from surgstream.trainer.objectives.jepa_config import (
    AveragedJepaConfig,
    JepaConfig,
    SaltConfig,
    SurgMotionConfig,
    UniSurgConfig,
    VJepaConfig,
    one_level_problems,
)
from surgstream.trainer.objectives.masks.masking import BlockMask, mask_problems

__all__ = [
    "AveragedJepaConfig",
    "JepaConfig",
    "LabelKind",
    "MixConfig",
    "ObjectiveConfig",
    "SaltConfig",
    "SupervisedConfig",
    "SurgMotionConfig",
    "SurgVistaConfig",
    "UniSurgConfig",
    "VJepaConfig",
    "VideoMaeConfig",
    "predictor_of",
]


@dataclass(frozen=True, kw_only=True)
class SurgVistaConfig:
    """The objective SurgVISTA; the defaults are the published ViT-B.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder.
        reconstruction_decoder: Predicts pixels.
        distillation_decoder: Predicts the teacher's features.
        teacher: The frozen image teacher; null has none, and no decoder for it, where distillation_weight is 0.
        mask_ratio: Share of tubes that are masked.
        reconstruction_weight: Weight of the mean squared error of normalised pixels.
        distillation_weight: Weight of the SmoothL1 loss of features.
        smooth_l1_beta: The difference at which SmoothL1 turns from a square into an absolute value.
    """

    has_average: ClassVar[bool] = False
    by_micro_batch: ClassVar[bool] = False

    name: Literal["surgvista"] = "surgvista"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    reconstruction_decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(depth=4))
    distillation_decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(depth=2))
    teacher: TeacherConfig | None = field(default_factory=TeacherConfig)
    mask_ratio: Annotated[float, Range(0, 1)] = 0.85
    reconstruction_weight: Annotated[float, Range(0, 1e6)] = 1.0
    distillation_weight: Annotated[float, Range(0, 1e6)] = 0.05
    smooth_l1_beta: Annotated[float, Range(1e-6, 1e6)] = 1.0

    @property
    def decoders(self) -> tuple[DecoderConfig, ...]:
        """The networks that see all tokens."""
        if self.teacher is None:
            return (self.reconstruction_decoder,)
        return self.reconstruction_decoder, self.distillation_decoder

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from mask_problems(self.encoder.grid, self.mask_ratio)
        yield from one_level_problems(self.encoder)
        if (self.teacher is None) != (self.distillation_weight == 0):
            teacher = "no teacher" if self.teacher is None else "a teacher"
            yield (
                "teacher: expected null where distillation_weight is 0, and nowhere else, got "
                f"{teacher} with {self.distillation_weight:g}"
            )


@dataclass(frozen=True, kw_only=True)
class VideoMaeConfig:
    """The objective VideoMAE; the defaults are SurgRec-MAE's ViT-B.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder.
        decoder: Predicts pixels.
        mask_ratio: Share of tubes that are masked.
        masks: Kinds of masks of blocks, as V-JEPA's, in the place of tubes: every clip is encoded once with each, as in
            SALT's first stage. Empty masks tubes.
    """

    has_average: ClassVar[bool] = False

    name: Literal["videomae"] = "videomae"
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(positions="sinusoid", drop_path=0.0)
    )
    decoder: DecoderConfig = field(
        default_factory=lambda: DecoderConfig(
            depth=4, positions="sinusoid", projection_bias=False, drop_path=0.0
        )
    )
    mask_ratio: Annotated[float, Range(0, 1)] = 0.9
    masks: tuple[BlockMask, ...] = ()

    @property
    def by_micro_batch(self) -> bool:
        """Whether masks are blocks, which are cut to the shortest of a micro-batch."""
        return bool(self.masks)

    @property
    def decoders(self) -> tuple[DecoderConfig, ...]:
        """The networks that see all tokens."""
        return (self.decoder,)

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from mask_problems(self.encoder.grid, self.mask_ratio)
        yield from one_level_problems(self.encoder)


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """Mixing of the clips of a micro-batch in pairs, and their labels with them (arXiv 1710.09412, 1905.04899).

    Attributes:
        mixup: Alpha of the beta distribution that the share of each clip is drawn from, where pictures are blended; 0
            never blends.
        cutmix: The same, where one clip has a window of the other; 0 never cuts.
        probability: Share of the micro-batches that are mixed.
        switch: Share of the mixed ones that are cut, where both alphas are above 0.
    """

    mixup: Annotated[float, Range(0, 1e3)] = 0.8
    cutmix: Annotated[float, Range(0, 1e3)] = 1.0
    probability: Annotated[float, Range(0, 1)] = 1.0
    switch: Annotated[float, Range(0, 1)] = 0.5


LabelKind = Literal["class", "multilabel", "number"]
"""One class, several of them, or a number."""


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """Fine-tuning on a task's labels; the defaults are SurgVISTA's for phases, on a ViT-B. See its module.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder.
        kind: What a label is; null is the task's.
        num_outputs: Classes, or 1 of numbers; null is the task's.
        dropout: Share of the pooled features that are dropped before the linear layer.
        init_scale: Factor of the linear layer's initial weights; 0 begins with equal scores.
        smoothing: Share of a label that is spread over all classes. Of one class a row alone.
        mix: Mixing of clips in pairs; null mixes none.
        mean: Mean of the training labels, of numbers, which are standardised; null is found.
        std: Their deviation; null is found.
    """

    has_average: ClassVar[bool] = False

    name: Literal["supervised"] = "supervised"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    kind: LabelKind | None = None
    num_outputs: Annotated[int, Range(1, 2**16)] | None = None
    dropout: Annotated[float, Range(0, 0.99)] = 0.5
    init_scale: Annotated[float, Range(0, 1)] = 0.0
    smoothing: Annotated[float, Range(0, 0.99)] = 0.1
    mix: MixConfig | None = None
    mean: Annotated[float, Range(-1e12, 1e12)] | None = None
    std: Annotated[float, Range(1e-12, 1e12)] | None = None

    @property
    def by_micro_batch(self) -> bool:
        """Whether the clips of a micro-batch are mixed with each other."""
        return self.mix is not None

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from one_level_problems(self.encoder)
        if self.kind == "number" and self.num_outputs not in (None, 1):
            yield f"num_outputs: expected 1 of numbers, got {self.num_outputs}"


ObjectiveConfig = (
    SurgVistaConfig
    | VideoMaeConfig
    | VJepaConfig
    | UniSurgConfig
    | SurgMotionConfig
    | SaltConfig
    | SupervisedConfig
)
"""Each says by `has_average` whether it averages weights, which ZeRO 3 does not allow, and by `by_micro_batch` whether
what is learned of a clip depends on the others of its micro-batch."""


def predictor_of(config: ObjectiveConfig) -> PredictorConfig | None:
    """The predictor, where it is one of V-JEPA 2: of an encoder's own features, or of others that are as wide."""
    if isinstance(config, SaltConfig):
        widths = (config.teacher.encoder.shape.embed_dim, config.encoder.shape.embed_dim)
        return config.predictor if widths[0] == widths[1] else None
    if isinstance(config, VJepaConfig):
        return None if config.is_2_1 else config.predictor
    if isinstance(config, UniSurgConfig | SurgMotionConfig):
        return config.predictor
    return None
