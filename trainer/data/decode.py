"""Decode JPEGs to normalised clips with DALI, on the GPU, or on the CPU with torch for the resizing."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nvidia.dali import fn, pipeline_def, types
from torch import Tensor
from torch.nn.functional import interpolate

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.data.augment import ClipTransform
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.errors import DecodeError
from surgstream.trainer.host.cores import cores_of_rank


class ClipDecoder:
    """Decodes, crops, resizes and normalises the frames of a micro-batch."""

    def __init__(
        self,
        config: DecodeConfig,
        *,
        max_clips: int,
        num_frames: int,
        image_size: int,
        device: torch.device,
    ) -> None:
        """Build the graphs.

        Args:
            config: Device and threads for decoding.
            max_clips: The largest batch that will be decoded.
            num_frames: Frames a clip, T.
            image_size: Height and width of the output in pixels.
            device: The device that the clips end up on.

        Raises:
            DecodeError: A GPU is asked for, and there is none.
        """
        self._num_frames = num_frames
        self._image_size = image_size

        on_gpu = device.type == "cuda"
        if config.device == "gpu" and not on_gpu:
            raise DecodeError(
                "decode.device: gpu: expected a GPU, this process has none; use auto or cpu"
            )

        threads = config.threads or cores_of_rank(os.environ)
        graph = {
            "batch_size": max_clips * num_frames,
            "num_threads": threads,
            "device_id": device.index if on_gpu else None,
            "prefetch_queue_depth": 1,
        }

        self._resizer: _Resizer | None = None
        if on_gpu and config.device != "cpu":
            self._decoding = _clips_graph(image_size=image_size, **graph)
        else:
            # Decoding stays on the CPU even where there is a GPU, which then only normalises.
            self._decoding = _windows_graph(**(graph | {"device_id": None}))
            self._resizer = _Resizer(max_clips * num_frames, image_size, threads)
            self._normalising = _normalising_graph(on_gpu=on_gpu, **graph)
            self._normalising.build()

        self._decoding.build()

    def decode(self, frames: Sequence[npt.NDArray[np.uint8]], transform: ClipTransform) -> Tensor:
        """Decode one micro-batch.

        Args:
            frames: B * T encoded JPEGs, clip by clip, oldest frame first.
            transform: The augmentation of the B clips.

        Returns:
            Clips (B, C, T, H, W), float32, ImageNet-normalised, on the decoder's `device`: a strided view of the
            graph's own output, not a copy.

        Raises:
            DecodeError: A frame is not a whole JPEG. The decoder cannot be used again.
        """
        # (B, 4) to (B T, 2, 2): two corners (y, x) of the window, for each frame.
        corners = transform.windows.reshape(-1, 2, 2)[:, :, ::-1]
        corners = np.repeat(corners, self._num_frames, axis=0)
        start = np.ascontiguousarray(corners[:, 0])
        end = np.ascontiguousarray(corners[:, 1])

        try:
            # Returns when the images are ready, on a GPU too.
            (images,) = self._decoding.run(jpeg=list(frames), start=start, end=end)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise DecodeError(f"expected whole JPEG frames, DALI says: {reason}") from None

        if self._resizer:
            (images,) = self._normalising.run(pixels=self._resizer.resize(images))

        pixels: Tensor = torch.utils.dlpack.from_dlpack(images.as_tensor())
        clips = pixels.view(-1, self._num_frames, 3, self._image_size, self._image_size)
        return clips.transpose(1, 2)


class _Resizer:
    """Resizes bytes with torch, in a sixth of the CPU time that DALI's resize takes.

    The result is a buffer that the next call overwrites: fresh pages would cost more than the resizing.
    """

    def __init__(self, max_images: int, image_size: int, threads: int) -> None:
        self._pixels = np.empty((max_images, image_size, image_size, 3), np.uint8)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resize")

    def resize(self, images: Iterable[Any]) -> npt.NDArray[np.uint8]:
        """Resize DALI's images (h, w, C) of any sizes to one size: (N, H, W, C), bytes."""
        sources = list(images)
        pixels = self._pixels[: len(sources)]
        parts = [slice(first, None, self._threads) for first in range(self._threads)]

        sources_of_threads = [sources[part] for part in parts]
        pixels_of_threads = [pixels[part] for part in parts]
        # A list waits for all threads, and raises what one of them raised.
        list(self._pool.map(_resize, sources_of_threads, pixels_of_threads))
        return pixels


def _resize(images: Sequence[Any], pixels: npt.NDArray[np.uint8]) -> None:
    size = pixels.shape[1:3]
    for image, out in zip(images, pixels, strict=True):
        # The batch axis comes before permuting, or torch copies the image to planes.
        pixel_rows = torch.utils.dlpack.from_dlpack(image)[None]
        planes = pixel_rows.permute(0, 3, 1, 2)
        resized = interpolate(planes, size, mode="bilinear", antialias=True)
        out[...] = resized[0].permute(1, 2, 0).numpy()


@pipeline_def  # type: ignore[untyped-decorator]
def _clips_graph(image_size: int) -> Any:
    """(bytes, window start (y, x), window end (y, x)) -> (C, H, W) floats, for every frame of a batch, on the GPU."""
    images = fn.resize(
        _window("mixed"),
        size=(image_size, image_size),
        interp_type=types.INTERP_LINEAR,
        antialias=True,
    )
    return _normalised(images)


@pipeline_def  # type: ignore[untyped-decorator]
def _windows_graph() -> Any:
    """The same input -> (h, w, C) bytes, on the CPU."""
    return _window("cpu")


@pipeline_def  # type: ignore[untyped-decorator]
def _normalising_graph(on_gpu: bool) -> Any:
    """(H, W, C) bytes -> (C, H, W) floats. Bytes travel to a GPU four times as fast as floats."""
    pixels = fn.external_source(
        name="pixels", dtype=types.UINT8, ndim=3, layout="HWC", no_copy=True
    )
    return _normalised(pixels.gpu() if on_gpu else pixels)


def _window(device: str) -> Any:
    jpeg = fn.external_source(name="jpeg", dtype=types.UINT8, ndim=1)
    start = fn.external_source(name="start", dtype=types.INT32, ndim=1)
    end = fn.external_source(name="end", dtype=types.INT32, ndim=1)
    # Decode only the window: a tenth faster on the CPU than resizing a region, whose filter also reaches beyond it.
    return fn.decoders.image_slice(
        jpeg, start=start, end=end, axis_names="HW", device=device, output_type=types.RGB
    )


def _normalised(images: Any) -> Any:
    return fn.crop_mirror_normalize(
        images,
        dtype=types.FLOAT,
        output_layout="CHW",
        mean=[255 * value for value in IMAGENET_MEAN],
        std=[255 * value for value in IMAGENET_STD],
    )
