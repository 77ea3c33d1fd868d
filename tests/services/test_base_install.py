"""The base install, from a wheel and what it names alone, in an environment of its own: what login nodes have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_what_is_missing_is_told_with_its_remedy(environment: Path, tmp_path: Path) -> None:
    told = said(environment, tmp_path, "pretrain", "surgvista_tiny", "data.corpus=here", status=1)
    assert told.endswith("pip install 'surgstream[train]'\n")
