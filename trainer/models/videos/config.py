"""The video teacher's numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from surgstream.configs.places import Folder
from surgstream.trainer.models.config import EncoderConfig


@dataclass(frozen=True, kw_only=True)
class VideoTeacherConfig:
    """The video teacher.

    Attributes:
        weights: A checkpoint's directory (`checkpoints/step_00060000`), an export of `surgstream export`, a folder of
            transformers, or a published .safetensors, .pth or .pt file. An average is taken where there is one.
        layout: The naming of the weights; `auto` knows our checkpoints and exports, and transformers' folders. See
            `warm_start.layout`.
        prefix: The prefix of the weights' names; see `warm_start.prefix`.
        encoder: The numbers of the encoder that they are of. It has the student's slices, rows and columns of tokens.
            Where its images are of another size, frames are resized to them.
        dtype: Type of its weights. With `fp32` it computes in the student's precision; with `bf16`, in half the memory,
            in bf16 from the pixels to the features.
        allow_random: Train against a random teacher when no weights are given; for tests and demonstrations.
        known_as: Whose weights those of the file are; see `warm_start.known_as`.
    """

    free_to_change: ClassVar[tuple[str, ...]] = ("known_as",)

    weights: Folder | None = None
    layout: Literal[
        "auto",
        "videomae",
        "surgvista",
        "vjepa2",
        "vjepa2_1",
        "transformers_videomae",
        "transformers_vjepa2",
    ] = "auto"
    prefix: str | None = None
    encoder: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(size="large", positions="rope", drop_path=0.0)
    )
    dtype: Literal["fp32", "bf16"] = "fp32"
    allow_random: bool = False
    known_as: str | None = None

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        if self.prefix is not None and self.weights is None:
            yield (
                f"prefix: expected a file of weights that it is about, got {self.prefix!r} and no "
                "weights"
            )
