"""The frames of a video, read in every way that must not matter."""

from fractions import Fraction
from pathlib import Path

from surgstream.shards.format.records import Span
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import VideoFile
from tests.helpers.videos import number_in


def read(
    path: Path,
    fps: Fraction = Fraction(1),
    *,
    short_side: int = 256,
    threads: int = 1,
    spare: bool = True,
) -> tuple[dict[int, bytes], list[Span]]:
    """Frames by their numbers, and what was lost."""
    film = VideoFile(str(path), Stores(), threads=threads, spare=spare)
    return dict(JpegFrames(film, fps=fps, short_side=short_side, quality=85)), film.lost


def frames_of(path: Path, fps: Fraction = Fraction(1), short_side: int = 256) -> dict[int, bytes]:
    """Frames by their numbers: the same ones on one thread and on three, and whether or not pictures are spared."""
    frames = read(path, fps, short_side=short_side)
    assert read(path, fps, short_side=short_side, threads=3) == frames
    assert read(path, fps, short_side=short_side, spare=False) == frames
    return frames[0]


def numbers_of(path: Path, fps: Fraction = Fraction(1)) -> dict[int, int]:
    """The numbers that the frames show."""
    return {k: number_in(jpeg) for k, jpeg in frames_of(path, fps).items()}


def lost_of(path: Path, fps: Fraction = Fraction(1)) -> list[tuple[float, float | None]]:
    """What of a video is lost, in seconds after its first picture, to the hundredth."""
    return [
        (round(span.start, 2), None if span.stop is None else round(span.stop, 2))
        for span in read(path, fps)[1]
    ]
