"""What lies where a user works comes before nothing of ours, and our rooms have no names of their own beside it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from surgstream.launch.torchrun import torchrun_line
from tests.helpers.shadows import write_shadows
from tests.helpers.wheels import ROOMS, build_wheel

RECIPE = "surgvista_tiny"
IMPORT_ALL = """
import importlib, pkgutil, sys
# torchvision, which others import, fails beside a CPU-only torch without this
import surgstream.trainer.models.images.teacher

for room in ("configs", "shards", "trainer", "launch"):
    package = importlib.import_module(f"surgstream.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

print(*({*sys.argv[1:]} & {*sys.modules}))
"""


@pytest.fixture(params=["files", "folders"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder in which everything is called as ours is, and fails when it is imported."""
    return write_shadows(tmp_path, request.param)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel installs."""
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel"))).extractall(folder)
    return folder


@pytest.fixture(params=["editable", "wheel"])
def install(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of an environment in which surgstream is installed in one of both ways."""
    if request.param == "editable":
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": str(request.getfixturevalue("unpacked"))}


def said(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_the_command_is_ours(where: Path, install: dict[str, str]) -> None:
    script = Path(sys.executable).with_name("surgstream")
    command = [str(script), "describe", RECIPE, "data.corpus=here"]
    assert said(command, where, install).startswith("surgvista")


@pytest.mark.slow
def test_torchrun_starts_ours_on_every_rank(where: Path, install: dict[str, str]) -> None:
    line = torchrun_line(
        ["order", "--help"], num_nodes=1, ranks_per_node=2, gpus_per_node=0, endpoint=None
    )
    assert said(line, where, install).count("usage: surgstream order") == 2


@pytest.mark.slow
def test_no_room_is_imported_by_its_bare_name(tmp_path: Path) -> None:
    assert said([sys.executable, "-c", IMPORT_ALL, *ROOMS], tmp_path) == "\n"
