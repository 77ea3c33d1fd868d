"""The wheel of this repository, as it would be published."""

import shutil
import subprocess
import sys
import zipfile
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
    return build_wheel_in(copy)


def build_wheel_in(copy: Path) -> Path:
    """Build the wheel of a copy of the repository, and leave it there."""
    build = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, timeout=120
    )
    assert build.returncode == 0, build.stderr
    return copy / build.stdout.split()[-1]


def packed(wheel: Path) -> set[str]:
    """The names of what a wheel installs."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if ".dist-info/" not in name}


def expected() -> set[str]:
    """The names of what it should install: all that runs, and what that reads."""
    files = {path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    data = {
        path
        for path in files
        if path.relative_to(ROOT).parts[0] != "benchmarks" and path.suffix != ".pyc"
    }
    python = {path for path in files if path.suffix == ".py"}
    names = {f"surgstream/{path.relative_to(ROOT)}" for path in data | python}
    return names | {f"surgstream/{name}" for name in ("__init__.py", "__main__.py", "py.typed")}
