"""The cost of packing a video, from the file to its JPEGs, against FFmpeg's own program doing the same.

`python -m surgstream.benchmarks.experiments.pack_videos FOLDER [VIDEO ...] [--repeats 5]` writes `pack.json` there, and
a table. Both take a frame a second, or more, scaled to 256 lines; the program is that of the wheel imageio-ffmpeg, at
the quality that makes about as many bytes. Ours are also looked at, as in packing. CPU seconds are those of one thread,
seconds on the wall those of all cores. Some videos are made, of shapes that move under noise, since decoding them has
to cost what decoding real ones does. Ours, as JPEG, are also compared with what the program shows, uncoded.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically
from surgstream.shards.screening.screener import FrameScreener
from surgstream.shards.storage.stores import Stores
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import VideoFile
from surgstream.shards.workers import cores

SHORT_SIDE = 256
QUALITY = 85
FFMPEG_QUALITY = 2
EXACTLY = "bicubic+accurate_rnd+full_chroma_int+bitexact"
SECONDS = 40
PICTURES = (
    "life=s=240x135:mold=10:r=25:ratio=0.2:seed=1,scale=1920x1080,gblur=8,"
    f"noise=alls=6:allf=t,trim=0:{SECONDS}"
)
KINDS = {
    "h264.mp4": "-c:v libx264 -preset veryfast -crf 23 -pix_fmt yuv420p",
    "h264_short_groups.mp4": "-c:v libx264 -preset veryfast -crf 23 -g 12 -pix_fmt yuv420p",
    "hevc.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=error -pix_fmt yuv420p",
    "mpeg2.ts": "-c:v mpeg2video -q:v 4 -g 12 -bf 2",
    "motion_jpeg.avi": "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p",
}
RATES = {"h264.mp4": (1, 5, 25)}
"""Frames a second; 1 for all others."""


@dataclass(frozen=True)
class Cost:
    """The time of a piece of work, and the size of its result."""

    cpu_seconds: float
    wall_seconds: float
    num_frames: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """Costs of a video, of every repeat, and the mean difference, of 255, of the frame least like the program's."""

    video: str
    fps: int
    difference: float
    ours: list[Cost]
    ffmpeg: list[Cost]
    ours_all_cores: list[Cost]
    ffmpeg_all_cores: list[Cost]

    def cells(self) -> list[str]:
        """A line of the table; ratios are medians over repeats."""
        pairs = zip(self.ours, self.ffmpeg, strict=True)
        cpu = [ours.cpu_seconds / other.cpu_seconds for ours, other in pairs]
        pairs = zip(self.ours_all_cores, self.ffmpeg_all_cores, strict=True)
        wall = [ours.wall_seconds / other.wall_seconds for ours, other in pairs]

        seconds = []
        kilobytes = []
        for side in (self.ffmpeg, self.ours):
            seconds.append(f"{statistics.median(cost.cpu_seconds for cost in side):.2f}")
            kilobytes.append(f"{side[0].num_bytes / side[0].num_frames / 1e3:.1f}")

        ratios = []
        for found in (cpu, wall):
            ends = f"{min(found):.2f} to {max(found):.2f}"
            ratios.append(f"**{statistics.median(found):.2f}** ({ends})")

        return [
            self.video,
            str(self.fps),
            *seconds,
            *ratios,
            " / ".join(kilobytes),
            f"{self.difference:.2f}",
        ]


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--repeats", type=int, default=5)
    words = parser.parse_args()

    rows = []
    for video in (*made(words.folder), *words.videos):
        for fps in RATES.get(video.name, (1,)):
            rows.append(measure(video, fps, words.folder, words.repeats))

    print(table(rows))
    found = {**conditions(), "rows": [asdict(row) for row in rows]}
    write_atomically(words.folder / "pack.json", json.dumps(found, indent=1) + "\n")


