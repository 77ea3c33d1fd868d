"""Kill a process that copies checkpoints to a store, again and again, and look at what a new one would resume from.

`python -m surgstream.benchmarks.experiments.mirror_kills STORE --kills 100 --save FILE`, with STORE an empty prefix;
`python -m tests.services` before it runs it against Ceph's gateway.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3

from surgstream.benchmarks.support.harness import conditions
from surgstream.benchmarks.support.killed_uploads import contents, expected, save_for_ever
from surgstream.configs.files import write_atomically
from surgstream.shards.storage.addresses import bucket_and_key
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint_files import step_of
from surgstream.trainer.mirror.choice import choose
from surgstream.trainer.mirror.place import MirrorPlace

LONGEST_SECONDS = 1.5
"""From the first save of a process to its end."""

_START_SECONDS = 1.0
"""The least that the next start of a run takes; the store has mostly answered by then what it was asked before the
kill."""

_LATE_SECONDS = 20.0
"""How long a busy store may take for that. Meanwhile it is swept again, as a run does after each upload."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What was found after a kill.

    Attributes:
        seconds: From the first save of the process to its end.
        announced: The last step that any process has announced; 0 before there is one.
        chosen: The step that a process without a directory of its own resumes from; 0 where there is none.
        same_bytes: Whether each of its files is what was saved.
        half: Checkpoints that have a state, and are not whole.
        unfinished_uploads: Multipart uploads that the kill left.
        stray_files: Files that it left of checkpoints without a state.
        left_after_sweep: Both kinds, after the next start's sweep, or those that follow where the store answers late.
        sweeps: How many it took.
    """

    seconds: float
    announced: int
    chosen: int
    same_bytes: bool
    half: int
    unfinished_uploads: int
    stray_files: int
    left_after_sweep: int
    sweeps: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost, half or left."""
        is_clean = not self.half and not self.left_after_sweep
        return self.same_bytes and self.chosen >= self.announced and is_clean


def main() -> int:
    """Kill as often as asked, and print what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.mirror_kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", help="an empty s3:// prefix")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="(default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments (default: 0)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the result there, as JSON")
    words = parser.parse_args()

    kills = []
    with tempfile.TemporaryDirectory() as folder:
        for kill in kill_often(words.store, Path(folder), words.kills, words.seed):
            kills.append(kill)
            print(f"{len(kills)}: {kill}", flush=True)

    result = summary(kills)
    print(json.dumps(result, indent=1))
    if words.save:
        rows = [asdict(kill) for kill in kills]
        write_atomically(words.save, json.dumps({**conditions(), **result, "rows": rows}, indent=1))
    return 0 if result["sound"] == len(kills) else 1


def kill_often(uri: str, folder: Path, num_kills: int, seed: int) -> Iterator[Kill]:
    """Start a process that saves and copies, and kill it at some moment; half of the times its directory is lost.

    Args:
        uri: The mirror.
        folder: An empty folder for all else.
        num_kills: How often.
        seed: Decides the moments.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([save_for_ever.__module__])  # imports take seconds
    luck = random.Random(seed)
    announcements = folder / "announced"

    root = folder / "0" / "checkpoints"
    for number in range(num_kills):
        process = context.Process(
            target=save_for_ever, args=(dict(os.environ), uri, root, announcements)
        )
        process.start()
        begun = folder / f"begun{process.pid}"
        while not begun.exists():
            if not process.is_alive():
                raise RuntimeError(f"process {number} ended before it was killed")
            time.sleep(0.001)
        seconds = luck.uniform(0, LONGEST_SECONDS)
        time.sleep(seconds)
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"process {number} ended by itself, with {process.exitcode}")

        time.sleep(_START_SECONDS)
        yield look(uri, folder / f"fetched{number}", announcements, seconds)
        if luck.random() < 0.5:
            root = folder / str(number + 1) / "checkpoints"


def look(uri: str, root: Path, announcements: Path, seconds: float) -> Kill:
    """What is there after a kill, for a process that has nothing of its own."""
    lines = announcements.read_text().split() if announcements.exists() else []
    announced = int(lines[-1]) if lines else 0
    place = MirrorPlace(open_storage(uri))
    stray = stray_files(place)
    uploads = unfinished_uploads(uri)

    chosen = choose(root, "auto", place)
    step = step_of(chosen) if chosen else 0
    same = chosen is None or contents(chosen) == expected(step)
    left, sweeps = swept(place, uri)
    return Kill(
        seconds=seconds,
        announced=announced,
        chosen=step,
        same_bytes=same,
        half=len(place.damaged),
        unfinished_uploads=uploads,
        stray_files=stray,
        left_after_sweep=left,
        sweeps=sweeps,
    )


def swept(place: MirrorPlace, uri: str) -> tuple[int, int]:
    """Sweep until nothing is left; how much was left of killed uploads in the end, and after how many sweeps."""
    latest = time.monotonic() + _LATE_SECONDS
    sweeps = 0
    while True:
        place.sweep()
        sweeps += 1
        left = stray_files(place) + unfinished_uploads(uri)
        if not left or time.monotonic() > latest:
            return left, sweeps
        time.sleep(1)


def summary(kills: list[Kill]) -> dict[str, int]:
    """Counts over all kills."""
    return {
        "kills": len(kills),
        "sound": sum(kill.is_sound for kill in kills),
        "announced": max((kill.announced for kill in kills), default=0),
        "with_unfinished_uploads": sum(kill.unfinished_uploads > 0 for kill in kills),
        "with_stray_files": sum(kill.stray_files > 0 for kill in kills),
        "swept_again": sum(kill.sweeps > 1 for kill in kills),
        "chosen_newer_than_announced": sum(kill.chosen > kill.announced for kill in kills),
    }


def stray_files(place: MirrorPlace) -> int:
    """How many files there are of checkpoints that have no state."""
    whole = set(place.names())
    names = [name.partition("/")[0] for name in place.storage.sizes()]
    return sum(name.startswith("step_") and name not in whole for name in names)


def unfinished_uploads(uri: str) -> int:
    """How many multipart uploads of the prefix are not completed."""
    bucket, prefix = bucket_and_key(uri)
    client = boto3.session.Session().client("s3")
    answer = client.list_multipart_uploads(Bucket=bucket.removeprefix("s3://"), Prefix=prefix)
    return len(answer.get("Uploads", []))


if __name__ == "__main__":
    sys.exit(main())
