"""Where it stands what is true of each pixel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from surgstream.configs.ranges import Range
from surgstream.trainer.evaluation.metrics.samples import TaskKind

_MAX_CLASSES = 255
"""Of masks, which have 8 bits a pixel, and 0 for none."""


@dataclass(frozen=True, kw_only=True)
class LayerTruth:
    """The layer of a corpus that has what is true of each pixel.

    Attributes:
        name: Its name, such as `mask`.
        above: Of masks with one class: the pixels of a greater value are of that class.
        near_mm: The least distance that a head can predict.
        far_mm: The greatest one. True distances beyond count all the same.
    """

    shorthand: ClassVar[str] = "name"

    name: str
    above: Annotated[int, Range(0, 254)] = 0
    near_mm: Annotated[float, Range(0.01, 655)] = 1.0
    far_mm: Annotated[float, Range(0.01, 655)] = 100.0

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.near_mm >= self.far_mm:
            yield f"far_mm: expected more than near_mm {self.near_mm:g}, got {self.far_mm:g}"


def problems_of_layer(
    layer: LayerTruth | None, kind: TaskKind, classes: Sequence[str], *, has_files: bool
) -> Iterator[str]:
    """Yield what of a task does not fit its layer.

    Args:
        layer: The layer, where there is one.
        kind: What a label is.
        classes: The names of the classes.
        has_files: Whether the task names files of labels.
    """
    is_dense = kind in ("mask", "depth")
    if is_dense and has_files:
        yield f"labels: expected `layer` instead, as the kind is {kind}, got files"
    if not is_dense and layer:
        yield f"layer: expected null, as the kind is {kind}, got {layer.name!r}"
    if is_dense and len(classes) > _MAX_CLASSES:
        yield f"classes: expected at most {_MAX_CLASSES}, got {len(classes)}"
    if layer and layer.above and len(classes) != 1:
        yield f"layer.above: expected 0 unless there is one class, got {layer.above}"
