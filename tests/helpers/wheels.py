"""The wheel of this repository, as it would be published."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("configs", "shards", "trainer", "launch", "benchmarks")
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"


def build_wheel(folder: Path) -> Path:
    """Build it from a copy in `folder`, since building leaves files behind."""
    copy = folder / "surgstream"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy)
    for room in ("src", *ROOMS):
        shutil.copytree(
            ROOT / room,
            copy / room,
            symlinks=True,
            ignore=shutil.ignore_patterns("results", "*.egg-info"),
        )

    build = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, timeout=120
    )
    assert build.returncode == 0, build.stderr
    return copy / build.stdout.split()[-1]
