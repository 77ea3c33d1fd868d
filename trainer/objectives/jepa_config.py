"""The numbers of objectives that predict features: V-JEPA, UniSurg, SurgMotion and SALT."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Protocol

from surgstream.configs.ranges import Range
from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from surgstream.trainer.objectives.masks.masking import BlockMask, mask_problems, num_masked_tubes
from surgstream.trainer.objectives.vjepa_config import ContextConfig, ImagesConfig

BLOCK_MASKS = (BlockMask(num_blocks=8, scale=0.15), BlockMask(num_blocks=2, scale=0.7))
"""V-JEPA's kinds of masks: many small blocks, and two large ones."""


class JepaConfig(Protocol):
    """The fields that joint-embedding predictive objectives share."""

    @property
    def encoder(self) -> EncoderConfig:
        """The video encoder, with rotary positions."""

    @property
    def predictor(self) -> PredictorConfig:
        """Predicts the target network's features."""


class AveragedJepaConfig(JepaConfig, Protocol):
    """The same, of objectives whose target network is an average."""

    @property
    def ema_decay(self) -> float:
        """Share of the average that is kept at an update of the weights."""


@dataclass(frozen=True, kw_only=True)
class VJepaConfig:
    """The objective V-JEPA; the defaults are SurgRec-JEPA's ViT-L.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder, with rotary positions.
        predictor: Predicts the averaged encoder's features.
        masks: The kinds of masks. Every clip is encoded once with each.
        ema_decay: Share of the average that is kept at an update of the weights.
        context: A loss of visible tokens (V-JEPA 2.1); null has none.
        images: Still images beside videos (V-JEPA 2.1); null takes them for videos of one picture.
    """

    has_average: ClassVar[bool] = True
    by_micro_batch: ClassVar[bool] = True

    name: Literal["vjepa"] = "vjepa"
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(size="large", positions="rope", drop_path=0.0)
    )
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    masks: tuple[BlockMask, ...] = BLOCK_MASKS
    ema_decay: Annotated[float, Range(0, 0.9999999)] = 0.99925
    context: ContextConfig | None = None
    images: ImagesConfig | None = None

    @property
    def is_2_1(self) -> bool:
        """Whether any of V-JEPA 2.1's switches is on."""
        encoder = self.encoder
        has_more = encoder.levels or self.context or self.images
        return bool(has_more) or encoder.positions == "rope_scaled"

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from jepa_problems(self.encoder)
        yield from kinds_problems(self.masks)
        if self.encoder.images != (self.images is not None):
            yield (
                "encoder.images: expected true where objective.images is given, and false elsewhere, got "
                f"{str(self.encoder.images).lower()}"
            )


