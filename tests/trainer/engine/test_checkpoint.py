"""Checkpoints are whole or not there; what is damaged is found, named and passed over."""

import contextlib
import json
import logging
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.engine.checkpoint import (
    load_moments,
    load_parameters,
    save_checkpoint,
)
from surgstream.trainer.engine.checkpoint_files import damage, prune, read_progress
from surgstream.trainer.engine.config import CheckpointConfig, OptimConfig, ParallelConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.mirror.choice import find_checkpoint
from surgstream.trainer.runs.files import checkpoint_name
from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.usefixtures("alone")


def network(width: int = 33) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Linear(7, width), torch.nn.GELU(), torch.nn.Linear(width, 5)
        )


def wrap(module: torch.nn.Module) -> ZeroEngine:
    device = torch.device("cpu")
    return ZeroEngine(
        module,
        OptimConfig(),
        ParallelConfig(),
        micro_batch_size=4,
        grad_accum_steps=1,
        device=device,
    )


def train(engine: ZeroEngine, steps: int) -> list[float]:
    losses = []
    for step in range(steps):
        loss = (
            engine(torch.randn(4, 7, generator=torch.Generator().manual_seed(step))).pow(2).mean()
        )
        engine.backward(loss)
        engine.step(1e-2)
        losses.append(loss.item())
    return losses


@contextlib.contextmanager
def no_space() -> Iterator[None]:
    """The size limit of a process stands in for a full disk: writes fail the same way, in the middle."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A run's checkpoints of steps 10, 20 and 30."""
    engine = wrap(network())
    train(engine, 3)
    for step in (10, 20, 30):
        save_checkpoint(
            tmp_path, engine, Progress(step=step, clips_seen=step * 4, state={"seed": 7})
        )
    return tmp_path


def test_a_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    engine = wrap(network())
    train(engine, 3)
    saved = save_checkpoint(tmp_path, engine, Progress(step=3, clips_seen=12, state={"seed": 7}))
    expected = train(engine, 3)

    found = find_checkpoint(tmp_path, "auto")
    assert found == saved
    progress = read_progress(saved)
    assert (progress.step, progress.clips_seen, progress.state["seed"]) == (3, 12, 7)
    module = network()
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    load_parameters(saved, module)
    resumed = wrap(module)
    load_moments(saved, resumed)
    assert train(resumed, 3) == expected


def test_a_new_run_has_nothing_to_resume(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path, "auto") is None
    assert find_checkpoint(tmp_path, "none") is None


def test_auto_takes_the_newest(root: Path) -> None:
    assert find_checkpoint(root, "auto") == root / "step_00000030"


def damage_missing_file(checkpoint: Path) -> str:
    next(checkpoint.glob("*.safetensors")).unlink()
    return "No such file"


