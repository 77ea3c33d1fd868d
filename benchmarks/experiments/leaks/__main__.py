"""The search for copies by `surgstream leaks`: copies that it finds, false alarms, and costs.

`python -m surgstream.benchmarks.experiments.leaks FOLDER [--films 24] [--real VIDEO ...] [--seed 0]` writes
`leaks.json` there, and tables. Originals are synthetic films of 45 seconds that move as fast as real endoscopy, by the
90th percentile of optical flow. Copies are made in twelve ways by FFmpeg's program, and start 5.0 to 5.9 s later: of
frames packed ten times a second those are taken that packing at a lower rate, from such a start, would give. So are
clips of eight seconds, which only single pictures tell. With --real the same is done with clips of real videos.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from surgstream.benchmarks.experiments.leaks.costs import SIZES, matching, share_of_packing
from surgstream.benchmarks.experiments.leaks.counting import (
    CLIP_CUT,
    STARTS,
    Row,
    find_clips,
    middle,
    moving,
    rows_of,
    still,
)
from surgstream.benchmarks.experiments.leaks.films import KINDS, RATE, REAL_SPEED, looks, make_films
from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.shards.leaks.matching import find_matches

LONG_SECONDS = 30
"""Length from which on a video is compared as a whole."""

FILM_CUT = 5
"""Seconds that are cut from both ends of copies of whole videos."""


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
    write_atomically(words.folder / "leaks.json", json.dumps(found, indent=1) + "\n")


def look(folder: Path, videos: Sequence[Path]) -> tuple[list[Row], list[Row]]:
    """Alter videos and look for the copies among the originals: whole, those that are long enough, and as clips."""
    originals = looks(folder, [*videos], None)
    copies = {kind: looks(folder, [*videos], kind) for kind in KINDS}

    long = [number for number, each in enumerate(originals) if len(each) >= LONG_SECONDS * RATE]
    long_originals = [moving(originals[number]) for number in long]
    films = {kind: [moving(some[number]) for number in long] for kind, some in copies.items()}
    whole = rows_of(long_originals, films, find_matches, FILM_CUT * RATE)

    all_originals = [still(each) for each in originals]
    clips = {kind: [still(middle(each)) for each in some] for kind, some in copies.items()}
    return whole, rows_of(all_originals, clips, find_clips, CLIP_CUT * RATE)


def table(rows: Sequence[Row]) -> str:
    """Lay results out as Markdown, with a column for each start of copies."""
    starts = [f"+{start / 10} s" for start in STARTS]
    lines: list[tuple[str, ...]] = [("packing", "copies", *starts, "false alarms")]
    for row in rows:
        found = map(str, row.num_found or ("",) * len(STARTS))
        lines.append((row.packing, row.kind, *found, f"{row.false_alarms}"))
    return markdown(lines, left=2)


if __name__ == "__main__":
    main()
