"""Cut clips through DALI's video decoder: what a `video` payload would be read by, on NVDEC."""

from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from torch import Tensor

from surgstream.benchmarks.support.clip_work import MEAN, STD, ClipWork
from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.material import IMAGE_SIZE, cut_video

VIDEOS = {
    "H.264 all-intra": ("libx264", 1),
    "H.264 GOP 8": ("libx264", 8),
    "HEVC all-intra": ("libx265", 1),
    "HEVC GOP 8": ("libx265", 8),
}


def cases(work: ClipWork, *, on_gpu: bool, threads: int) -> list[Case]:
    """Decode on the GPU; DALI's CPU decoder knows neither codec."""
    rows = []
    for name, (codec, gop_frames) in VIDEOS.items():
        title = f"DALI on the GPU, {name}, cut beforehand"
        if on_gpu:
            decoder = CutClips(work, codec, gop_frames, device_id=0, threads=threads)
            rows.append(Case(title, "clips", decoder.count))
        else:
            rows.append(Case(title, "clips", None, missing="needs a GPU"))
    return rows


class CutClips:
    """Clips cut from a video of the work, as a batch for DALI."""

    def __init__(
        self, work: ClipWork, codec: str, gop_frames: int, *, device_id: int | None, threads: int
    ) -> None:
        path = work.video(codec, gop_frames)
        cuts = [cut_video(path, frames.tolist()) for frames in work.frames]
        # (B, 2, 2), corners as (y, x): DALI's regions have their axes in the frames' order
        corners = work.transform.windows.reshape(-1, 2, 2)[:, :, ::-1].astype(np.float32)

        self._inputs = {
            "video": [np.frombuffer(data, np.uint8) for data, _ in cuts],
            "frames": [np.array(places, np.int32) for _, places in cuts],
            "start": np.ascontiguousarray(corners[:, 0]),
            "end": np.ascontiguousarray(corners[:, 1]),
        }

        self._pipeline = _graph(
            decoder="cpu" if device_id is None else "mixed",
            batch_size=len(cuts),
            num_threads=threads,
            device_id=device_id,
            prefetch_queue_depth=1,
        )
        self._pipeline.build()

    def decode(self) -> Tensor:
        """All clips, (B, T, C, H, W)."""
        (clips,) = self._pipeline.run(**self._inputs)
        tensor: Tensor = torch.utils.dlpack.from_dlpack(clips.as_tensor())
        return tensor

    def count(self) -> int:
        """Decode all clips; how many they are."""
        return len(self.decode())


@pipeline_def  # type: ignore[untyped-decorator]
def _graph(decoder: str) -> Any:
    video = fn.external_source(name="video", dtype=types.UINT8, ndim=1)
    frames = fn.external_source(name="frames", dtype=types.INT32, ndim=1)
    start = fn.external_source(name="start", dtype=types.FLOAT, ndim=1)
    end = fn.external_source(name="end", dtype=types.FLOAT, ndim=1)

    clips = fn.decoders.video(video, frames=frames, device=decoder)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    clips = fn.resize(
        clips,
        size=size,
        roi_start=start,
        roi_end=end,
        interp_type=types.INTERP_LINEAR,
        antialias=True,
    )
    return fn.crop_mirror_normalize(
        clips,
        dtype=types.FLOAT,
        output_layout="FCHW",
        mean=MEAN.ravel().tolist(),
        std=STD.ravel().tolist(),
    )
