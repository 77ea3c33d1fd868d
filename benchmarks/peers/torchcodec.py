"""torchcodec, which seeks in a video file."""

from functools import partial

from torchcodec.decoders import VideoDecoder

from surgstream.benchmarks.support.clip_work import Clip, ClipWork, ReadClip


def readers(work: ClipWork) -> dict[str, ReadClip]:
    """Open the file and take the clip's frames, as a training that draws clips at random does."""

    def read(path: str, number: int) -> Clip:
        decoder = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1)
        return work.augmented(
            number, decoder.get_frames_at(work.frames[number].tolist()).data.numpy()
        )

    return {
        "torchcodec, H.264 all-intra": partial(read, str(work.video("libx264", 1))),
        "torchcodec, H.264 GOP 8": partial(read, str(work.video("libx264", 8))),
    }
