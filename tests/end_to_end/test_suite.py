"""A suite by its command, in processes of its own, and what SIGKILL leaves of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surgstream.trainer.runs.costs import Start, read_starts
from tests.trainer.suite.made_up import MadeUp, make

pytestmark = pytest.mark.slow

SUITE = """
title: "Grey pictures"
parts:
  - tasks: [{phases}, {score}]
    protocols: [probe_ridge]
  - tasks: [{phases}]
    protocols: [probe_linear]
    set: [epochs=2, max_clips_per_epoch=16, global_batch_size=8, micro_batch_size=8, test_all=false]
seeds: [0]
yardsticks: []
"""


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    found = make(tmp_path)
    text = SUITE.format(phases=found.task(), score=found.task("score"))
    (tmp_path / "grey.yaml").write_text(text)
    return found


def suite(made: MadeUp, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "surgstream", "suite", str(made.folder / "grey.yaml")),
        *("weights=pixels", "encoder.num_frames=2", "encoder.image_size=16"),
        *("--corpus", str(made.shards), "--labels", str(made.labels)),
        *("--out", str(made.places.out), *more),
    ]


def starts_of_cells(made: MadeUp) -> dict[str, list[Start]]:
    """What each start cost that ended by itself."""
    return {path.name: [*read_starts(path)] for path in sorted(made.places.out.glob("cells/*"))}


def predicted(made: MadeUp) -> dict[Path, int]:
    """When each test was predicted."""
    found = made.places.out.glob("cells/*/predictions/test.npz")
    return {path: path.stat().st_mtime_ns for path in found}


def test_a_suite_that_is_killed_repeats_no_finished_cell(made: MadeUp) -> None:
    process = subprocess.Popen(suite(made), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not predicted(made):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = predicted(made)

    # A run that is at work goes on by itself, and the next start waits for it.
    done = subprocess.run(suite(made), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    after = predicted(made)
    assert len(after) == 3 and before.items() <= after.items()

    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [line.split("|")[2].strip() for line in lines] == [
        "protocol", "probe_ridge", "probe_ridge", "probe_linear",
    ]  # fmt: skip
    for name in ("table.md", "table.tex", "report.html", "results/phases-probe_ridge.json"):
        assert (made.places.out / name).exists()

    papers = [
        json.loads(path.read_text()) for path in made.places.out.glob("cells/*/provenance.json")
    ]
    assert len(papers) == 3
    for (setup,) in (record["setups"] for record in papers):
        assert setup["weights"]["encoder"]["name"] == "pixels"
        assert setup["corpus"]["address"] == str(made.shards) and setup["corpus"]["datasets"]

    starts = starts_of_cells(made)
    assert all(starts.values()) and "ms a frame" in (made.places.out / "report.html").read_text()
    again = subprocess.run(suite(made), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and "[1/" not in again.stderr
    assert starts_of_cells(made) == starts and predicted(made) == after


def test_a_cell_that_fails_is_a_reason_and_harms_no_other(made: MadeUp) -> None:
    # Nothing to choose by, and more than one penalty or head to choose from
    made.task(split={"train": ["v[0-3]"], "test": ["v[6-7]"], "source": "Ours."})

    done = subprocess.run(suite(made), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    of_score = next(line for line in done.stdout.splitlines() if line.startswith("| score"))
    assert "failed" not in of_score
    assert done.stdout.partition("## Notes")[0].count("| failed |") == 2
    assert "validation" in done.stdout.partition("## Notes")[2]
