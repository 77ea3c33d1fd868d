"""JPEG bytes to normalised clips: one DALI graph, on the CPU or on the GPU."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nvidia.dali import fn, pipeline_def, types
from torch import Tensor

from trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from trainer.data.augment import Windows
from trainer.data.config import DecodeConfig
from trainer.errors import DecodeError


class ClipDecoder:
    """Decodes, crops, resizes and normalises the frames of a micro-batch."""

    def __init__(
        self, config: DecodeConfig, *, max_clips: int, num_frames: int, image_size: int, device: torch.device
    ) -> None:
        """Build the graph.

        Args:
            config: Where to decode.
            max_clips: The largest batch that will be decoded.
            num_frames: Frames a clip, T.
            image_size: Height and width of the output in pixels.
            device: Where the clips are wanted.
        """
        self._num_frames, self._image_size = num_frames, image_size
        if config.device == "gpu" and device.type != "cuda":
            raise DecodeError("decode.device: gpu: expected a GPU, this process has none; use auto or cpu")
        has_gpu = device.type == "cuda"
        self._pipeline = _graph(
            decoder="mixed" if has_gpu and config.device != "cpu" else "cpu",
            to_gpu=has_gpu,
            image_size=image_size,
            batch_size=max_clips * num_frames,
            num_threads=config.threads or cores_of_rank(os.environ),
            device_id=device.index if has_gpu else None,
            prefetch_queue_depth=1,
        )
        self._pipeline.build()

    def decode(self, frames: Sequence[npt.NDArray[np.uint8]], windows: Windows) -> Tensor:
        """Decode one micro-batch.

        Args:
            frames: B * T encoded JPEGs, clip by clip, oldest frame first.
            windows: One crop window (left, top, right, bottom) in pixels a clip, shape (B, 4).

        Returns:
            Clips (B, C, T, H, W), float32, ImageNet-normalised, on the device they are wanted on: a strided view of the
            graph's own output, not a copy.

        Raises:
            DecodeError: A frame is not a whole JPEG. The graph is of no further use.
        """
        corners = np.repeat(windows.reshape(-1, 2, 2), self._num_frames, axis=0)[:, :, ::-1]  # as (y, x)
        start, end = np.ascontiguousarray(corners[:, 0]), np.ascontiguousarray(corners[:, 1])
        try:
            (images,) = self._pipeline.run(
                jpeg=list(frames), start=start, end=end
            )  # returns when the images are ready, on a GPU too
        except RuntimeError as error:
            raise DecodeError(f"expected whole JPEG frames, DALI says: {str(error).splitlines()[0]}") from None
        clips: Tensor = torch.utils.dlpack.from_dlpack(images.as_tensor())
        return clips.view(-1, self._num_frames, 3, self._image_size, self._image_size).transpose(1, 2)


def cores_of_rank(environment: Mapping[str, str]) -> int:
    """CPU cores that this rank may keep busy: those it is bound to, or its share of those that its node's ranks share.

    Args:
        environment: `os.environ`, or a copy.
    """
    cores = len(os.sched_getaffinity(0))
    if "LOCAL_WORLD_SIZE" in environment:  # torchrun binds nobody
        return max(1, cores // int(environment["LOCAL_WORLD_SIZE"]))
    bound = cores < int(environment.get("SLURM_CPUS_ON_NODE", cores))
    tasks = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    return cores if bound or not tasks else max(1, cores // int(tasks[0]))


@pipeline_def  # type: ignore[untyped-decorator]
def _graph(decoder: str, to_gpu: bool, image_size: int) -> Any:
    """(bytes, window start (y, x), window end (y, x)) -> (C, H, W) floats, for every frame of a batch."""
    jpeg = fn.external_source(name="jpeg", dtype=types.UINT8, ndim=1)
    start = fn.external_source(name="start", dtype=types.INT32, ndim=1)
    end = fn.external_source(name="end", dtype=types.INT32, ndim=1)
    # Decode only the window: a tenth faster on the CPU than resizing a region, whose filter also reaches beyond it.
    images = fn.decoders.image_slice(jpeg, start=start, end=end, axis_names="HW", device=decoder, output_type=types.RGB)
    scaled: Any = fn.resize(images, size=(image_size, image_size), interp_type=types.INTERP_LINEAR, antialias=True)
    # What the CPU decodes is sent as bytes, a quarter of the floats, by DALI: from pinned memory, on its own stream.
    return fn.crop_mirror_normalize(
        scaled.gpu() if to_gpu else scaled,
        dtype=types.FLOAT,
        output_layout="CHW",
        mean=[255 * value for value in IMAGENET_MEAN],
        std=[255 * value for value in IMAGENET_STD],
    )
