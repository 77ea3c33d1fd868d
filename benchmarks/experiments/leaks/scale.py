"""The search for copies in large corpora: what an hour of packed video costs, and some hours against many.

`python -m surgstream.benchmarks.experiments.leaks.scale FOLDER [--shards SHARDS] [--trained HOURS ...]` writes
`scale.json` there. With --shards it takes fingerprints of a packed corpus, such as `surgstream synth` makes: their
cost, that of reading them again, and what its videos share with each other. With --trained it compares a made-up task
with made-up corpora of so many hours.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from surgstream.benchmarks.experiments.leaks.costs import FLIPPED, Coins, made_up, projection
from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.leaks.candidates import Library, bands_of
from surgstream.shards.leaks.comparing import compare
from surgstream.shards.leaks.looking import look_tasks, looks_at
from surgstream.shards.leaks.matching import find_matches
from surgstream.shards.leaks.read import PHASES
from surgstream.shards.leaks.thumbnails import WORDS, Bits
from surgstream.shards.storage.stores import open_storage

SEED = 5
ASKED_HOURS = 20
PLANTED = 10
PLANTED_SECONDS = 300

Result = TypeVar("Result")


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards")
    parser.add_argument("--trained", metavar="HOURS", type=int, nargs="+", default=[])
    words = parser.parse_args()

    words.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, object] = {**conditions()}
    if words.shards:
        found["prints"] = printing(words.shards, words.folder / "kept")
    if words.trained:
        found["comparisons"] = [comparing(ASKED_HOURS, hours) for hours in words.trained]
    print(json.dumps(found, indent=1))
    write_atomically(words.folder / "scale.json", json.dumps(found, indent=1) + "\n")


def printing(shards: str, kept: Path) -> dict[str, float]:
    """What the fingerprints of a packed corpus cost, taken and kept, and what its videos share with each other.

    Args:
        shards: The corpus.
        kept: A folder that is not there yet.
    """
    manifest = Manifest.load(open_storage(shards))
    tasks = look_tasks({shards: manifest}, {})
    videos = [video for task in tasks for video in task.shard.videos]
    hours = sum(video.num_frames / video.fps for video in videos) / 3600

    _, taken = timed(lambda: looks_at(tasks, workers=1, kept=None), time.process_time)
    looks_at(tasks, workers=1, kept=kept)
    _, again = timed(lambda: looks_at(tasks, workers=1, kept=kept), time.process_time)
    num_bytes = sum(path.stat().st_size for path in kept.iterdir())

    # All pairs of videos, and so those of any task
    compared = compare({shards: manifest}, workers=1, kept=kept)
    return {
        "videos": len(videos),
        "hours": hours,
        "taken_cpu_seconds_an_hour": taken / hours,
        "kept_cpu_seconds_an_hour": again / hours,
        "kept_mb_an_hour": num_bytes / 1e6 / hours,
        "pairs": len(videos) * (len(videos) - 1) // 2,
        "found": len(compared.findings),
        "not_compared": len(compared.not_compared),
    }


def comparing(asked_hours: int, trained_hours: int) -> dict[str, float]:
    """Compare a task with a corpus by motion, both at four phases, with copies of parts of the task in it.

    Args:
        asked_hours: Videos of the task, an hour each.
        trained_hours: Videos of the corpus, an hour each.
    """
    keyed = np.random.default_rng([SEED, trained_hours])
    coins = projection(keyed)
    hours = [_at_all_phases(keyed, coins) for _ in range(asked_hours + trained_hours)]
    num_planted = min(PLANTED, asked_hours)
    for number in range(num_planted):
        is_flipped = keyed.random((PHASES, PLANTED_SECONDS, 32 * WORDS)) < FLIPPED
        flips = np.packbits(is_flipped, axis=2).view(np.uint32)
        hours.append(hours[number][:, 600 : 600 + PLANTED_SECONDS] ^ flips)

    phases = [Library([video[phase] for video in hours]) for phase in range(PHASES)]
    bands = bands_of(len(phases[0].bits))
    matches, seconds = timed(
        lambda: list(find_matches(phases, bands, train=asked_hours)), time.process_time
    )
    first_copy = asked_hours + trained_hours
    is_planted = [match.second - first_copy == match.first for match in matches]
    return {
        "asked_hours": asked_hours,
        "trained_hours": trained_hours,
        "cpu_seconds": seconds,
        "planted": num_planted,
        "found": len({match.first for match in matches if match.second >= first_copy}),
        "false_alarms": is_planted.count(False),
    }


def timed(run: Callable[[], Result], clock: Callable[[], float]) -> tuple[Result, float]:
    """What a piece of work gives, and its seconds."""
    started = clock()
    found = run()
    return found, clock() - started


def _at_all_phases(keyed: np.random.Generator, coins: Coins) -> Bits:
    """Fingerprints of an hour at each phase, (PHASES, 3600, WORDS); those of one do not tell those of another."""
    return np.stack([made_up(keyed, coins) for _ in range(PHASES)])


if __name__ == "__main__":
    main()