@dataclass(frozen=True, kw_only=True)
class UniSurgConfig:
    """The objective UniSurg; the defaults are stage 1's, on a ViT-L, since the paper names no encoder. See its module.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder, with rotary positions.
        predictor: Predicts the averaged encoder's features.
        mask_ratio: Least and most share of tubes that are masked, drawn once a step; evaluations take their mean.
        ema_decay: Share of the average that is kept at an update of the weights.
        top_k: Masked tubes of a clip that weigh more, those of most motion.
        gamma: Sharpness of their weights.
        norm: The norm |.| of a patch's pixels and of a token's features: the `mean` of absolute values, or the `sum`.
        standardise_motion: Whether motion scores are standardised over a clip's masked tubes; false takes them raw.
        scope: `masked` trains on all masked tubes, `topk` on those K alone.
        reduction: `mean` or `sum` over these tubes.
        normalise_targets: Whether the averaged encoder's features pass a LayerNorm without parameters; false takes them
            raw.
        affinity_weight: Weight of the distilled affinities.
        affinities: `tubes` takes them among masked tubes, `tokens` among masked tokens.
        temperature: Temperature of the affinities, tau.
        exclude_self: Leave the affinity of a tube, or token, to itself out.
        variance_weight: Weight of the floor under the deviations.
        least_std: That floor, sigma_0.
        normalise_variance: Whether deviations are those of predictions after such a LayerNorm; false takes them raw.
    """

    has_average: ClassVar[bool] = True

    name: Literal["unisurg"] = "unisurg"
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(size="large", positions="rope", drop_path=0.0)
    )
    predictor: PredictorConfig = field(default_factory=lambda: PredictorConfig(num_mask_tokens=1))
    mask_ratio: tuple[Annotated[float, Range(0, 1)], ...] = (0.75, 0.95)
    ema_decay: Annotated[float, Range(0, 0.9999999)] = 0.99925
    top_k: Annotated[int, Range(1, 2**16)] = 3
    gamma: Annotated[float, Range(0, 1e3)] = 2.0
    norm: Literal["mean", "sum"] = "mean"
    standardise_motion: bool = True
    scope: Literal["masked", "topk"] = "masked"
    reduction: Literal["mean", "sum"] = "mean"
    normalise_targets: bool = True
    affinity_weight: Annotated[float, Range(0, 1e6)] = 0.1
    affinities: Literal["tubes", "tokens"] = "tubes"
    temperature: Annotated[float, Range(1e-4, 1e4)] = 0.1
    exclude_self: bool = False
    variance_weight: Annotated[float, Range(0, 1e6)] = 0.3
    least_std: Annotated[float, Range(0, 1e6)] = 1.0
    normalise_variance: bool = True

    @property
    def by_micro_batch(self) -> bool:
        """Whether there is a floor under deviations, which are those of a micro-batch's masked tokens."""
        return self.variance_weight > 0

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from jepa_problems(self.encoder)
        yield from one_level_problems(self.encoder)
        if len(self.mask_ratio) != 2 or self.mask_ratio[0] > self.mask_ratio[1]:
            yield f"mask_ratio: expected the least and the most share, got {list(self.mask_ratio)}"
            return

        grid = self.encoder.grid
        least = self.mask_ratio[0]
        for ratio in self.mask_ratio:
            yield from mask_problems(grid, ratio)
        if num_masked_tubes(grid, least) < 2:
            yield f"mask_ratio: expected two masked tubes or more, to compare motion, got {least}"


@dataclass(frozen=True, kw_only=True)
class SurgMotionConfig:
    """The objective SurgMotion, as its code has it; the defaults are its recipe for motion, on a ViT-L. See its module.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder, with rotary positions.
        predictor: Predicts the averaged encoder's features; all kinds of masks share its first mask token.
        masks: The kinds of masks.
        mask_kinds: `one` draws a kind for each step, alike for all of its clips; evaluations take all kinds. `all`
            encodes every clip once with each.
        ema_decay: Share of the average that is kept at an update of the weights.
        motion_weight: How much more a masked token counts where all of it moves, a.
        variance_weight: Weight of the floor under the deviations.
        variance_over: Deviations are those of the masked tokens of a `clip`, or, as the released code runs, those of
            the micro-batch's clips at each place in the list of masked tokens, `batch`, which needs two clips or more.
        least_std: That floor.
        gram_weight: Weight of the cosines between masked tokens, 0.1 in one of the released recipes; 0 leaves them out.
        covariance_weight: Weight of the covariances of features, 0.05 there; 0 leaves them out.
    """

    has_average: ClassVar[bool] = True
    by_micro_batch: ClassVar[bool] = True

    name: Literal["surgmotion"] = "surgmotion"
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(size="large", positions="rope", drop_path=0.0)
    )
    predictor: PredictorConfig = field(default_factory=lambda: PredictorConfig(num_mask_tokens=1))
    masks: tuple[BlockMask, ...] = BLOCK_MASKS
    mask_kinds: Literal["one", "all"] = "one"
    ema_decay: Annotated[float, Range(0, 0.9999999)] = 0.99925
    motion_weight: Annotated[float, Range(0, 1e6)] = 2.0
    variance_weight: Annotated[float, Range(0, 1e6)] = 1.0
    variance_over: Literal["clip", "batch"] = "clip"
    least_std: Annotated[float, Range(0, 1e6)] = 1.0
    gram_weight: Annotated[float, Range(0, 1e6)] = 0.0
    covariance_weight: Annotated[float, Range(0, 1e6)] = 0.0

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from jepa_problems(self.encoder)
        yield from kinds_problems(self.masks)
        yield from one_level_problems(self.encoder)
        if self.encoder.num_frames < 2:
            yield (
                "encoder.num_frames: expected two frames or more, to see motion, got "
                f"{self.encoder.num_frames}"
            )


