"""The cost of packing thousands of short clips, against one run of FFmpeg's own program for each.

`python -m surgstream.benchmarks.experiments.short_clips FOLDER [--clips 2000] [--repeats 3] [...]` writes `clips.json`
there, and a table. The clips are 5 to 30 s of shapes that move under noise, of mixed sizes and rates, four of five
H.264, the fifth MPEG-4: 50 files, each under many names, since making thousands would take an hour. The program is that
of the wheel imageio-ffmpeg; it takes a frame a second, scaled to 256 lines, at the quality that makes about as many
bytes. All that is counted is CPU seconds, user and system, of whole commands with all their processes; `surgstream
pack` finds, probes and looks at its clips besides.
"""

import argparse
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.shards.format.index import ROW
from surgstream.shards.workers import cores

NUM_FILES = 50
SHORT_SIDE = 256
FFMPEG_QUALITY = 2
SIZES = ((320, 240), (480, 270), (640, 480), (720, 576), (1280, 720))
RATES = (25, 30, 50, 60)
MIN_SECONDS = 5
MAX_SECONDS = 30
CODECS = {
    "mp4": "-c:v libx264 -preset veryfast -crf 23 -pix_fmt yuv420p",
    "avi": "-c:v mpeg4 -q:v 4 -bf 0 -g 50",
}
AVI_EVERY = 5
CORPUS = """\
datasets:
  - {name: clips, specialty: endoscopy, procedure: gestures, videos: "videos/*"}
"""


@dataclass(frozen=True)
class Cost:
    """The time of one side, and the size of its result."""

    cpu_seconds: float
    num_bytes: int


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kind", choices=CODECS, help="clips in such files alone")
    parser.add_argument("--only", default="", help="the first and sides with this in their name")
    words = parser.parse_args()

    clips = made(words.folder, words.clips, words.kind)
    out = words.folder / "out"
    without_faces = {
        "PYTHONPATH": f"{without_opencv(words.folder)}:{os.environ.get('PYTHONPATH', '')}"
    }
    sides: dict[str, Callable[[], None]] = {
        "ffmpeg -threads 1": lambda: by_ffmpeg(clips, out, ["-threads", "1"]),
        "ffmpeg, its own threads": lambda: by_ffmpeg(clips, out, []),
        "surgstream pack": lambda: ours(words.folder, out),
        "pack, faces not looked for": lambda: ours(words.folder, out, **without_faces),
        "pack crop_borders=true": lambda: ours(words.folder, out, "crop_borders=true"),
    }

    # Ratios are over the first side, so that is always measured
    first = next(iter(sides))
    sides = {name: run for name, run in sides.items() if name == first or words.only in name}
    costs = measure(sides, out, words.repeats)
    print(table(costs, len(clips)))
    found = {**conditions(), "costs": {name: list(map(asdict, of)) for name, of in costs.items()}}
    write_atomically(words.folder / "clips.json", json.dumps(found, indent=1) + "\n")


def made(folder: Path, count: int, kind: str | None = None) -> list[Path]:
    """The clips, made unless they are there: hard links, which packing takes for files of their own."""
    files = folder / "files"
    videos = folder / "videos"
    files.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(cores()) as pool:
        paths = list(pool.map(lambda number: _made_file(files, number), range(NUM_FILES)))
    paths = [path for path in paths if kind in (None, path.suffix[1:])]

    shutil.rmtree(videos, ignore_errors=True)
    videos.mkdir()
    (folder / "corpus.yaml").write_text(CORPUS)

    clips = []
    for number, path in zip(range(count), itertools.cycle(paths), strict=False):
        clips.append(videos / f"clip{number:05d}{path.suffix}")
        os.link(path, clips[-1])
    return clips