def damage_truncated_file(checkpoint: Path) -> str:
    file = next(checkpoint.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    return "bytes, expected"


def damage_flipped_bit(checkpoint: Path) -> str:
    file = next(checkpoint.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return "is not what was written"


def damage_state_cut(checkpoint: Path) -> str:
    file = checkpoint / "state.json"
    file.write_bytes(file.read_bytes()[:-20])
    return "state.json is malformed"


def damage_no_state(checkpoint: Path) -> str:
    (checkpoint / "state.json").unlink()
    return "state.json: No such file"


DAMAGES = [
    damage_missing_file,
    damage_truncated_file,
    damage_flipped_bit,
    damage_state_cut,
    damage_no_state,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_and_named(
    damage: Callable[[Path], str], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reason = damage(root / "step_00000030")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(root, "auto") == root / "step_00000020"
    assert "step_00000030" in caplog.text and reason in caplog.text
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        find_checkpoint(root, str(root / "step_00000030"))


def test_when_none_is_whole_the_run_does_not_silently_start_anew(root: Path) -> None:
    for checkpoint in root.glob("step_*"):
        damage_no_state(checkpoint)
    with pytest.raises(CheckpointError, match="none of 3 checkpoints is whole"):
        find_checkpoint(root, "auto")


def test_a_run_that_wants_none_but_has_some_is_an_error(root: Path) -> None:
    with pytest.raises(CheckpointError, match="choose another run_dir"):
        find_checkpoint(root, "none")


def test_going_back_behind_newer_checkpoints_is_an_error(root: Path) -> None:
    with pytest.raises(CheckpointError, match="newer than"):
        find_checkpoint(root, str(root / "step_00000010"))


def test_a_half_written_checkpoint_is_not_one(root: Path) -> None:
    (root / "step_00000030").rename(root / ".partial-step_00000040")
    assert find_checkpoint(root, "auto") == root / "step_00000020"


def test_pruning_keeps_the_last_and_every_nth(root: Path) -> None:
    (root / ".partial-step_00000040").mkdir()
    prune(root, CheckpointConfig(keep_last=1, keep_every=20), root / "step_00000030")
    assert sorted(path.name for path in root.iterdir()) == ["step_00000020", "step_00000030"]


@pytest.mark.slow
@given(
    gaps=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    keep_last=st.integers(1, 4),
    keep_every=st.integers(0, 50),
)
def test_whenever_a_run_saves_the_last_and_the_first_of_every_so_many_steps_stay(
    gaps: list[int], keep_last: int, keep_every: int
) -> None:
    """Saves come after any steps, as by minutes, and each is followed by a pruning."""
    config, steps = (
        CheckpointConfig(keep_last=keep_last, keep_every=keep_every),
        list(accumulate(gaps)),
    )
    with TemporaryDirectory() as folder:
        for step in steps:
            saved = Path(folder) / checkpoint_name(step)
            saved.mkdir()
            (saved / "state.json").write_text("{}")
            prune(Path(folder), config, saved)
        kept = {int(path.name.removeprefix("step_")) for path in Path(folder).iterdir()}

    expected = set(steps[-keep_last:])
    for multiple in range(keep_every, steps[-1] + 1, keep_every) if keep_every else ():
        first = min(step for step in steps if step >= multiple)
        expected |= {first} if first < multiple + keep_every else set()
    assert kept == expected


@pytest.mark.parametrize("place", ["pathlib.Path.unlink", "shutil.rmtree"])
def test_what_cannot_be_deleted_is_a_warning_and_training_goes_on(
    place: str, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two checkpoints are to go, and one of them is protected, in whole or in part."""
    module, _, name = place.rpartition(".")
    delete = getattr(Path, name) if module == "pathlib.Path" else shutil.rmtree

    def protected(path: Path, **options: Any) -> None:
        if "step_00000010" in str(path):
            raise PermissionError(1, "Operation not permitted", str(path))
        delete(path, **options)

    monkeypatch.setattr(place, protected)
    for _ in range(2):
        prune(root, CheckpointConfig(keep_last=1), root / "step_00000030")
        assert sorted(path.name for path in root.iterdir()) == ["step_00000010", "step_00000030"]
    told = f"{root}/step_00000010: cannot be deleted: Operation not permitted; training goes on"
    assert caplog.text.count(told) == 2
    whole = damage(root / "step_00000010") is None
    assert whole == (name == "unlink"), "what is protected stays whole"
    assert find_checkpoint(root, "auto") == root / "step_00000030"


def test_pruning_after_a_resume_from_before_damage_keeps_what_was_just_saved(root: Path) -> None:
    (root / "step_00000030" / "state.json").write_text("damaged")
    (root / "step_00000020").rename(root / "step_00000025")
    prune(root, CheckpointConfig(keep_last=1), root / "step_00000025")
    assert sorted(path.name for path in root.iterdir()) == ["step_00000025", "step_00000030"]
    assert find_checkpoint(root, "auto") == root / "step_00000025"


def test_a_run_that_comes_by_a_damaged_checkpoint_again_replaces_it(root: Path) -> None:
    engine = wrap(network())
    for step in (30, 30):  # even when it was killed before it could remove the damaged one
        (root / "step_00000030" / "state.json").write_text("damaged")
        assert save_checkpoint(
            root, engine, Progress(step=step, clips_seen=step * 4, state={})
        ) == find_checkpoint(root, "auto")
    prune(root, CheckpointConfig(keep_last=3), root / "step_00000030")
    assert sorted(path.name for path in root.iterdir()) == [
        f"step_000000{step}" for step in (10, 20, 30)
    ]


def test_a_state_in_many_files_is_loaded_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surgstream.trainer.engine.checkpoint._FILE_BYTES", 100)
    engine = wrap(network())
    train(engine, 2)
    saved = save_checkpoint(root, engine, Progress(step=40, clips_seen=160, state={}))
    assert len(list(saved.glob("*.safetensors"))) > 2
    expected = train(engine, 2)
    module = network()
    load_parameters(saved, module)
    engine = wrap(module)
    load_moments(saved, engine)
    assert train(engine, 2) == expected


def save_on_two_ranks(out: str) -> None:
    """On each rank: train as one process would, save in many files, and save where rank 1's writes fail."""
    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    engine = wrap(network())
    train(engine, 3)
    pytest.MonkeyPatch().setattr("surgstream.trainer.engine.checkpoint._FILE_BYTES", 100)
    save_checkpoint(Path(out), engine, Progress(step=3, clips_seen=12, state={}))
    limit = no_space() if rank_info.rank == 1 else contextlib.nullcontext()
    with (
        limit,
        pytest.raises(
            CheckpointError, match=r"could not save: rank 1: File too large; .* as they were"
        ),
    ):
        save_checkpoint(Path(out), engine, Progress(step=4, clips_seen=16, state={}))
    leave()


@pytest.mark.slow
def test_ranks_save_their_shares_and_fail_together(tmp_path: Path) -> None:
    assert finish(start_ranks(save_on_two_ranks, 2, (str(tmp_path),))) == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000003"]
    assert find_checkpoint(tmp_path, "auto") == tmp_path / "step_00000003"
    files = [path.name for path in sorted((tmp_path / "step_00000003").glob("*.safetensors"))]
    assert files == [
        f"rank0000{rank}-00{number}.safetensors" for rank in (0, 1) for number in (0, 1)
    ]

    expected, module = wrap(network()), network()
    train(expected, 3)
    load_parameters(tmp_path / "step_00000003", module)
    resumed = wrap(module)
    load_moments(tmp_path / "step_00000003", resumed)
    assert resumed.optimizer_step() == 3
    for (name, tensors), (_, saved) in zip(
        expected.full_state(), resumed.full_state(), strict=True
    ):
        for kind, tensor in tensors.items():
            torch.testing.assert_close(saved[kind], tensor, msg=f"{kind} of {name}")


def test_another_model_is_named_by_its_parameters(root: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"0\.weight has shape \(33, 7\), the model's has \(34, 7\)"
    ):
        load_parameters(root / "step_00000030", network(34))
    with pytest.raises(CheckpointError, match=r"2\.weight is not in the model"):
        load_parameters(root / "step_00000030", network()[:1])


def test_saving_without_space_fails_whole_and_keeps_the_last_checkpoint(root: Path) -> None:
    engine = wrap(network())
    with (
        no_space(),
        pytest.raises(
            CheckpointError, match=r"could not save: rank 0: File too large; .* as they were"
        ),
    ):
        save_checkpoint(root, engine, Progress(step=40, clips_seen=160, state={}))
    assert find_checkpoint(root, "auto") == root / "step_00000030"
    assert sorted(path.name for path in root.iterdir()) == [
        f"step_000000{step}" for step in (10, 20, 30)
    ]


def test_the_state_is_plain_json(root: Path) -> None:
    state = json.loads((root / "step_00000030" / "state.json").read_text())
    assert state["format"] == 2 and state["g"] == 120 and state["files"]
