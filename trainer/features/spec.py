"""What decides stored features, and the key that stands for it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from surgstream.configs.loading import to_tree
from surgstream.shards.format.checksummed import digest

CODE_VERSION = 1
"""Raised when the same weights give other features than before, such as by another way to resize pictures."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """What decides the features of a frame.

    Attributes:
        weights: What the encoder is called. It is told, and decides nothing.
        identity: SHA-256 of the encoder's weights, and of what else decides what it computes.
        corpus: SHA-256 of the corpus's manifest.
        fps: Frames a second that clips are cut at; None where every packed frame is shown.
        num_frames: Frames of a clip.
        stride: Frames from one of a clip to the next, at that rate.
        image_size: Height and width of a clip in pixels.
        view: What is seen of a picture.
        precision: Precision of the encoder's arithmetic.
        dtype: Type of the stored numbers.
        per: `pooled` or `slices`.
        shape: Shape of a frame's features: (D,) pooled, or (S, D).
        code_version: See `CODE_VERSION`.
    """

    weights: str
    identity: str
    corpus: str
    fps: float | None
    num_frames: int
    stride: int | Literal["uniform"]
    image_size: int
    view: str
    precision: str
    dtype: Literal["float16", "float32"]
    per: Literal["pooled", "slices"]
    shape: tuple[int, ...]
    code_version: int = CODE_VERSION

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that decides features, in hexadecimal."""
        return digest(self.deciding())

    def about(self) -> dict[str, Any]:
        """All fields, as `about.json` has them."""
        tree: dict[str, Any] = to_tree(self)
        return tree

    def deciding(self) -> dict[str, Any]:
        """The fields that decide features."""
        tree = self.about()
        del tree["weights"]
        return tree
