"""What an install has: everything that runs, under one name."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.wheels import ROOMS, ROOT, build_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_a_wheel_has_all_that_runs(wheel: Path) -> None:
    files = {path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    data = {
        path
        for path in files
        if path.relative_to(ROOT).parts[0] != "benchmarks" and path.suffix != ".pyc"
    }
    python = {path for path in files if path.suffix == ".py"}
    expected = {f"surgstream/{path.relative_to(ROOT)}" for path in data | python}
    expected |= {"surgstream/__init__.py", "surgstream/__main__.py"}

    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "surgstream/configs/pack/surgvista.yaml" in names


@pytest.mark.slow
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
