"""How many copies `surgstream leaks` finds, how many it makes up, and what it costs.

`python -m benchmarks.leaks FOLDER [--real VIDEO] [--seconds 60] [--times 3] [--seed 0]` writes `leaks.json` there, and
tables. Originals are a synthetic corpus, every second video without the black around its disc; with --real also four
pieces of a real video, slowed down so that each has half a minute. Copies of all of them are altered by FFmpeg's
program, packed, and looked for among the originals. A mirrored or reversed copy counts as another video.
"""

import argparse
import json
import math
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks.harness import conditions
from benchmarks.pack_videos import cost_of, cpu_seconds, emptied, ffmpeg, made, ours
from launch.__main__ import main as surgstream
from shards.leaks.guard import Finding, find_leaks
from shards.leaks.matching import Library, bands_of, find_matches
from shards.leaks.prints import WORDS, Bits
from shards.leaks.reading import read_prints
from shards.look.frames import Placed
from shards.manifest import Manifest
from shards.processes import cores
from shards.storage import open_storage

H264 = "-c:v libx264 -preset ultrafast -crf 26 -pix_fmt yuv420p"
HEVC = "-c:v libx265 -preset ultrafast -x265-params log-level=error -crf 36 -pix_fmt yuv420p"
INSIDE = "crop=trunc(iw*0.26)*2:trunc(ih*0.34)*2"
CROPPED = "crop=trunc(iw*0.45)*2:trunc(ih*0.45)*2"
HALF = "scale=trunc(iw/4)*2:trunc(ih/4)*2"
LOGO = (
    "drawbox=x=iw*0.03:y=ih*0.04:w=iw*0.18:h=ih*0.09:c=white:t=fill,"
    "drawbox=x=iw*0.3:y=ih*0.9:w=iw*0.4:h=ih*0.05:c=yellow@0.8:t=fill"
)
ALTERATIONS = {
    "HEVC at a low rate": ("null", HEVC, ""),
    "MPEG-4 at a low rate": ("null", "-c:v mpeg4 -q:v 20", ""),
    "half the size": (HALF, H264, ""),
    "4:3 squeezed": ("scale=400:300", H264, ""),
    "5 % cut from each side": (CROPPED, H264, ""),
    "black borders added": ("pad=iw*1.3:ih*1.2:(ow-iw)/2:(oh-ih)/2", H264, ""),
    "22 % of the width, 6 % of the height cut": ("crop=trunc(iw*0.39)*2:trunc(ih*0.47)*2", H264, ""),
    "logo and text": (LOGO, H264, ""),
    "gamma 1.3, pale": ("eq=gamma=1.3:saturation=0.6", H264, ""),
    "start and end cut": ("null", H264, "-ss 8 -t 26"),
    "half a second off": ("null", H264, "-ss 0.5"),
    "packed at 5 frames/s, 112 lines": ("null", H264, ""),
    "cut, cropped, halved, logo, HEVC": (f"{CROPPED},{HALF},{LOGO}", HEVC, "-ss 5.5"),
}
EXCERPT = "30 s inside another video"
OTHERS = {"mirrored": ("hflip", H264, ""), "reversed": ("reverse", H264, "")}
OPTIONS = {"packed at 5 frames/s, 112 lines": ("fps=5", "short_side=112")}
SLOWER, PIECES = 12.5, 4
SIZES = (250_000, 1_000_000, 4_000_000, 36_000_000)
PLANTED, PLANTED_SECONDS, FLIPPED = 100, 300, 0.12


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was found of the copies of one kind: how many of them, and matches with videos that they do not show."""

    originals: str
    kind: str
    num_copies: int
    num_found: int
    false_alarms: int


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--real", metavar="VIDEO", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    rows = look(
        words.folder / "synthetic", synthetic(words.folder, words.seconds, words.times, words.seed), "synthetic"
    )
    if words.real:
        rows += look(words.folder / "real", pieces(words.folder / "real", words.real), "real")
    found = {
        **conditions(),
        "rows": [asdict(row) for row in rows],
        "share_of_packing": share_of_packing(words.folder),
        "matching": [matching(size) for size in SIZES],
    }
    print(table(rows))
    print(json.dumps({name: found[name] for name in ("share_of_packing", "matching")}, indent=1))
    (words.folder / "leaks.json").write_text(json.dumps(found, indent=1) + "\n")


def synthetic(folder: Path, seconds: int, times: int, seed: int) -> list[Path]:
    """Videos of the synthetic corpus; of every second one only what is inside the disc."""
    source = folder / "videos"
    if not source.exists():
        options = [f"--{name}={value}" for name, value in (("seconds", seconds), ("times", times), ("seed", seed))]
        assert surgstream(["synth", str(source), "--no-frame-numbers", *options]) == 0
    videos = sorted(source.glob("*/videos/*.mp4"))
    return [
        video if number % 2 else _written(folder / "synthetic" / "inside" / video.name, video, INSIDE, H264)
        for number, video in enumerate(videos)
    ]


def pieces(folder: Path, video: Path) -> list[Path]:
    """Disjoint pieces of the first ten seconds of a video, slowed down."""
    seconds = 10 / PIECES
    slow = f"scale=640:-2,setpts={SLOWER}*(PTS-STARTPTS),fps=25"
    return [
        _written(folder / f"piece{k}.mp4", video, slow, H264, f"-ss {k * seconds} -t {seconds}") for k in range(PIECES)
    ]


def look(folder: Path, originals: Sequence[Path], name: str) -> list[Row]:
    """Alter, pack and look for copies; rows by kind, the last of them for the originals among themselves."""
    copies = {
        kind: [_written(folder / _plain(kind) / video.name, video, *how) for video in originals]
        for kind, how in (ALTERATIONS | OTHERS).items()
    }
    hosts = {video.stem: host.stem for video, host in zip(originals, [*originals[1:], originals[0]], strict=True)}
    copies[EXCERPT] = [
        _excerpt(folder / _plain(EXCERPT) / video.name, video, originals[number - len(originals) + 1])
        for number, video in enumerate(originals)
    ]
    train = _packed(folder, "originals", originals)
    corpora = {kind: _packed(folder, _plain(kind), videos, OPTIONS.get(kind, ())) for kind, videos in copies.items()}
    addresses = [train, *corpora.values()]
    findings = list(find_leaks({uri: Manifest.load(open_storage(uri)) for uri in addresses}, workers=cores()))
    rows = [
        judged(name, kind, [f for f in findings if f.second.corpus == uri], len(originals), hosts)
        for kind, uri in corpora.items()
    ]
    own = sum(finding.kind != "held_out" for finding in findings)
    return [*rows, Row(originals=name, kind="among originals", num_copies=0, num_found=0, false_alarms=own)]


def judged(name: str, kind: str, findings: Iterable[Finding], num_videos: int, hosts: dict[str, str]) -> Row:
    """Count what was found of copies, which have the names of their originals.

    Args:
        name: Of the originals.
        kind: Of the alteration.
        findings: Between originals and their copies of this kind.
        num_videos: Originals.
        hosts: For each of them, the original that its excerpt stands in.
    """
    found, false_alarms = set(), 0
    for finding in findings:
        first, second = finding.first.video, finding.second.video
        if kind not in OTHERS and first == second:
            found.add(first)
        elif kind != EXCERPT or hosts[second] != first:
            false_alarms += 1
    num_copies = 0 if kind in OTHERS else num_videos
    return Row(originals=name, kind=kind, num_copies=num_copies, num_found=len(found), false_alarms=false_alarms)


def share_of_packing(folder: Path, repeats: int = 5) -> dict[str, list[float]]:
    """CPU seconds of packing 1080p H.264 and of its fingerprints, of every repeat."""
    video = next(made(folder / "cost"))
    storage = open_storage(_packed(folder / "cost", "shards", [video]))
    (shard,) = Manifest.load(storage).shards
    packing, prints = [], []
    for _ in range(repeats + 1):
        with emptied(folder / "cost" / "frames"):
            packing.append(cost_of(lambda: ours(video, 1, folder / "cost" / "frames", 1), folder / "cost" / "frames"))
        prints.append(_cpu(lambda: read_prints(storage, Placed(shard, shard.videos[0]), 1.0)))
    seconds = [cost.cpu_seconds for cost in packing]
    return {
        "packing_cpu_seconds": seconds[1:],
        "prints_cpu_seconds": prints[1:],
        "share": [statistics.median(of / whole for of, whole in zip(prints[1:], seconds[1:], strict=True))],
    }


def matching(size: int) -> dict[str, float]:
    """Match made-up videos of an hour, as alike as those of the synthetic corpus, with some copies among them."""
    keyed = np.random.default_rng(size)
    projection = keyed.standard_normal((30, 32 * WORDS), np.float32)
    videos = [_made_up(keyed, projection) for _ in range(math.ceil(size / 3600))]
    first_copy = len(videos)
    for video in videos[:PLANTED]:
        flips = np.packbits(keyed.random((PLANTED_SECONDS, 32 * WORDS)) < FLIPPED, axis=1).view(np.uint32)
        videos.append(video[600 : 600 + PLANTED_SECONDS] ^ flips)
    num_copies, library, started = len(videos) - first_copy, Library(videos), time.perf_counter()
    matches = list(find_matches(library, bands_of(len(library.bits))))
    seconds = time.perf_counter() - started
    found = {match.first for match in matches if match.second - first_copy == match.first}
    return {
        "hours": size / 3600,
        "seconds": seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "copies": num_copies,
        "found": len(found),
        "false_alarms": sum(match.second - first_copy != match.first for match in matches),
    }


def _made_up(keyed: np.random.Generator, projection: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> Bits:
    motion = keyed.standard_normal((3600, len(projection)), np.float32)
    for second in range(1, len(motion)):
        motion[second] += np.float32(0.8) * motion[second - 1]
    return np.packbits(motion @ projection > 0, axis=1).view(np.uint32)


def _cpu(run: Callable[[], object]) -> float:
    before = cpu_seconds()
    run()
    return cpu_seconds() - before


def _written(path: Path, video: Path, filters: str, encoding: str, cut: str = "") -> Path:
    """An altered copy, unless it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        ffmpeg(*cut.split(), "-i", str(video), "-an", "-vf", filters, *encoding.split(), str(path))
    return path