@dataclass(frozen=True, kw_only=True)
class SaltConfig:
    """The objective SALT; the defaults are its ViT-L, with a ViT-L as teacher. See its module.

    Attributes:
        name: Selects this objective.
        encoder: The video encoder, the student, with rotary positions.
        predictor: Predicts the teacher's features.
        masks: The kinds of masks. Every clip is encoded once with each.
        teacher: The frozen video teacher.
        normalise_targets: Whether the teacher's features pass a LayerNorm without parameters; false takes them raw.
    """

    has_average: ClassVar[bool] = False
    by_micro_batch: ClassVar[bool] = True

    name: Literal["salt"] = "salt"
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(size="large", positions="rope", drop_path=0.0)
    )
    predictor: PredictorConfig = field(default_factory=lambda: PredictorConfig(num_heads=16))
    masks: tuple[BlockMask, ...] = BLOCK_MASKS
    teacher: VideoTeacherConfig = field(default_factory=VideoTeacherConfig)
    normalise_targets: bool = True

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        yield from jepa_problems(self.encoder)
        yield from kinds_problems(self.masks)
        yield from one_level_problems(self.encoder)

        ours = (self.encoder.num_frames, *self.encoder.grid)
        theirs = (self.teacher.encoder.num_frames, *self.teacher.encoder.grid)
        if ours != theirs:
            yield (
                f"teacher.encoder: expected {_in_words(ours)}, as the student has, got "
                f"{_in_words(theirs)}; set its num_frames, tubelet_size, image_size and patch_size"
            )


def problems_beside(
    objective: object, *, stills_share: float | None, micro_batch_size: int
) -> Iterator[str]:
    """Yield what does not fit between an objective and the clips that a recipe gives it."""
    images = objective.images if isinstance(objective, VJepaConfig) else None
    if images and images.share != stills_share:
        yield (
            "data.order.stills_share: expected the share that objective.images has, "
            f"{images.share:g}, got {stills_share}"
        )

    over_clips = isinstance(objective, SurgMotionConfig) and objective.variance_over == "batch"
    if over_clips and micro_batch_size < 2:
        yield (
            "micro_batch_size: expected two clips or more, over which objective.variance_over=batch "
            f"takes deviations, got {micro_batch_size}; or set objective.variance_over=clip"
        )


def jepa_problems(encoder: EncoderConfig) -> Iterator[str]:
    """Yield what does not fit an objective with an averaged encoder and a predictor."""
    if not encoder.is_rotary:
        yield (
            "encoder.positions: expected rope or rope_scaled, which the predictor shares, got "
            f"{encoder.positions}"
        )
    if encoder.drop_path:
        yield (
            f"encoder.drop_path: expected 0, this objective drops nothing, got {encoder.drop_path}"
        )
    if encoder.grid.num_tubes < 2:
        yield (
            "encoder.patch_size: expected two tokens or more in a slice, one to see and one to "
            "predict, got one"
        )


def one_level_problems(encoder: EncoderConfig) -> Iterator[str]:
    """Yield what only `vjepa` trains of an encoder."""
    if encoder.levels:
        yield f"encoder.levels: expected none, which vjepa alone trains, got {list(encoder.levels)}"
    if encoder.images:
        yield "encoder.images: expected false, as vjepa alone trains on images as such, got true"


def kinds_problems(masks: tuple[BlockMask, ...]) -> Iterator[str]:
    """Yield what is wrong with the kinds of masks of an objective."""
    if not masks:
        yield "masks: expected at least one kind, got none"


def _in_words(numbers: tuple[int, int, int, int]) -> str:
    """Frames and tokens of a clip."""
    num_frames, *grid = numbers
    return f"{num_frames} frames and {' x '.join(map(str, grid))} tokens"