def made(folder: Path) -> Iterator[Path]:
    """The videos of `KINDS`, encoded unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in KINDS.items():
        if not (folder / name).exists():
            source = folder / next(iter(KINDS))
            pictures = ["-i", str(source)] if source.exists() else ["-f", "lavfi", "-i", PICTURES]
            ffmpeg(*pictures, *options.split(), str(folder / name))
        yield folder / name


def measure(video: Path, fps: int, folder: Path, repeats: int) -> Row:
    """All four ways in turn, once to warm up and then `repeats` times."""
    out = folder / "frames"
    ways: dict[str, Callable[[], None]] = {
        "ours": lambda: ours(video, fps, out, threads=1),
        "ffmpeg": lambda: by_ffmpeg(video, fps, out, threads=1),
        "ours_all_cores": lambda: ours(video, fps, out, threads=cores()),
        "ffmpeg_all_cores": lambda: by_ffmpeg(video, fps, out, threads=cores()),
    }

    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for repeat in range(-1, repeats):
        for name, run in ways.items():
            with emptied(out):
                cost = cost_of(run, out)
            if repeat >= 0:
                costs[name].append(cost)

    return Row(video=video.name, fps=fps, difference=difference(video, fps, folder), **costs)


def difference(video: Path, fps: int, folder: Path) -> float:
    """The largest mean difference between two frames of one number; both sides have the same numbers."""
    sides = folder / "ours", folder / "ffmpeg"
    with emptied(sides[0]), emptied(sides[1]):
        ours(video, fps, sides[0], threads=1)
        filters = f"fps={fps}:round=up,scale=-1:{SHORT_SIDE}:flags={EXACTLY},format=rgb24"
        ffmpeg("-i", str(video), "-an", "-vf", filters, f"{sides[1]}/%05d.png")
        pairs = list(zip(*(sorted(side.iterdir()) for side in sides), strict=True))
        return max(float(np.abs(pixels(one) - pixels(other)).mean()) for one, other in pairs)


def pixels(path: Path) -> npt.NDArray[np.float64]:
    """The pixels of an image file, shape (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def ours(video: Path, fps: int, out: Path, threads: int) -> None:
    """Take frames as packing does, and write each into a file."""
    film = VideoFile(str(video), Stores(), threads=threads)
    frames = JpegFrames(
        film,
        fps=Fraction(fps),
        short_side=SHORT_SIDE,
        quality=QUALITY,
        threads=threads,
        watcher=FrameScreener(),
    )
    for number, jpeg in frames:
        (out / f"{number:05d}.jpg").write_bytes(jpeg)


def by_ffmpeg(video: Path, fps: int, out: Path, threads: int) -> None:
    """The same by the program."""
    filters = f"fps={fps}:round=up,scale=-1:{SHORT_SIDE}"
    encoding = f"-pix_fmt yuvj420p -q:v {FFMPEG_QUALITY} -threads 1 {out}/%05d.jpg"
    ffmpeg("-threads", str(threads), "-i", str(video), "-an", "-vf", filters, *encoding.split())


def ffmpeg(*words: str) -> None:
    """Run the program."""
    subprocess.run(
        [get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *words], check=True
    )


def cost_of(run: Callable[[], None], out: Path) -> Cost:
    """Run something that writes JPEGs."""
    before = cpu_seconds()
    started = time.perf_counter()
    run()
    wall = time.perf_counter() - started
    cpu = cpu_seconds() - before
    sizes = [path.stat().st_size for path in out.iterdir()]
    return Cost(cpu, wall, len(sizes), sum(sizes))


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def emptied(folder: Path) -> Iterator[None]:
    """A new folder, which goes again."""
    folder.mkdir()
    yield
    shutil.rmtree(folder)


def table(rows: Sequence[Row]) -> str:
    """Lay costs out as Markdown."""
    heads = [
        "video",
        "frames/s",
        "CPU s, ffmpeg",
        "CPU s, ours",
        "CPU, ours / ffmpeg",
        "wall, ours / ffmpeg",
        "kB a frame",
        "difference",
    ]
    lines = [" | ".join(heads), "|".join(["---", *["--:"] * (len(heads) - 1)])]
    return "\n".join(f"| {line} |" for line in [*lines, *(" | ".join(row.cells()) for row in rows)])


if __name__ == "__main__":
    main()
