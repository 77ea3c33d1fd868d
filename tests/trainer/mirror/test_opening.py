"""A mirror belongs to one run, and to one process at a time."""

import threading
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.mirror.opening import opened_mirror
from surgstream.trainer.mirror.place import MirrorPlace
from tests.helpers.checkpoints import write_checkpoint

pytestmark = pytest.mark.usefixtures("alone")


def recipe(mirror: Path | str, *overrides: str) -> TrainConfig:
    return load_recipe(
        "configs/pretrain/surgvista_tiny.yaml",
        ["data.corpus=nowhere", "run_dir=runs/a", f"checkpoint.mirror={mirror}", *overrides],
    )


def test_a_run_without_has_none() -> None:
    with opened_mirror(recipe("null"), RankInfo()) as mirror:
        assert mirror is None


def test_it_is_owned_and_swept(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write("step_00000010/rank00000-000.safetensors", b"left")
    with opened_mirror(recipe(tmp_path), RankInfo()) as mirror:
        assert mirror and mirror.place.names() == []
        assert not storage.sizes("step_00000010")
        with (
            pytest.raises(OwnedError, match="got mirroring checkpoints on"),
            opened_mirror(recipe(tmp_path), RankInfo()),
        ):
            pass
    with opened_mirror(recipe(tmp_path), RankInfo()) as mirror:
        assert mirror


def test_the_mirror_of_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    saved = write_checkpoint(tmp_path / "other", 10, config={"run_dir": "runs/b"})
    MirrorPlace(open_storage(str(tmp_path / "mirror"))).upload(saved, threading.Event())
    left = tmp_path / "mirror" / "step_00000020" / "rank00000-000.safetensors"
    left.parent.mkdir()
    left.touch()
    with (
        pytest.raises(CheckpointError, match=r"got step_00000010 of the run in 'runs/b'; choose"),
        opened_mirror(recipe(tmp_path / "mirror"), RankInfo()),
    ):
        pass
    assert left.exists()

    moved = recipe(tmp_path / "mirror", "resume.allow=[run_dir]")
    same = recipe(tmp_path / "mirror", "run_dir=./runs//b")
    for config in (moved, same):
        with opened_mirror(config, RankInfo()) as mirror:
            assert mirror and mirror.place.names() == ["step_00000010"]


def test_a_mirror_that_cannot_be_written_to_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(
            StorageError, match=r"^checkpoint.mirror: .*; mend that, or train without one"
        ),
        opened_mirror(recipe(tmp_path / "file" / "mirror"), RankInfo()),
    ):
        pass


@pytest.mark.parametrize("place", ["runs/a/checkpoints", "runs/a", "./runs/a/mirror"])
def test_a_mirror_in_the_run_directory_is_refused(place: str) -> None:
    with pytest.raises(
        ConfigError, match=r"checkpoint.mirror: expected a place outside of run_dir"
    ):
        recipe(place)
