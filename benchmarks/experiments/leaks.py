"""How many copies `surgstream leaks` finds, how many it makes up, and what it costs.

`python -m surgstream.benchmarks.experiments.leaks FOLDER [--films 24] [--real VIDEO ...] [--seed 0]` writes
`leaks.json` there, and tables. Originals are synthetic films of 45 seconds that move as fast as real endoscopy, by the
90th percentile of optical flow. Copies are made in twelve ways by FFmpeg's program, and start 5.0 to 5.9 s later: of
frames packed ten times a second those are taken that packing at a lower rate, from such a start, would give. So are
clips of eight seconds, which only single pictures tell. With --real the same is done with clips of real videos.
"""

import argparse
import json
import math
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from surgstream.benchmarks.experiments.leak_films import KINDS, RATE, REAL_SPEED, looks, make_films
from surgstream.benchmarks.experiments.pack_videos import cost_of, cpu_seconds, emptied, made, ours
from surgstream.benchmarks.support.harness import conditions
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.inspection.packed_frames import Placed
from surgstream.shards.leaks.candidates import Library, bands_of
from surgstream.shards.leaks.fingerprints import FRAMES, prints
from surgstream.shards.leaks.matching import Match, find_matches
from surgstream.shards.leaks.pictures import find_alike, hashes
from surgstream.shards.leaks.read import PHASES, look_at, num_phases
from surgstream.shards.leaks.thumbnails import WORDS, Bits, Grey
from surgstream.shards.storage.stores import open_storage

PACKINGS = {
    "5 frames/s": (5, 5),
    "2 frames/s": (2, 2),
    "1 frame/s": (1, 1),
    "1 frame/s, --from-sources": (1, RATE),
}
"""Frames a second that originals, and copies, are looked at."""

STARTS = range(10)
"""Tenths of a second that copies start later, beside the seconds that are cut."""

CLIP_SECONDS, LONG_SECONDS = 8, 30
FILM_CUT, CLIP_CUT = 5, 1
"""Seconds that are cut from both ends of copies."""

