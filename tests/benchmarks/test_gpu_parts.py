"""`python -m surgstream.benchmarks.gpu` where no GPU is: the parts that need none, and how a part ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from surgstream.benchmarks.gpu.__main__ import CPU_PARTS, GPU_PARTS, Part, run_part


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "surgstream.benchmarks.gpu", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500)


@pytest.mark.slow
def test_the_parts_that_need_no_gpu_find_what_they_should(tmp_path: Path) -> None:
    done = run(str(tmp_path), "--cpu", "--seconds", "1200")
    assert done.returncode == 0, done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert (tmp_path / "findings.jsonl").read_text() == done.stdout
    assert list(dict.fromkeys(line["part"] for line in found)) == [part.name for part in CPU_PARTS]

    assert [line["largest_difference"] for line in found if line.get("what") == "regions"] == [0]
    assert [line["failed_images"] for line in found if "failed_images" in line] == [0, 0]
    stages = [
        line["stage"]
        for line in found
        if line.get("recipe") == "surgvista_tiny" and "stage" in line
    ]
    assert stages == [1, 2, 3]
    assert all(line["finite"] for line in found if "finite" in line)
    assert [line["read_at_stage_2"] for line in found if "read_at_stage_2" in line] == [True, True]
    assert {"targets_ms", "forward_ms", "backward_ms", "optimizer_ms"} <= {
        key for line in found for key in line
    }


def test_a_part_that_breaks_or_takes_too_long_ends_alone(tmp_path: Path) -> None:
    (broken,) = run_part(Part("broken", 9, "nothing"), 60, tmp_path / "broken.err", cpu=True)
    assert broken["failed"].startswith("exit status 1: ") and "No module named" in broken["failed"]
    (late,) = run_part(Part("late", 9, "engine"), 1, tmp_path / "late.err", cpu=True)
    assert late["failed"].startswith("stopped after 1 s")


def test_parts_are_modules_of_the_package_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    package = Path(__file__).parents[2] / "benchmarks" / "gpu"
    for part in (*GPU_PARTS, *CPU_PARTS):
        assert (package / f"{part.module}.py").is_file()
    done = run(str(tmp_path), "--parts", "jpeg", "soup")
    assert done.returncode == 2 and "expected some of machine, jpeg, " in done.stderr
