"""What an install has: everything that runs, under one name."""

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
