"""The numbers of the objective SALT."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from surgstream.trainer.objectives.jepa_config import (
    BLOCK_MASKS,
    jepa_problems,
    kinds_problems,
    one_level_problems,
)
from surgstream.trainer.objectives.masks.masking import BlockMask


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


def _in_words(numbers: tuple[int, int, int, int]) -> str:
    """Frames and tokens of a clip."""
    num_frames, *grid = numbers
    return f"{num_frames} frames and {' x '.join(map(str, grid))} tokens"
