"""decord, which seeks in a video file."""

from functools import partial

from decord import VideoReader

from surgstream.benchmarks.support.clip_work import Clip, ClipWork, ReadClip


def readers(work: ClipWork) -> dict[str, ReadClip]:
    """Open the file and take the clip's frames."""

    def read(path: str, number: int) -> Clip:
        frames = VideoReader(path, num_threads=1).get_batch(work.frames[number].tolist())
        return work.augmented(number, frames.asnumpy())

    return {
        "decord, H.264 all-intra": partial(read, str(work.video("libx264", 1))),
        "decord, H.264 GOP 8": partial(read, str(work.video("libx264", 8))),
    }