def _excerpt(path: Path, video: Path, host: Path) -> Path:
    """Half a minute of a video between two parts of another, from a moment between the seconds."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = ((host, "0", "15.3"), (video, "0.7", "30"), (host, "18", "12"))
        inputs = [word for source, start, length in parts for word in ("-ss", start, "-t", length, "-i", str(source))]
        scaled = "".join(f"[{k}]scale=320:240,setsar=1,fps=25[v{k}];" for k in range(3))
        ffmpeg(*inputs, "-filter_complex", f"{scaled}[v0][v1][v2]concat=n=3:v=1:a=0", *H264.split(), str(path))
    return path


def _packed(folder: Path, name: str, videos: Sequence[Path], options: Sequence[str] = ()) -> str:
    """Pack videos as one dataset, and return the address."""
    corpus = folder / f"{name}.yaml"
    files = [str(video.resolve()) for video in videos]
    dataset = {"name": name, "specialty": "made", "procedure": "made", "videos": files}
    corpus.write_text(yaml.safe_dump({"datasets": [dataset]}))
    out = str(folder / "packed" / name)
    assert surgstream(["pack", str(corpus), out, *options]) == 0
    return out


def _plain(kind: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in kind)


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    lines = ["originals | copies | found | false alarms", "--- | --- | --: | --:"]
    lines += [
        f"{row.originals} | {row.kind} | {f'{row.num_found} of {row.num_copies}' if row.num_copies else ''} | "
        f"{row.false_alarms}"
        for row in rows
    ]
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
