"""What lies where a user works comes before nothing of ours, and our rooms have no names of their own beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

from surgstream.launch.torchrun import torchrun_line

ROOMS = ("configs", "shards", "trainer", "launch", "benchmarks")
RECIPE = "surgvista_tiny"
IMPORT_ALL = """
import importlib, pkgutil, sys
import surgstream.trainer.models.teacher  # torchvision, which others import, fails beside a CPU-only torch without

for room in ("configs", "shards", "trainer", "launch"):
    package = importlib.import_module(f"surgstream.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

print(*({*sys.argv[1:]} & {*sys.modules}))
"""


@pytest.fixture(params=["files", "folders"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder in which everything is called as ours is, and fails when it is imported."""
    for name in (*ROOMS, "surgstream", "torch"):
        if request.param == "folders":
            (tmp_path / name).mkdir()
        path = (
            tmp_path / name / "__init__.py"
            if request.param == "folders"
            else tmp_path / f"{name}.py"
        )
        path.write_text("raise RuntimeError('this is not surgstream')\n")
    return tmp_path


def said(command: list[str], folder: Path) -> str:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_the_command_is_ours(where: Path) -> None:
    script = Path(sys.executable).with_name("surgstream")
    assert said([str(script), "describe", RECIPE, "data.corpus=here"], where).startswith(
        "surgvista"
    )


@pytest.mark.slow
def test_torchrun_starts_ours_on_every_rank(where: Path) -> None:
    line = torchrun_line(["order", "--help"], num_nodes=1, ranks_per_node=2, endpoint=None)
    assert said(line, where).count("usage: surgstream order") == 2


@pytest.mark.slow
def test_no_room_is_imported_by_its_bare_name(tmp_path: Path) -> None:
    assert said([sys.executable, "-c", IMPORT_ALL, *ROOMS], tmp_path) == "\n"
