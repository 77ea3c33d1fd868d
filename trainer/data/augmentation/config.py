"""The augmentations' numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from surgstream.configs.ranges import Range


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Multi-scale cropping: one window a clip, shared by its frames, resized to the model's square input.

    Attributes:
        scales: Window sides as fractions of the frame's short side.
        max_distortion: Largest distance, in places of `scales`, between a window's width and its height.
        offsets: `fixed` places windows at one of 13 points, `uniform` anywhere in the frame.
    """

    scales: tuple[Annotated[float, Range(0.01, 1)], ...] = (1.0, 0.875, 0.75, 0.66)
    max_distortion: Annotated[int, Range(0, 100)] = 1
    offsets: Literal["fixed", "uniform"] = "fixed"

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if not self.scales:
            yield "scales: expected at least one, got none"


@dataclass(frozen=True, kw_only=True)
class ResizedCropConfig:
    """Random resized crops: one window a clip, of a drawn share of the frame, resized to the model's square input.

    Attributes:
        scale: The least and the most share of the frame's area.
        ratio: The least and the most width of a window by its height.
    """

    scale: tuple[Annotated[float, Range(1e-4, 1)], ...] = (0.7, 1.0)
    ratio: tuple[Annotated[float, Range(0.01, 100)], ...] = (0.75, 4 / 3)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        yield from _range_problems("scale", self.scale)
        yield from _range_problems("ratio", self.ratio)


@dataclass(frozen=True, kw_only=True)
class RandAugmentConfig:
    """RandAugment of timm, alike for all frames of a clip; the defaults are its `rand-m7-n4-mstd0.5-inc1`.

    Attributes:
        magnitude: Mean strength of an operation; 10 is the most.
        num_ops: Operations that are drawn for a clip, one after another, with replacement.
        magnitude_std: Standard deviation of the strength.
        increasing: Whether a higher magnitude is a stronger change for every operation; false has those of
            AutoAugment, some of which change less.
        probability: Share of the drawn operations that are applied.
    """

    magnitude: Annotated[float, Range(0, 10)] = 7.0
    num_ops: Annotated[int, Range(1, 16)] = 4
    magnitude_std: Annotated[float, Range(0, 10)] = 0.5
    increasing: bool = True
    probability: Annotated[float, Range(0, 1)] = 0.5


@dataclass(frozen=True, kw_only=True)
class EraseConfig:
    """Random erasing: noise in a box, at one place in all frames of a clip.

    Attributes:
        probability: Share of the clips that have a box.
        area: The least and the most share of the picture.
        aspect: The least height of a box by its width; the most is its inverse.
    """

    probability: Annotated[float, Range(0, 1)] = 0.25
    area: tuple[Annotated[float, Range(1e-4, 1)], ...] = (0.02, 1 / 3)
    aspect: Annotated[float, Range(0.01, 1)] = 0.3

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        yield from _range_problems("area", self.area)


def _range_problems(name: str, values: tuple[float, ...]) -> Iterator[str]:
    """Yield what is wrong with a least and a greatest value."""
    if len(values) != 2 or values[0] > values[1]:
        yield f"{name}: expected the least and the most, got {list(values)}"
