"""Synthetic films that move as fast as real endoscopy, and altered copies of them, as thumbnails of packed frames."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from surgstream.benchmarks.experiments.pack_videos import ffmpeg
from surgstream.shards.leaks.thumbnails import Grey, thumbnail
from surgstream.shards.storage.stores import Stores
from surgstream.shards.synthetic.film import RenderedFilm
from surgstream.shards.synthetic.procedures import DATASETS
from surgstream.shards.synthetic.texture import key
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import find_film

Picture = npt.NDArray[np.uint8]

RATE = 10
"""Pictures a second of films and copies, so that a copy can start at every tenth of a second."""

SECONDS = 45
REAL_SPEED = 0.275
"""90th percentile of optical flow of ten seconds of real endoscopy, in picture widths a second, by `flow`."""

FLOW_WIDTH = 320
FLOW_SECONDS = 0.04
FLOW_LOOKS = 12
BRIGHT = 20

H264 = "-c:v libx264 -preset ultrafast -crf 26 -pix_fmt yuv420p"
HEVC = (
    "-c:v libx265 -preset ultrafast -x265-params log-level=error:pools=1 -crf 36 -pix_fmt yuv420p"
)
CROPPED = "crop=trunc(iw*0.45)*2:trunc(ih*0.45)*2"
HALF = "scale=trunc(iw/4)*2:trunc(ih/4)*2"
LOGO = (
    "drawbox=x=iw*0.03:y=ih*0.04:w=iw*0.18:h=ih*0.09:c=white:t=fill,"
    "drawbox=x=iw*0.3:y=ih*0.9:w=iw*0.4:h=ih*0.05:c=yellow@0.8:t=fill"
)
KINDS = {
    "HEVC at a low rate": ("null", HEVC),
    "MPEG-4 at a low rate": ("null", "-c:v mpeg4 -q:v 20"),
    "half the size": (HALF, H264),
    "4:3 squeezed": ("scale=200:160", H264),
    "5 % cut from each side": (CROPPED, H264),
    "22 % of the width, 6 % of the height cut": ("crop=trunc(iw*0.39)*2:trunc(ih*0.47)*2", H264),
    "black borders added": ("pad=iw*1.3:ih*1.2:(ow-iw)/2:(oh-ih)/2", H264),
    "logo and text": (LOGO, H264),
    "gamma 1.3, pale": ("eq=gamma=1.3:saturation=0.6", H264),
    "mirrored": ("hflip", H264),
    "turned by half a turn": ("hflip,vflip", H264),
    "cropped, halved, logo, HEVC": (f"{CROPPED},{HALF},{LOGO}", HEVC),
}


def make_films(folder: Path, count: int, seed: int) -> dict[Path, float]:
    """Films, each as fast as `REAL_SPEED`, unless they are there, and how fast each is.

    Args:
        folder: Where.
        count: Number of films; each is of another scene.
        seed: The seed of them all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        return dict(pool.map(partial(_make_film, folder, seed), range(count)))


def _make_film(folder: Path, seed: int, number: int) -> tuple[Path, float]:
    path = folder / f"film{number:02d}.mkv"
    if path.exists():
        return path, float(path.with_suffix(".speed").read_text())

    dataset = DATASETS[number % len(DATASETS)]
    # Even sides, which 4:2:0 needs
    dataset = replace(dataset, width=dataset.width // 4 * 2, height=dataset.height // 4 * 2)

    parent = key(seed, f"fast{number}")
    speed = 4.0
    found = 0.0
    for _ in range(4):  # what flow finds falls behind where pictures move far
        film = RenderedFilm(dataset, parent, SECONDS * speed)
        found = _speed_of(film, speed)
        if found >= REAL_SPEED:
            break
        speed *= 1.05 * REAL_SPEED / found

    # The film is last: where it is there, its speed is too
    path.with_suffix(".speed").write_text(str(found))
    _write(path, film, speed)
    return path, found


def _speed_of(film: RenderedFilm, speed: float) -> float:
    times = np.linspace(1, SECONDS - 1, FLOW_LOOKS)
    return flow(
        [
            (film.frame(t * speed).picture, film.frame((t + FLOW_SECONDS) * speed).picture)
            for t in times
        ]
    )


def flow(pairs: list[tuple[Picture, Picture]]) -> float:
    """90th percentile of optical flow (Farneback's) where it is bright, in picture widths a second.

    Args:
        pairs: Pictures FLOW_SECONDS apart, RGB.
    """
    cv2.setNumThreads(1)
    lengths = []
    for pair in pairs:
        size = FLOW_WIDTH, round(FLOW_WIDTH * pair[0].shape[0] / pair[0].shape[1])
        grey = [
            cv2.resize(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for each in pair
        ]
        field = cv2.calcOpticalFlowFarneback(grey[0], grey[1], None, 0.5, 4, 21, 3, 7, 1.5, 0)
        lengths.append(np.hypot(field[..., 0], field[..., 1])[grey[0] > BRIGHT])
    return float(np.percentile(np.concatenate(lengths), 90)) / FLOW_SECONDS / FLOW_WIDTH


def flow_of(video: Path) -> float:
    """The same of a file's successive pictures, which have to be FLOW_SECONDS apart."""
    with av.open(str(video)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    at = np.linspace(0, len(pictures) - 2, FLOW_LOOKS).astype(int)
    return flow([(pictures[number], pictures[number + 1]) for number in at])


def _write(path: Path, film: RenderedFilm, speed: float) -> None:
    partial = path.with_suffix(".part.mkv")
    with av.open(str(partial), "w") as container:
        options = {"preset": "ultrafast", "crf": "14"}
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.height, stream.width = film.disc.shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1

        for number in range(SECONDS * RATE):
            picture = film.frame(number / RATE * speed).picture
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    partial.rename(path)


def looks(folder: Path, videos: list[Path], kind: str | None) -> list[Grey]:
    """Thumbnails of videos, or of their copies of a kind, `RATE` a second, as packing would give them.

    Args:
        folder: The folder that keeps them; copies are made there and removed again.
        videos: The originals.
        kind: One of `KINDS`; None for the originals.
    """
    (folder / "looks").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(_look, folder / "looks", kind), videos))


def _look(folder: Path, kind: str | None, video: Path) -> Grey:
    name = f"{video.stem}_{'original' if kind is None else [*KINDS].index(kind)}"
    kept = folder / f"{name}.npy"
    if not kept.exists():
        copy = video
        if kind is not None:
            filters, encoding = KINDS[kind]
            copy = folder / f"{name}.mkv"
            ffmpeg(
                "-threads",
                "1",
                "-i",
                str(video),
                "-an",
                "-vf",
                filters,
                *encoding.split(),
                str(copy),
            )

        frames = JpegFrames[None](
            find_film(str(copy), Stores()), fps=Fraction(RATE), short_side=128, quality=85
        )
        np.save(kept, np.stack([thumbnail(jpeg) for _, jpeg in frames]))
        if kind is not None:
            copy.unlink()

    found: Grey = np.load(kept)
    return found
