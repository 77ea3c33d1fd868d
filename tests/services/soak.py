"""Train on the test cluster under a fault a minute, and compare what was consumed with the plan.

From the root of the repository, where Slurm is installed (`make test-services`):

  python -m tests.services.soak FOLDER --recoveries 100 --save FILE

A run of two ranks, on two nodes of three, goes on from fault to fault. All is kept in FOLDER: the same command goes on
after it was stopped, at any moment. It takes two cores; where there is less it takes longer, no more.
"""

import argparse
import io
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically
from surgstream.launch.__main__ import main as surgstream
from surgstream.trainer.runs.files import AUDIT, METRICS, checkpoint_name
from surgstream.trainer.runs.json_lines import get_float, tail
from tests.end_to_end.conftest import Corpora, make_corpora
from tests.end_to_end.runs import newest, words
from tests.services.jobs import Job, starts
from tests.services.slurm import ENDED, Cluster, sweep
from tests.services.soak_faults import FAULTS, MINUTES, wait_for

GLOBAL_BATCH = 16
RECIPE = (
    f"global_batch_size={GLOBAL_BATCH}",
    "micro_batch_size=2",
    "max_steps=1000000",
    "epochs=1000000",
    "checkpoint.every_steps=40",
    "checkpoint.keep_last=3",
    "parallel.timeout_seconds=30",
    f"site.time='{MINUTES}'",
)


class Soak:
    """A run, its cluster, and the faults so far."""

    def __init__(self, folder: Path, cluster: Cluster, seed: int) -> None:
        """Submit the run, or its next part."""
        self.run_dir = folder / "run"
        self.record = folder / "faults.jsonl"
        self.corpora = corpora_in(folder)
        self.cluster = cluster
        self.seed = seed
        self.job = self._submit()

    @property
    def faults(self) -> list[dict[str, object]]:
        """The faults that the run has recovered from."""
        if not self.record.exists():
            return []
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def next_fault(self, every_seconds: float) -> None:
        """Let the run get on, cause the next fault, and wait for the first step after it."""
        number = len(self.faults)
        before = newest(self.run_dir)
        begun = time.time()
        # With a new checkpoint each time, a run that is started often still gets on.
        self._wait(lambda: newest(self.run_dir) != before, "a checkpoint")
        time.sleep(max(0.0, begun + every_seconds - time.time()))

        name = fault_of(self.seed, number)
        fault_time = time.time()
        FAULTS[name](self.job, random.Random(f"{self.seed} {number}"))
        self._wait(lambda: self._first_step_since(fault_time) is not None, f"a step after: {name}")

        step_time = self._first_step_since(fault_time)
        assert step_time
        fault = {
            "number": number,
            "fault": name,
            "time": fault_time,
            "seconds": step_time - fault_time,
        }
        with self.record.open("a") as file:
            file.write(json.dumps(fault) + "\n")
        print(f"{number}: {name}: a step after {fault['seconds']:.1f} s", flush=True)

    def finish(self) -> None:
        """End the run, which saves."""
        self.cluster.cancel(self.job.id)
        self.cluster.wait(self.job.id, timeout=120)

    def _submit(self) -> Job:
        return Job(self.cluster, self.corpora, self.run_dir, *RECIPE)

    def _wait(self, moment: Callable[[], bool], what: str) -> None:
        """Wait while the job is alive; one that was cancelled, or ran out of time, is submitted again."""

        def come() -> bool:
            if self.job.state in ("CANCELLED", "TIMEOUT"):
                self.job = self._submit()
            elif self.job.state in ENDED:
                raise RuntimeError(f"job {self.job.id} has ended: {self.job.log[-4000:]}")
            return moment()

        wait_for(come, what)

    def _first_step_since(self, fault_time: float) -> float | None:
        """When the newest start since a fault reported its first step; None where it has not."""
        begun = max((start["time"] for start in starts(self.run_dir)), default=0.0)
        environment = self.run_dir / "environment.json"
        set_up = environment.stat().st_mtime if environment.exists() else 0.0
        if not fault_time < begun < set_up:
            return None
        times = (get_float(line, "time") or 0.0 for line in tail(self.run_dir / METRICS))
        return next((found for found in times if found > set_up), None)


def fault_of(seed: int, number: int) -> str:
    """The kind of a fault: all kinds come equally often, each time in another order."""
    again, place = divmod(number, len(FAULTS))
    return random.Random(f"{seed} {again}").sample(sorted(FAULTS), len(FAULTS))[place]


def corpora_in(folder: Path) -> Corpora:
    """The corpus to train on, made once."""
    corpora = Corpora(
        train=folder / "train", held_out=folder / "held_out", videos=folder / "videos"
    )
    if not (folder / "corpora_are_made").exists():
        make_corpora(corpora)
        (folder / "corpora_are_made").touch()
    return corpora


def committed(run_dir: Path, num_clips: int) -> str:
    """The clip log of all ranks up to a draw, in the order of draws."""
    lines = [
        line for path in (run_dir / AUDIT).glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    by_draw = sorted((json.loads(line)["g"], line) for line in lines)
    return "".join(f"{line}\n" for draw, line in by_draw if draw < num_clips)


def planned(corpora: Corpora, run_dir: Path, num_clips: int) -> str:
    """What `surgstream order` prints of the same draws."""
    page = io.StringIO()
    recipe = [word for word in words(corpora, run_dir, *RECIPE) if not word.startswith("site.")]
    with redirect_stdout(page):
        surgstream(["order", *recipe, f"--count={num_clips}", "--world-size=2"])
    return page.getvalue()


def main() -> int:
    """Cause faults until there are enough; then compare, print, and keep the result."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.services.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where all is kept")
    parser.add_argument(
        "--recoveries",
        type=int,
        default=100,
        metavar="N",
        help="end after as many, those of earlier calls counted (default: 100)",
    )
    parser.add_argument(
        "--every-seconds",
        type=float,
        default=30,
        metavar="S",
        help="from a recovery to the next fault at the least (default: 30)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="decides the order of faults (default: 0)"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the result there, as JSON")
    arguments = parser.parse_args()

    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    # What an earlier call has left when it was killed.
    sweep(folder / "cluster")
    shutil.rmtree(folder / "cluster", ignore_errors=True)

    cluster = Cluster(folder / "cluster", num_nodes=3)
    try:
        soak = Soak(folder, cluster, arguments.seed)
        while len(soak.faults) < arguments.recoveries:
            soak.next_fault(arguments.every_seconds)
        soak.finish()
    finally:
        cluster.stop()

    result = result_of(soak)
    print(json.dumps(result, indent=1))
    if arguments.save:
        write_atomically(arguments.save, json.dumps({**conditions(), **result}, indent=1))
    return 0 if result["as_planned"] else 1


def result_of(soak: Soak) -> dict[str, object]:
    """The medians, and whether what is committed is the plan."""
    last = newest(soak.run_dir)
    assert last
    num_clips = GLOBAL_BATCH * int(last.name.removeprefix(checkpoint_name(0)[:5]))
    seconds: dict[str, list[float]] = {}
    for fault in soak.faults:
        seconds.setdefault(str(fault["fault"]), []).append(float(str(fault["seconds"])))

    return {
        "recoveries": len(soak.faults),
        "starts": len(starts(soak.run_dir)),
        "clips": num_clips,
        "as_planned": committed(soak.run_dir, num_clips)
        == planned(soak.corpora, soak.run_dir, num_clips),
        "median_seconds": statistics.median(
            value for values in seconds.values() for value in values
        ),
        "median_seconds_by_fault": {
            name: statistics.median(values) for name, values in seconds.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
