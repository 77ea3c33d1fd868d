"""The files that come with the package."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_all_are_installed() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["configs"]
    installed = {path for pattern in patterns for path in (ROOT / "configs").glob(pattern)}
    files = {path for path in (ROOT / "configs").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files == installed
    assert ROOT / "configs" / "pack" / "surgvista.yaml" in installed
