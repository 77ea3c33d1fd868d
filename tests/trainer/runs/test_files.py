from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import CorruptSampleError, ManifestError, StorageError
from surgstream.trainer.errors import (
    CheckpointError,
    DistributedError,
    ModelError,
    NonFiniteLossError,
    PreflightError,
    SaveError,
    UnfitNodesError,
)
from surgstream.trainer.runs.files import (
    CHECKPOINTS,
    FAILED,
    REQUEUE,
    checkpoint_name,
    checkpoints_in,
    marked_when_failing,
    read_mark,
    remove_marks,
    write_mark,
)  # fmt: skip


def test_a_mark_holds_its_sentence_until_the_next_start(tmp_path: Path) -> None:
    run_dir = tmp_path / "new" / "run"
    assert read_mark(run_dir, REQUEUE) is None
    remove_marks(run_dir)
    write_mark(run_dir, REQUEUE, "SIGTERM on rank 1")
    write_mark(run_dir, FAILED, "first")
    write_mark(run_dir, FAILED, "second")
    assert (read_mark(run_dir, REQUEUE), read_mark(run_dir, FAILED)) == (
        "SIGTERM on rank 1",
        "second",
    )
    assert sorted(path.name for path in run_dir.iterdir()) == [FAILED, REQUEUE]
    remove_marks(run_dir)
    assert not list(run_dir.iterdir())


def test_checkpoints_are_found_newest_first_by_their_names(tmp_path: Path) -> None:
    for name in (checkpoint_name(40), checkpoint_name(1000), ".partial-step_00002000", "step_7"):
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoints_in(tmp_path)] == ["step_00001000", "step_00000040"]


@pytest.mark.parametrize(
    "error",
    [ConfigError, ModelError, NonFiniteLossError, CheckpointError, ManifestError, PreflightError],
)
def test_what_would_be_raised_again_leaves_its_sentence(
    error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error), marked_when_failing(tmp_path / "run"):
        raise error("what is wrong")
    assert read_mark(tmp_path / "run", FAILED) == "what is wrong"


@pytest.mark.parametrize(
    "error",
    [
        StorageError,
        DistributedError,
        SaveError,
        UnfitNodesError,
        OSError,
        RuntimeError,
        KeyboardInterrupt,
    ],
)
def test_what_may_pass_leaves_no_mark(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), marked_when_failing(tmp_path):
        raise error("what is wrong")
    assert read_mark(tmp_path, FAILED) is None


def test_a_run_that_has_trained_may_get_better_nodes_next_time(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINTS / checkpoint_name(40)).mkdir(parents=True)
    with pytest.raises(PreflightError), marked_when_failing(tmp_path):
        raise PreflightError("no go")
    assert read_mark(tmp_path, FAILED) is None


def test_who_does_not_know_yet_whose_the_run_is_leaves_no_mark(tmp_path: Path) -> None:
    ours = iter([False, True])
    for expected in (None, "what is wrong"):
        with pytest.raises(ConfigError), marked_when_failing(tmp_path, lambda: next(ours)):
            raise ConfigError("what is wrong")
        assert read_mark(tmp_path, FAILED) == expected


def test_a_mark_that_cannot_be_written_hides_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(CorruptSampleError, match="what is wrong"),
        marked_when_failing(tmp_path / "file" / "run"),
    ):
        raise CorruptSampleError("what is wrong")
