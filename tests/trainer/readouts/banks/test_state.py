"""States of a bank on disk."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from surgstream.trainer.engine.checkpoint_files import newest_whole, read_progress
from surgstream.trainer.errors import CheckpointError, SaveError
from surgstream.trainer.readouts.banks import state
from surgstream.trainer.readouts.banks.state import empty_like, load_tensors, save_state


def made_up() -> dict[str, Tensor]:
    return {
        "weights": torch.arange(23.0),
        "dropped_at": torch.tensor([-1, 7]),
        "statistics/mean": torch.arange(3.0, dtype=torch.float64),
    }


def test_tensors_come_back_in_pieces_and_the_last_two_states_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_PIECE", 10)
    for step in (3, 6, 9):
        save_state(tmp_path, step, 8 * step, {"history": []}, made_up())
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step_00000006", "step_00000009"]

    newest = newest_whole(tmp_path)
    assert newest and len(list(newest.glob("*.safetensors"))) == 3
    progress = read_progress(newest)
    assert (progress.step, progress.clips_seen) == (9, 72)
    assert progress.state["history"] == []
    found = empty_like(made_up())
    load_tensors(newest, found)
    assert all(torch.equal(found[name], value) for name, value in made_up().items())


def test_the_state_of_a_step_is_replaced_as_a_whole(tmp_path: Path) -> None:
    save_state(tmp_path, 3, 24, {"history": []}, made_up())
    save_state(tmp_path, 3, 24, {"history": [1]}, made_up())
    newest = newest_whole(tmp_path)
    assert newest and read_progress(newest).state["history"] == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000003"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": torch.zeros(22)}, "weights is of another probe"),
        ({"weights": torch.zeros(24)}, "weights: expected 24 numbers, got 23"),
        ({"best": torch.zeros(2)}, "best: expected 2 numbers, got 0"),
    ],
)
def test_a_state_of_another_bank_is_refused(
    tmp_path: Path, change: dict[str, Tensor], sentence: str
) -> None:
    saved = save_state(tmp_path, 3, 24, {}, made_up())
    with pytest.raises(CheckpointError, match=sentence):
        load_tensors(saved, empty_like(made_up() | change))


def test_a_state_that_cannot_be_written_leaves_the_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path, 3, 24, {}, made_up())

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "sync", full)
    with pytest.raises(SaveError, match="No space left on device"):
        save_state(tmp_path, 6, 48, {}, made_up())
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000003"]