SIZES = (250_000, 1_000_000, 4_000_000, 36_000_000)
PLANTED, PLANTED_SECONDS, FLIPPED = 100, 300, 0.12


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was found of copies: how many of each start, and matches with videos that they do not show."""

    packing: str
    kind: str
    num_copies: int
    num_found: tuple[int, ...]
    false_alarms: int


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, default=24)
    parser.add_argument("--real", metavar="VIDEO", type=Path, nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--costs", action="store_true", help="measure costs as well")
    words = parser.parse_args()

    speeds = make_films(words.folder / "films", words.films, words.seed)
    films, clips = look(words.folder, [*speeds]) if speeds else ([], [])
    found: dict[str, object] = {
        **conditions(),
        "real_speed": REAL_SPEED,
        "speeds": list(speeds.values()),
        "films": [asdict(row) for row in films],
        "clips": [asdict(row) for row in clips],
    }
    print(table(films))
    print(table(clips))

    if words.real:
        real_films, real_clips = look(words.folder, words.real)
        found["real"] = {
            "videos": [video.name for video in words.real],
            "films": [asdict(row) for row in real_films],
            "clips": [asdict(row) for row in real_clips],
        }
        print(table(real_films))
        print(table(real_clips))

    if words.costs:
        found |= {
            "share_of_packing": share_of_packing(words.folder),
            "matching": [matching(size) for size in SIZES],
        }
    (words.folder / "leaks.json").write_text(json.dumps(found, indent=1) + "\n")


def look(folder: Path, videos: Sequence[Path]) -> tuple[list[Row], list[Row]]:
    """Alter videos and look for the copies among the originals: whole, those that are long enough, and as clips."""
    originals = looks(folder, [*videos], None)
    copies = {kind: looks(folder, [*videos], kind) for kind in KINDS}

    long = [number for number, each in enumerate(originals) if len(each) >= LONG_SECONDS * RATE]
    films = {kind: [moving(some[number]) for number in long] for kind, some in copies.items()}
    whole = rows_of(
        [moving(originals[number]) for number in long], films, find_matches, FILM_CUT * RATE
    )

    clips = {kind: [still(middle(each)) for each in some] for kind, some in copies.items()}
    return whole, rows_of([still(each) for each in originals], clips, _find_clips, CLIP_CUT * RATE)


def middle(thumbnails: Grey) -> Grey:
    """A clip from the middle of a video, and what is cut from its copies."""
    frames = (CLIP_SECONDS + 2 * CLIP_CUT) * RATE
    start = max(0, (len(thumbnails) - frames) // 2 // RATE * RATE)
    return thumbnails[start : start + frames]


@dataclass(frozen=True)
class Taken:
    """A video's fingerprints from every tenth of a second on, shape (N, WORDS), and frames that each is of."""

    bits: Bits
    frames: int

    def packed(self, fps: int, start: int = 0, cut: int = 0) -> list[Bits]:
        """Those at each phase of a video that is packed at a rate.

        Args:
            fps: The rate.
            start: Tenths of a second that it begins later.
            cut: Tenths that it ends earlier.
        """
        bits = self.bits[: len(self.bits) - cut].copy()
        bits[len(bits) - self.frames + 1 :] = 0  # they would be of frames that are cut
        count = num_phases(fps, 1)
        return [
            bits[start + int(fps * phase / count) * RATE // fps :: RATE] for phase in range(count)
        ]


def moving(thumbnails: Grey) -> Taken:
    """Fingerprints of how a video moves."""
    bits = np.zeros((len(thumbnails), WORDS), np.uint32)
    for at in range(RATE):
        some = thumbnails[at::RATE]
        bits[at::RATE] = prints(some, np.ones(len(some), bool))
    return Taken(bits, (FRAMES - 1) * RATE + 1)


def still(thumbnails: Grey) -> Taken:
    """Fingerprints of its single pictures."""
    return Taken(hashes(thumbnails, np.ones(len(thumbnails), bool)), 1)


Find = Callable[..., Iterable[Match]]


def _find_clips(phases: list[Library], bands: object, train: int) -> Iterable[Match]:
    """What is found of clips, which follow the originals."""
    return find_alike(phases, np.arange(len(phases[0].starts) - 1) >= train, train=train)


def rows_of(
    originals: Sequence[Taken], copies: dict[str, list[Taken]], find: Find, cut: int
) -> list[Row]:
    """Look for copies of each packing and start, those of all kinds together, and count.

    Args:
        originals: Videos.
        copies: Copies of them, by kind.
        find: What looks for them.
        cut: Tenths of a second that are cut from both ends of copies.
    """
    with ProcessPoolExecutor() as pool:
        return [
            row
            for rows in pool.map(partial(_rows_of, originals, copies, find, cut), PACKINGS)
            for row in rows
        ]


def _rows_of(
    originals: Sequence[Taken], copies: dict[str, list[Taken]], find: Find, cut: int, packing: str
) -> list[Row]:
    (fps, copied_fps), count, found = PACKINGS[packing], len(originals), []
    for start in STARTS:
        videos = [each.packed(fps) for each in originals]
        videos += [
            each.packed(copied_fps, cut + start, cut) for some in copies.values() for each in some
        ]
        found.append(list(find(_libraries(videos), bands_of(0), train=count)))
    rows = [
        judged(packing, kind, found, count, count * (place + 1))
        for place, kind in enumerate(copies)
    ]
    return [*rows, among(packing, found, count)]


def judged(
    packing: str, kind: str, found: Sequence[Sequence[Match]], count: int, first: int
) -> Row:
    """Count what was found of copies of a kind.

    Args:
        packing: One of PACKINGS.
        kind: Of the copies.
        found: For each start, what was found; originals have the numbers below `count`.
        count: Originals, and copies.
        first: The number of the first original's copy; the others follow in order.
    """
    # The copy of original number i is video number `first + i`
    ours = [
        [match for match in some if match.first < count and 0 <= match.second - first < count]
        for some in found
    ]
    right = [
        {match.first for match in some if match.second - first == match.first} for some in ours
    ]
    wrong = sum(match.second - first != match.first for some in ours for match in some)
    numbers = tuple(len(some) for some in right)
    return Row(packing=packing, kind=kind, num_copies=count, num_found=numbers, false_alarms=wrong)


def among(packing: str, found: Sequence[Sequence[Match]], count: int) -> Row:
    """What was made up among originals, which have the numbers below `count`."""
    wrong = max(sum(match.second < count for match in some) for some in found)
    return Row(
        packing=packing, kind="among originals", num_copies=0, num_found=(), false_alarms=wrong
    )


def _libraries(videos: list[list[Bits]]) -> list[Library]:
    none = np.zeros((0, WORDS), np.uint32)
    return [
        Library([each[phase] if phase < len(each) else none for each in videos])
        for phase in range(PHASES)
    ]


def share_of_packing(folder: Path, repeats: int = 5) -> dict[str, list[float]]:
    """CPU seconds of packing 1080p H.264 and of its fingerprints, of every repeat."""
    video = next(made(folder / "cost"))
    storage = open_storage(_packed(folder / "cost", "shards", [video]))
    (shard,) = Manifest.load(storage).shards
    packing, prints = [], []
    # The first round warms up, and is left out below
    for _ in range(repeats + 1):
        with emptied(folder / "cost" / "frames"):
            packing.append(
                cost_of(
                    lambda: ours(video, 1, folder / "cost" / "frames", 1),
                    folder / "cost" / "frames",
                )
            )
        prints.append(_cpu(lambda: look_at(storage, Placed(shard, shard.videos[0]), 1.0)))

    seconds = [cost.cpu_seconds for cost in packing]
    return {
        "packing_cpu_seconds": seconds[1:],
        "prints_cpu_seconds": prints[1:],
        "share": [
            statistics.median(of / whole for of, whole in zip(prints[1:], seconds[1:], strict=True))
        ],
    }


def matching(size: int) -> dict[str, float]:
    """Match made-up videos of an hour, as alike as those of the synthetic corpus, with some copies among them."""
    keyed = np.random.default_rng(size)
    projection = keyed.standard_normal((30, 32 * WORDS), np.float32)
    videos = [_made_up(keyed, projection) for _ in range(math.ceil(size / 3600))]
    first_copy = len(videos)
    for video in videos[:PLANTED]:
        # A copy, some of whose bits are flipped as coding again flips them
        flips = np.packbits(keyed.random((PLANTED_SECONDS, 32 * WORDS)) < FLIPPED, axis=1).view(
            np.uint32
        )
        videos.append(video[600 : 600 + PLANTED_SECONDS] ^ flips)

    num_copies, library, started = len(videos) - first_copy, Library(videos), time.perf_counter()
    matches = list(
        find_matches([library], bands_of(len(library.bits)), train=len(library.starts) - 1)
    )
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


def _made_up(
    keyed: np.random.Generator, projection: "np.ndarray[tuple[int, int], np.dtype[np.float32]]"
) -> Bits:
    motion = keyed.standard_normal((3600, len(projection)), np.float32)
    for second in range(1, len(motion)):
        motion[second] += np.float32(0.8) * motion[second - 1]
    return np.packbits(motion @ projection > 0, axis=1).view(np.uint32)


def _cpu(run: Callable[[], object]) -> float:
    before = cpu_seconds()
    run()
    return cpu_seconds() - before


def _packed(folder: Path, name: str, videos: Sequence[Path], options: Sequence[str] = ()) -> str:
    """Pack videos as one dataset, and return the address."""
    corpus = folder / f"{name}.yaml"
    files = [str(video.resolve()) for video in videos]
    dataset = {"name": name, "specialty": "made", "procedure": "made", "videos": files}
    corpus.write_text(yaml.safe_dump({"datasets": [dataset]}))
    out = str(folder / "packed" / name)
    assert surgstream(["pack", str(corpus), out, *options]) == 0
    return out


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    starts = " | ".join(f"+{start / 10} s" for start in STARTS)
    lines = [
        f"packing | copies | {starts} | false alarms",
        "--- | --- |" + " --: |" * len(STARTS) + " --:",
    ]
    for row in rows:
        cells = row.num_found or ("",) * len(STARTS)
        lines.append(
            f"{row.packing} | {row.kind} | {' | '.join(map(str, cells))} | {row.false_alarms}"
        )
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
