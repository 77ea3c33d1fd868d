"""Decode JPEGs to normalised clips with DALI, on the GPU, or on the CPU with torch for the resizing."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surgstream.trainer.data.augment import ClipTransform, augmented
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.graphs import (
    Graph,
    GraphError,
    clips_graph,
    normalising_graph,
    windows_graph,
)
from surgstream.trainer.data.resize import Resizer
from surgstream.trainer.errors import DamagedFramesError, DecodeError, DecodingDeviceError
from surgstream.trainer.host.cores import cores_of_rank

Int64 = npt.NDArray[np.int64]

_BUSY_CORES = 3
"""Cores of a rank with a GPU that decoding leaves to the thread that launches kernels, to autograd and to NCCL."""


class ClipDecoder:
    """Decodes, crops, resizes, normalises and augments the frames of a micro-batch."""

    _own_stream: torch.cuda.Stream | None = None
    """Where a GPU repeats and augments, once it has to."""

    def __init__(
        self,
        config: DecodeConfig,
        *,
        max_clips: int,
        num_frames: int,
        image_size: int,
        device: torch.device,
        gpu_decodes: bool = False,
    ) -> None:
        """Build the graphs.

        Args:
            config: Device and threads for decoding.
            max_clips: The largest batch that will be decoded.
            num_frames: Frames a clip, T.
            image_size: Height and width of the output in pixels.
            device: The device that the clips end up on.
            gpu_decodes: Whether preflight has seen GPUs decode; `auto` decodes on the CPU where it has not.

        Raises:
            DecodeError: A GPU is asked for, and there is none.
            DecodingDeviceError: The device has too little memory, or does not work.
        """
        self._num_frames = num_frames
        self._image_size = image_size

        has_gpu = device.type == "cuda"
        if config.device == "gpu" and not has_gpu:
            raise DecodeError(
                "data.decode.device: expected a GPU for gpu, this process has none; set it to auto or cpu"
            )
        wants_gpu = config.device == "gpu" or (config.device == "auto" and gpu_decodes)
        self._on_gpu = has_gpu and wants_gpu
        self._whole_frames = self._on_gpu and config.gpu_whole_frames

        threads = config.threads or decoding_threads(os.environ, has_gpu=has_gpu)
        settings = {
            "batch_size": max_clips * num_frames,
            "num_threads": threads,
            "device_id": device.index if has_gpu else None,
        }

        self._resizer: Resizer | None = None
        try:
            if self._on_gpu:
                self._decoding = Graph(
                    clips_graph,
                    image_size=image_size,
                    whole_frames=self._whole_frames,
                    **settings,
                )
            else:
                # Decoding stays on the CPU even where there is a GPU, which then only normalises.
                on_cpu = settings | {"device_id": None}
                self._decoding = Graph(windows_graph, whole_frames=False, **on_cpu)
                self._normalising = Graph(normalising_graph, on_gpu=has_gpu, **settings)
                self._resizer = Resizer(max_clips * num_frames, image_size, threads, pinned=has_gpu)
        except RuntimeError as error:
            raise self._device_error(error) from None

    def decode(
        self,
        frames: Sequence[npt.NDArray[np.uint8]],
        transform: ClipTransform,
        stills: npt.NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """Decode one micro-batch. A still is decoded once, whose pixels are then repeated.

        Args:
            frames: N encoded JPEGs, clip by clip, oldest frame first: T of a clip, one of a still.
            transform: The augmentation of the B clips.
            stills: (B,), which clips are stills; None where none is.

        Returns:
            Clips (B, C, T, H, W), float32, ImageNet-normalised, on the decoder's `device`: a strided view of the
            graph's own output, not a copy, unless the transform changes pixels or a GPU has decoded stills.

        Raises:
            DamagedFramesError: Frames are no JPEGs that can be decoded.
            DecodingDeviceError: The frames are sound, but memory or the GPU failed.
        """
        num_given, shown = self._layout(len(transform.windows), stills)
        # (B, 4) to (N, 2, 2): two corners (y, x) of the window, for each frame.
        corners = transform.windows.reshape(-1, 2, 2)[:, :, ::-1]
        corners = np.repeat(corners, num_given, axis=0)
        start = np.ascontiguousarray(corners[:, 0])
        end = np.ascontiguousarray(corners[:, 1])

        try:
            images = self._decoding.run(jpeg=list(frames), start=start, end=end)
            if self._resizer:
                resized = self._resizer.resize(images)
                # The bytes of a still are handed to DALI several times, and not copied.
                pixels = resized if shown is None else [resized[i] for i in shown]
                images, shown = self._normalising.run(pixels=pixels), None
        except GraphError as error:
            raise self._cause(error, frames, start, end) from None

        return self._clips(torch.utils.dlpack.from_dlpack(images.as_tensor()), shown, transform)

    def _layout(
        self, num_clips: int, stills: npt.NDArray[np.bool_] | None
    ) -> tuple[Int64, Int64 | None]:
        """How many frames of each clip are given, (B,), and which of them all each of the B * T frames shows.

        The latter is None where there is no still, since they are then the same.
        """
        num_given = np.full(num_clips, self._num_frames)
        if stills is None or not stills.any():
            return num_given, None

        num_given[stills] = 1
        num_shown = np.repeat(self._num_frames // num_given, num_given)
        return num_given, np.repeat(np.arange(num_shown.size), num_shown)

    def _clips(self, pixels: Tensor, shown: Int64 | None, transform: ClipTransform) -> Tensor:
        """Make clips of frames (N, C, H, W); on a GPU beside the trainer's kernels, not after those that are queued."""

        def made() -> Tensor:
            frames = pixels if shown is None else pixels[torch.from_numpy(shown).to(pixels.device)]
            clips = frames.view(-1, self._num_frames, *frames.shape[1:])
            return augmented(clips.transpose(1, 2), transform)

        if not pixels.is_cuda or (shown is None and not transform.changes_pixels):
            return made()

        trainers = torch.cuda.current_stream(pixels.device)
        own = self._own_stream or torch.cuda.Stream(pixels.device)  # type: ignore[no-untyped-call]
        self._own_stream = own
        with torch.cuda.stream(own):
            clips = made()

        # The memory is free for others once the trainer's kernels, too, are done with it
        clips.record_stream(trainers)
        # The graph may now write to its pixels again
        own.synchronize()
        return clips

    def _cause(
        self,
        error: GraphError,
        frames: Sequence[npt.NDArray[np.uint8]],
        start: npt.NDArray[np.int32],
        end: npt.NDArray[np.int32],
    ) -> DecodeError:
        """Why a batch failed: for its frames, or, where each of them decodes by itself on the CPU, for the device."""
        reasons: dict[int, str] = {}
        try:
            if not error.is_of_the_device:
                reasons = self._damage(frames, start, end)
        except GraphError as another:  # not even the CPU decodes
            error = another
        return DamagedFramesError(reasons) if reasons else self._device_error(error)

    def _damage(
        self,
        frames: Sequence[npt.NDArray[np.uint8]],
        start: npt.NDArray[np.int32],
        end: npt.NDArray[np.int32],
    ) -> dict[int, str]:
        """Decode as much of each frame as the batch needs, one by one on the CPU: what is wrong, by position.

        Raises:
            GraphError: It is not for the frames that decoding fails.
        """
        one_by_one = {"batch_size": 1, "num_threads": 1, "device_id": None}
        graph = Graph(windows_graph, whole_frames=self._whole_frames, **one_by_one)
        reasons = {}
        for i, frame in enumerate(frames):
            try:
                graph.run(jpeg=[frame], start=start[i : i + 1], end=end[i : i + 1])
            except GraphError as error:
                if error.is_of_the_device:
                    raise
                reasons[i] = f"expected a JPEG that can be decoded, DALI says: {error}"
        return reasons

    def _device_error(self, error: RuntimeError) -> DecodingDeviceError:
        place = "GPU" if self._on_gpu else "CPU"
        advice = "set data.decode.device=cpu" if self._on_gpu else "set fewer data.decode.threads"
        return DecodingDeviceError(
            f"decoding on the {place}: expected pixels, got: {error}; "
            f"{advice}, or a smaller micro_batch_size where memory is short"
        )


def decoding_threads(environment: Mapping[str, str], *, has_gpu: bool) -> int:
    """Count the threads that decode, and then resize, on this rank.

    Args:
        environment: `os.environ`, or a copy.
        has_gpu: Whether the rank has a GPU, whose work needs cores as well.
    """
    cores = cores_of_rank(environment)
    return max(1, cores - _BUSY_CORES) if has_gpu else cores
