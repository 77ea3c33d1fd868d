"""Steps of a tiny model alone, and beside the upload of a checkpoint: by the run's own thread, and by another process.

`python -m surgstream.benchmarks.experiments.mirror_stall STORE --save FILE`, with STORE an empty prefix;
`python -m tests.services` before it runs it against Ceph's gateway, on the same cores.

Where cores are short, any upload takes time from the steps, and so does the store beside it. What a thread takes
beyond that, since Python runs one thread at a time, is the difference from an upload by another process.
"""

import argparse
import hashlib
import itertools
import multiprocessing
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.benchmarks.support.harness import (
    Case,
    Fact,
    Findings,
    facts_table,
    join_once,
    measure,
    save,
    table,
)
from surgstream.benchmarks.support.training import (
    load_recipe,
    make_trainer,
    resident_batches,
    take_steps,
)
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint_files import STATE, file_name, state_bytes
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.engine.loop import Trainer
from surgstream.trainer.mirror.place import MirrorPlace
from surgstream.trainer.mirror.worker import Mirror
from surgstream.trainer.runs.files import checkpoint_name

RECIPE = "configs/pretrain/surgvista_tiny.yaml"
FILE_BYTES = 64 << 20
NUM_FILES = 2
STEPS_AT_ONCE = 2


class Checkpoints:
    """Checkpoints of further and further steps, whose tensors are links to the same files."""

    def __init__(self, folder: Path) -> None:
        """Write the files."""
        self._folder = folder
        self._entries = {}
        self._numbers = itertools.count(1)
        for number in range(NUM_FILES):
            data = np.random.default_rng(number).bytes(FILE_BYTES)
            digest = hashlib.sha256(data).hexdigest()
            self._entries[file_name(0, number)] = {"bytes": FILE_BYTES, "sha256": digest}
            (folder / file_name(0, number)).write_bytes(data)

    def save(self) -> Path:
        """One more."""
        step = next(self._numbers)
        checkpoint = self._folder / checkpoint_name(step)
        checkpoint.mkdir()
        for name in self._entries:
            (checkpoint / name).hardlink_to(self._folder / name)
        content = {"step": step, "g": step, "optimizer_step": step, "files": self._entries}
        (checkpoint / STATE).write_bytes(state_bytes(content))
        return checkpoint


class Uploads:
    """A mirror that is told to copy checkpoints, in this process or in another."""

    def __init__(self, uri: str) -> None:
        self._mirror = Mirror(MirrorPlace(open_storage(uri)), CheckpointConfig(keep_last=1))
        self.publish_seconds: list[float] = []

    def begin(self, checkpoint: Path) -> None:
        """Hand a checkpoint over, as a save does."""
        begun = time.perf_counter()
        self._mirror.publish(checkpoint, None)
        self.publish_seconds.append(time.perf_counter() - begun)

    def are_done(self) -> bool:
        """Whether it is in the mirror."""
        is_over = self._mirror.wait(0.0, hurry=False)
        if is_over and (missing := self._mirror.missing()):
            raise RuntimeError(missing)
        return is_over

    def close(self) -> None:
        """End the thread."""
        self._mirror.close()


class UploadsElsewhere:
    """The same, by a process of its own."""

    def __init__(self, uri: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_upload_each, args=(uri, theirs), daemon=True)
        self._process.start()

    def begin(self, checkpoint: Path) -> None:
        """See `Uploads.begin`."""
        self._pipe.send(checkpoint)

    def are_done(self) -> bool:
        """See `Uploads.are_done`."""
        return self._pipe.poll() and bool(self._pipe.recv())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _upload_each(uri: str, pipe: Any) -> None:
    uploads = Uploads(uri)
    while True:
        uploads.begin(pipe.recv())
        while not uploads.are_done():
            time.sleep(0.01)
        pipe.send(True)


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.mirror_stall",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", metavar="STORE", help="an empty s3:// prefix")
    parser.add_argument("--repeats", type=int, default=25, metavar="N", help="(default: 25)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the result there, as JSON")
    words = parser.parse_args()

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = load_recipe([RECIPE], folder / "run", "data.corpus=none", "held_out=null")
        batches = itertools.cycle(resident_batches(config, join_once().device))
        trainer = stack.enter_context(closing(make_trainer(config, batches)))
        checkpoints = Checkpoints(folder)
        thread = stack.enter_context(closing(Uploads(f"{words.store}/thread")))
        process = stack.enter_context(closing(UploadsElsewhere(f"{words.store}/process")))

        rows = measure(
            [
                Case("steps alone", "steps", lambda: alone(trainer)),
                Case(
                    "beside an upload by another process",
                    "steps",
                    lambda: beside(process, checkpoints, trainer),
                ),
                Case(
                    "beside an upload by the run's own thread",
                    "steps",
                    lambda: beside(thread, checkpoints, trainer),
                ),
            ],
            repeats=words.repeats,
        )
        _, by_process, by_thread = rows
        ratios = np.divide(by_thread.rates, by_process.rates)
        facts = [
            Fact.of("rate beside the thread over that beside the process", "", *ratios.tolist()),
            Fact.of("ends of that median's 95 % interval", "", *interval(ratios)),
            Fact.of("handing a checkpoint over", "ms", *(1e3 * s for s in thread.publish_seconds)),
        ]

    print(table(rows), facts_table(facts), sep="\n\n")
    if words.save:
        save(words.save, rows, Findings(facts))
    return 0


def beside(
    uploads: Uploads | UploadsElsewhere, checkpoints: Checkpoints, trainer: Trainer
) -> float:
    """Take steps until an upload is over; returns how many."""
    uploads.begin(checkpoints.save())
    num_steps = 0
    while not uploads.are_done():
        take_steps(trainer, STEPS_AT_ONCE)
        num_steps += STEPS_AT_ONCE
    return num_steps


def interval(ratios: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of a median, by bootstrap over repeats."""
    resampled = np.random.default_rng(0).integers(len(ratios), size=(2000, len(ratios)))
    low, high = np.percentile(np.median(ratios[resampled], axis=1), (2.5, 97.5))
    return float(low), float(high)


def alone(trainer: Trainer) -> float:
    """Take steps for about as long as an upload takes; returns how many."""
    num_steps = 10
    take_steps(trainer, num_steps)
    return num_steps


if __name__ == "__main__":
    sys.exit(main())
