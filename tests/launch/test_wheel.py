"""What an install has: everything that runs, under one name."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("configs", "shards", "trainer", "launch", "benchmarks")
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since building leaves files behind."""
    copy = tmp_path_factory.mktemp("wheel") / "surgstream"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy)
    for room in ("src", *ROOMS):
        shutil.copytree(ROOT / room, copy / room, symlinks=True, ignore=shutil.ignore_patterns("results", "*.egg-info"))

    build = subprocess.run([sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, timeout=120)
    assert build.returncode == 0, build.stderr
    return copy / build.stdout.split()[-1]


def test_a_wheel_has_all_that_runs(wheel: Path) -> None:
    files = {path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    data = {path for path in files if path.relative_to(ROOT).parts[0] != "benchmarks" and path.suffix != ".pyc"}
    python = {path for path in files if path.suffix == ".py"}
    expected = {f"surgstream/{path.relative_to(ROOT)}" for path in data | python}
    expected |= {"surgstream/__init__.py", "surgstream/__main__.py"}

    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "surgstream/configs/pack/surgvista.yaml" in names


def test_what_is_installed_runs_anywhere(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    for room in (*ROOMS, "surgstream"):
        (tmp_path / f"{room}.py").write_text("raise RuntimeError('this is not surgstream')\n")

    run = subprocess.run(
        [sys.executable, "-P", "-m", "surgstream", "describe", "surgvista_tiny", "data.corpus=here"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout
