"""Layers of a dataset: dense labels such as masks or depth, a picture for each frame of a video.

    layers:
      mask: masks/{video}.mkv
      depth: {path: "depth/{video}", millimetres_per_unit: 0.01}

A layer of a video is a lossless gray video of the same pictures, a folder of numbered images, or, where the video
is a still image, one image. A folder may lack images, and a video all of a layer. Where the parts of a release have
their pictures in folders of other names, `path` is a list, and a video's layer is the first of these that is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from surgstream.configs.places import Anywhere
from surgstream.configs.ranges import Range
from surgstream.shards.format.names import is_layer

Values = Literal["classes", "depth"]
"""What the pictures of a layer hold: numbers of classes, or distances."""


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """Where the pictures of a layer are, and what their values mean.

    Attributes:
        path: A video, an image or a folder of numbered images, with `{video}` where the id goes, or the fields of an
            id. A glob as the last step of the path, such as `depth/{video}/*_depth.tiff`, chooses among the images.
            Of a list the first path that is there counts, for each video by itself.
        millimetres_per_unit: Makes the layer one of distances: what a value of 1 means. Null for classes, whose
            values are kept as they are.
        image_fps: Numbers of a folder's images that pass in a second. Null where the images have the numbers of the
            video's pictures: those that follow each other in a video file, or those of a folder of images.
        first: The number of the image that belongs to the first picture of a video file.
    """

    shorthand: ClassVar[str] = "path"

    path: Anywhere | tuple[Anywhere, ...]
    millimetres_per_unit: Annotated[float, Range(1e-9, 1e6)] | None = None
    image_fps: Annotated[float, Range(0.001, 1e3)] | None = None
    first: Annotated[int, Range(0, 10**9)] = 0

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths to look at, in this order."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def values(self) -> Values:
        """What the pictures hold."""
        return "classes" if self.millimetres_per_unit is None else "depth"


@dataclass(frozen=True, kw_only=True)
class LayerSource:
    """The layer of one video: paths or `s3://` addresses, of which the first that is there counts, and its settings."""

    locations: tuple[str, ...]
    config: LayerConfig


def problems(layers: Mapping[str, LayerConfig]) -> Iterator[str]:
    """Yield what is wrong with the layers of a dataset, in words."""
    for name, layer in layers.items():
        if not is_layer(name):
            yield f"layers: expected a name of 1 to 32 characters of a-z 0-9 _, got {name!r}"
        if not layer.paths:
            yield f"layers.{name}.path: expected a path or a list of them, got none"
        if name == "depth" and layer.values == "classes":
            yield (
                "layers.depth: expected millimetres_per_unit, what a value of 1 means, got none; "
                "such as {path: ..., millimetres_per_unit: 0.01}"
            )


def values_of(datasets: Mapping[str, Mapping[str, LayerConfig]]) -> dict[str, Values]:
    """What each layer holds, by its name.

    Args:
        datasets: The layers of each dataset, by the name of the dataset.

    Raises:
        ValueError: One is of classes in a dataset, and of distances in another; says which.
    """
    found: dict[str, tuple[str, Values]] = {}
    for dataset, layers in datasets.items():
        for name, layer in layers.items():
            first, values = found.setdefault(name, (dataset, layer.values))
            if values != layer.values:
                raise ValueError(
                    f"layers.{name}: expected {values} in all datasets, as in {first}, got "
                    f"{layer.values} in {dataset}; give one of them another name"
                )
    return {name: values for name, (_, values) in found.items()}
