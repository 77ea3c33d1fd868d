"""PyAV, which seeks in a video file, or decodes clips that were cut beforehand."""

import io
from collections.abc import Iterator
from typing import Any

import av

from surgstream.benchmarks.support.clip_work import Clip, ClipWork, Pixels, ReadClip
from surgstream.benchmarks.support.material import cut_video


def readers(work: ClipWork) -> dict[str, ReadClip]:
    """Seek to every frame of an all-intra video, or decode a cut clip from its start."""
    path = work.video("libx264", 1)
    cuts = [cut_video(path, frames.tolist()) for frames in work.frames]

    def seek(number: int) -> Clip:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            return work.augmented(
                number, [_frame_at(container, stream, frame) for frame in work.frames[number]]
            )

    def whole(number: int) -> Clip:
        data, places = cuts[number]
        with av.open(io.BytesIO(data)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            frames = list(_pixels(container))
        return work.augmented(number, [frames[place] for place in places])

    def cut(number: int) -> Clip:
        cut_video(path, work.frames[number].tolist())
        return whole(number)

    return {
        "PyAV, H.264 all-intra, seeking": seek,
        "PyAV, H.264 all-intra, cut beforehand": whole,
        "PyAV, H.264 all-intra, cutting included": cut,
    }


def _frame_at(container: Any, stream: Any, number: int) -> Pixels:
    container.seek(int(number / stream.average_rate / stream.time_base), stream=stream)
    return next(_pixels(container))


def _pixels(container: Any) -> Iterator[Pixels]:
    for frame in container.decode(video=0):
        yield frame.to_ndarray(format="rgb24")