def _made_file(folder: Path, number: int) -> Path:
    """One file, of a size, a rate and a length that its number decides."""
    kind = "avi" if number % AVI_EVERY == AVI_EVERY - 1 else "mp4"
    path = folder / f"{number:02d}.{kind}"
    if path.exists():
        return path

    # Shifted by one every five files, or all AVI files, every fifth, would be of one size
    (width, height) = SIZES[(number + number // len(SIZES)) % len(SIZES)]
    rate = RATES[number % len(RATES)]
    # Lengths grow by a constant factor; 31 has no divisor in common with 50, so all of them occur
    seconds = MIN_SECONDS * (MAX_SECONDS / MIN_SECONDS) ** (
        number * 31 % NUM_FILES / (NUM_FILES - 1)
    )
    cells = f"life=s={width // 8}x{height // 8}:mold=10:r={rate}:ratio=0.2:seed={number}"
    colours = "life_color=#f0b0a0:death_color=#903020:mold_color=#501008"
    pictures = f"{cells}:{colours},scale={width}x{height},noise=alls=6:allf=t,trim=0:{seconds:.2f}"

    # Renamed once it is whole: an interrupted run leaves no half file
    partial = folder / f".{path.name}.{kind}"
    ffmpeg("-f", "lavfi", "-i", pictures, "-threads", "1", *CODECS[kind].split(), str(partial))
    partial.rename(path)
    return path


def measure(
    sides: Mapping[str, Callable[[], None]], out: Path, repeats: int
) -> dict[str, list[Cost]]:
    """All sides in turn, `repeats` times."""
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            before = cpu_seconds()
            run()
            costs[name].append(Cost(cpu_seconds() - before, jpeg_bytes(out)))
            print(f"{name}: {costs[name][-1]}", flush=True)
    return costs


def without_opencv(folder: Path) -> Path:
    """A folder that hides OpenCV from processes that import from there first."""
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "cv2.py").write_text("raise ImportError('hidden, to tell what faces cost')\n")
    return hidden


def ours(folder: Path, out: Path, *options: str, **environment: str) -> None:
    """All clips by one command."""
    command = [
        sys.executable,
        "-m",
        "surgstream",
        "pack",
        str(folder / "corpus.yaml"),
        str(out),
        *options,
    ]
    quiet = subprocess.DEVNULL
    subprocess.run(
        command, check=True, env={**os.environ, **environment}, stdout=quiet, stderr=quiet
    )


def by_ffmpeg(clips: Sequence[Path], out: Path, options: Sequence[str]) -> None:
    """Each clip by a run of the program, as many at a time as there are cores."""
    width = f"if(lt(iw,ih),min(iw,{SHORT_SIDE}),-1)"
    height = f"if(lt(iw,ih),-1,min(ih,{SHORT_SIDE}))"
    filters = f"fps=1:round=up,scale='{width}':'{height}'"
    encoding = f"-pix_fmt yuvj420p -q:v {FFMPEG_QUALITY} -threads 1".split()

    def run(clip: Path) -> None:
        (out / clip.stem).mkdir()
        ffmpeg(
            *options,
            "-i",
            str(clip),
            "-an",
            "-vf",
            filters,
            *encoding,
            f"{out}/{clip.stem}/%05d.jpg",
        )

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(run, clips))


def ffmpeg(*words: str) -> None:
    """Run the program."""
    subprocess.run(
        [get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *words], check=True
    )


def cpu_seconds() -> float:
    """CPU seconds of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def jpeg_bytes(out: Path) -> int:
    """The size of all frames: files of their own, or those that the indexes of shards list."""
    listed = sum(int(np.fromfile(path, ROW)["size"].sum()) for path in out.rglob("*.idx"))
    return listed + sum(path.stat().st_size for path in out.rglob("*.jpg"))


def table(costs: Mapping[str, Sequence[Cost]], num_clips: int) -> str:
    """Lay costs out as Markdown; ratios to the first side are medians over repeats."""
    first = next(iter(costs.values()))
    rows = [("side", "CPU ms a clip", "over the first", "bytes, over the first")]
    for name, of in costs.items():
        ratios = [one.cpu_seconds / other.cpu_seconds for one, other in zip(of, first, strict=True)]
        ms = 1e3 * statistics.median(cost.cpu_seconds for cost in of) / num_clips
        ratio = f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
        num_bytes = of[0].num_bytes / first[0].num_bytes
        rows.append((name, f"{ms:.0f}", ratio, f"{num_bytes:.3f}"))
    return markdown(rows)


if __name__ == "__main__":
    main()
