"""DALI's graphs: JPEGs to pixels, on the GPU or on the CPU."""

import re
from collections.abc import Callable
from typing import Any

from nvidia.dali import fn, pipeline_def, types

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD

_REASON = re.compile(r"encountered:\s*(.*?)[\s:]*(?:Current pipeline object|$)", re.DOTALL)
_OF_THE_DEVICE = re.compile(
    r"\bCUDA\b|\bcuda[A-Z]|(?i:out of memory|allocation failed|bad_alloc|nvml)"
)


class GraphError(RuntimeError):
    """A graph could not be built, or could not run; the message is DALI's reason on one line."""

    @property
    def is_of_the_device(self) -> bool:
        """Whether memory or the GPU is at fault beyond doubt. nvImageCodec's numbers leave that open."""
        return _OF_THE_DEVICE.search(str(self)) is not None


class Graph:
    """One of the pipelines below, built anew after each of its errors: DALI calls it invalid from then on."""

    def __init__(self, make: Callable[..., Any], **settings: Any) -> None:
        """Build it.

        Args:
            make: Makes the pipeline.
            settings: What it is made with.

        Raises:
            GraphError: It cannot be built.
        """
        self._make = make
        # On a GPU no second batch may be under way: nvJPEG's hardware decoder on Hopper writes without waiting for
        # whoever still reads the memory that it was given (torchcodec's pull request 1634).
        self._settings = {"prefetch_queue_depth": 1, **settings}
        self._pipeline: Any = None
        self._build()

    def run(self, **inputs: Any) -> Any:
        """Run one batch; returns DALI's list of outputs once they are ready, on a GPU too.

        Raises:
            GraphError: DALI could not run it.
        """
        if self._pipeline is None:
            self._build()
        try:
            (outputs,) = self._pipeline.run(**inputs)
        except RuntimeError as error:
            self._pipeline = None
            raise GraphError(_reason(error)) from None
        return outputs

    def _build(self) -> None:
        try:
            pipeline = self._make(**self._settings)
            pipeline.build()
        except RuntimeError as error:
            raise GraphError(_reason(error)) from None
        self._pipeline = pipeline


@pipeline_def  # type: ignore[untyped-decorator]
def clips_graph(image_size: int, whole_frames: bool, device: str = "mixed") -> Any:
    """(bytes, window start (y, x), window end (y, x)) -> (C, H, W) floats, for every frame of a batch.

    Whole frames are cropped by the resizing, whose filter also sees the pixels next to the window.
    """
    start, end = _window()
    region: dict[str, Any] = {}
    if whole_frames:
        images = _whole_frame(device)
        region["roi_start"] = fn.cast(start, dtype=types.FLOAT)
        region["roi_end"] = fn.cast(end, dtype=types.FLOAT)
    else:
        images = _window_alone(start, end, device)

    images = fn.resize(
        images,
        size=(image_size, image_size),
        interp_type=types.INTERP_LINEAR,
        antialias=True,
        **region,
    )
    return _normalised(images)


@pipeline_def  # type: ignore[untyped-decorator]
def windows_graph(whole_frames: bool) -> Any:
    """The same input -> (h, w, C) bytes of the window, on the CPU."""
    start, end = _window()
    if whole_frames:
        return fn.slice(_whole_frame("cpu"), start=start, end=end, axis_names="HW")
    return _window_alone(start, end, "cpu")


@pipeline_def  # type: ignore[untyped-decorator]
def normalising_graph(on_gpu: bool) -> Any:
    """(H, W, C) bytes -> (C, H, W) floats. Bytes travel to a GPU four times as fast as floats."""
    pixels = fn.external_source(
        name="pixels", dtype=types.UINT8, ndim=3, layout="HWC", no_copy=True
    )
    return _normalised(pixels.gpu() if on_gpu else pixels)


def _reason(error: RuntimeError) -> str:
    """What DALI says was wrong, without its stack."""
    said = _REASON.search(str(error))
    reason = said.group(1) if said else str(error)
    return " ".join(reason.split())


def _window() -> tuple[Any, Any]:
    start = fn.external_source(name="start", dtype=types.INT32, ndim=1)
    end = fn.external_source(name="end", dtype=types.INT32, ndim=1)
    return start, end


def _whole_frame(device: str) -> Any:
    return fn.decoders.image(_jpeg(), **_decoding(device))


def _window_alone(start: Any, end: Any, device: str) -> Any:
    # On the CPU a tenth faster than resizing a region of whole frames.
    return fn.decoders.image_slice(
        _jpeg(), start=start, end=end, axis_names="HW", **_decoding(device)
    )


def _jpeg() -> Any:
    return fn.external_source(name="jpeg", dtype=types.UINT8, ndim=1)


def _decoding(device: str) -> dict[str, Any]:
    # By default a GPU repeats the halved chroma of JPEGs where a CPU interpolates it.
    return {"device": device, "output_type": types.RGB, "jpeg_fancy_upsampling": True}


def _normalised(images: Any) -> Any:
    return fn.crop_mirror_normalize(
        images,
        dtype=types.FLOAT,
        output_layout="CHW",
        mean=[255 * value for value in IMAGENET_MEAN],
        std=[255 * value for value in IMAGENET_STD],
    )
