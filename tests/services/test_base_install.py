"""The base install, from a wheel and what it names alone, in an environment of its own: what login nodes have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.wheels import ROOT, build_wheel


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    wheel = build_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=120)
    install = [
        folder / "venv" / "bin" / "pip",
        "install",
        "--quiet",
        "-c",
        ROOT / "constraints.txt",
        wheel,
    ]
    subprocess.run(install, check=True, timeout=300)
    return folder / "venv"


def said(environment: Path, folder: Path, *words: str, status: int = 0) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [environment / "bin" / "surgstream", *words]
    run = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == status, run.stderr
    return run.stdout + run.stderr


def test_it_has_three_packages(environment: Path, tmp_path: Path) -> None:
    listing = [environment / "bin" / "pip", "list", "--format=freeze"]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True, timeout=120).stdout
    names = {line.partition("==")[0].lower() for line in listed.splitlines()}
    assert names - {"pip", "setuptools"} == {"surgstream", "numpy", "pyyaml", "tqdm"}


def test_jobs_are_submitted_and_runs_looked_at(environment: Path, tmp_path: Path) -> None:
    recipe = ["surgvista_tiny", f"run_dir={tmp_path}/run", "data.corpus=here"]
    assert said(
        environment, tmp_path, "launch", "slurm", "cpu_test", *recipe, "--dry-run"
    ).startswith("#!")
    (tmp_path / "run").mkdir()
    assert "run" in said(environment, tmp_path, "status", str(tmp_path / "run"))
    page = said(environment, tmp_path, "describe", *recipe)
    assert "1,200 steps, 19,200 clips" in page and "surgstream[train]" in page
    for command in ("pack", "pretrain", "export", "leaks"):
        assert said(environment, tmp_path, command, "--help").startswith(
            f"usage: surgstream {command}"
        )


def test_predictions_are_judged(environment: Path, tmp_path: Path) -> None:
    task = {
        "name": "phases",
        "version": 1,
        "title": "phases",
        "dataset": "knee",
        "kind": "class",
        "labels": {"files": "{video}.csv", "column": "phase"},
        "classes": ["cut", "sew"],
        "metrics": ["image_accuracy"],
        "main": "image_accuracy",
        "split": {"train": ["v[0-1]"], "val": ["v[2-3]"], "test": ["v[4-28]"], "source": "Ours."},
        "clip": {"num_frames": 2, "stride": 1},
    }
    (tmp_path / "phases.yaml").write_text(yaml.safe_dump(task))
    (tmp_path / "labels").mkdir()
    right, wrong = ["video,second,label"], ["video,second,label"]
    for video in range(29):
        (tmp_path / "labels" / f"v{video}.csv").write_text("second,phase\n0,cut\n1,sew\n")
        if video > 3:
            right += [f"v{video},0,cut", f"v{video},1,{'cut' if video % 3 else 'sew'}"]
            wrong += [f"v{video},0,sew", f"v{video},1,sew"]
    (tmp_path / "right.csv").write_text("\n".join(right) + "\n")
    (tmp_path / "wrong.csv").write_text("\n".join(wrong) + "\n")

    words = ["evaluate", "phases.yaml", "right.csv", "wrong.csv", "--labels", "labels", "--compare"]
    told = said(environment, tmp_path, *words, "--out", "judged")
    assert "image_accuracy" in told and "p = " in told
    assert (tmp_path / "judged" / "report.html").stat().st_size > 1000


def test_what_is_missing_is_told_with_its_remedy(environment: Path, tmp_path: Path) -> None:
    told = said(environment, tmp_path, "pretrain", "surgvista_tiny", "data.corpus=here", status=1)
    assert told.endswith("pip install 'surgstream[train]'\n")
