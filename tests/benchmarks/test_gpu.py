"""`benchmarks/gpu.sh` here, where no GPU is: what it runs, and what it says of that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_BROKEN = """#!/bin/sh
case "$*" in
    *import*) echo ${GPUS:-0 cpu} ;;
    *"bench step"*) echo half a table; exec sleep ${HANG:-0} ;;
    *) echo 'surgstream: it broke' >&2; exit 3 ;;
esac
"""
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"


def gpu_sh(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it from another folder, as on a box that has the packages and no installed surgstream."""
    there = {name: text for name, text in os.environ.items() if name != "SURGSTREAM_CORPUS"}
    there |= {
        "PYTHON": sys.executable,
        "CUDA_VISIBLE_DEVICES": "",
        "REPEATS": "1",
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    return subprocess.run(
        [SCRIPT, *words], env=there, cwd="/", capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def broken_python(tmp_path: Path) -> str:
    """An interpreter that finds the GPUs it is told and then fails, but hangs where it is asked for `step`."""
    path = tmp_path / "python"
    path.write_text(_BROKEN)
    path.chmod(0o755)
    return str(path)


def test_a_part_that_breaks_or_hangs_ends_alone(tmp_path: Path, broken_python: str) -> None:
    done = gpu_sh(
        str(tmp_path / "out"),
        "tests",
        "decode",
        "step",
        "train",
        PYTHON=broken_python,
        BUDGET_SECONDS="4",
        HANG="60",
    )
    assert done.returncode == 0, done.stderr
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "No GPU was found" in summary and "half a table" in summary
    ends = [line.split(" | ") for line in summary.splitlines() if " s | " in line]
    assert [(line[0].strip("| "), line[2].strip("| ")) for line in ends] == [
        ("tests", "skipped, no GPU"),
        ("decode", "failed, exit status 3: surgstream: it broke"),
        ("step", f"stopped at its budget of {ends[2][1].split()[2]} s"),
        ("train", "failed, exit status 3: surgstream: it broke"),
    ]
    assert done.stdout == summary


def test_on_gpus_the_published_recipe_is_measured(tmp_path: Path, broken_python: str) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "manifest.json").touch()
    done = gpu_sh(
        str(tmp_path / "out"), PYTHON=broken_python, GPUS="5 h100", SURGSTREAM_CORPUS=str(corpus)
    )
    assert done.returncode == 0 and f"corpus: skipped, given: {corpus}" in done.stderr
    log = (tmp_path / "out" / "log.txt").read_text()
    commands = {
        line.split(":")[0][4:]: line for line in log.splitlines() if line.startswith("=== ")
    }
    recipe = "--recipe configs/pretrain/surgvista_vitb.yaml objective.teacher.weights=null"
    assert list(commands) == ["tests", "decode", "loader", "step", "train", "scale"]
    assert "-m pytest -m gpu " in commands["tests"]
    assert all(
        f"bench {theme} {recipe}" in commands[theme] for theme in ("loader", "step", "train")
    )
    assert all(
        f"data.corpus={corpus} " in f"{commands[theme]} "
        for theme in ("loader", "step", "train", "scale")
    )
    assert "global_batch_size=256" in commands["step"] and "--hardware h100" in commands["step"]
    assert (
        "--processes 1 2 4 " in commands["scale"] and "global_batch_size" not in commands["scale"]
    )


@pytest.mark.slow
def test_a_corpus_is_made_and_read(tmp_path: Path) -> None:
    done = gpu_sh(
        str(tmp_path / "out"), "corpus", "decode", VIDEO_SECONDS="0.5", BUDGET_SECONDS="250"
    )
    assert done.returncode == 0
    assert "corpus: done\ndecode: done\n" in done.stderr
    assert (
        "| DALI on the CPU, JPEG bytes, 1 thread |" in (tmp_path / "out" / "summary.md").read_text()
    )
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".md", ".txt"]


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    for words, environment, said in (
        ((), {}, "expected OUT_DIR [PART ...]"),
        (
            (str(tmp_path),),
            {"BUDGET_SECONDS": "soon"},
            "BUDGET_SECONDS: expected whole seconds, got soon",
        ),
        (
            (str(tmp_path),),
            {"PYTHON": "no-such-python"},
            "PYTHON: expected an interpreter, found no no-such-python",
        ),
        (
            (str(tmp_path),),
            {"SURGSTREAM_CORPUS": "/nowhere"},
            "expected a packed corpus, got /nowhere",
        ),
    ):
        done = gpu_sh(*words, **environment)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_shellcheck_has_nothing_against_it() -> None:
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    assert shellcheck
    found = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True)
    assert not found.returncode, found.stdout
