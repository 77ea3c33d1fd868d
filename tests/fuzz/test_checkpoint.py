"""Whatever a checkpoint holds: it is loaded as it was saved, or refused by a CheckpointError that names it."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.engine.checkpoint import load_moments, load_parameters
from surgstream.trainer.engine.checkpoint_files import STATE, read_progress, state_bytes
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.mirror.choice import find_checkpoint
from tests.fuzz.damage import NUMBERS, TEXTS, altered, cases, damaged
from tests.helpers.ranks import process_group

KINDS = ("param", "exp_avg", "exp_avg_sq")


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with process_group():
        yield


def network() -> torch.nn.Module:
    return torch.nn.Linear(3, 2)


class Engine:
    """Takes the place of DeepSpeed's, which is not to be asked for what it does not have."""

    def __init__(self) -> None:
        self.shapes = {name: p.shape for name, p in network().named_parameters()}

    def owned(self, name: str) -> range:
        return range(1, self.shapes[name].numel())

    def load_moment(self, name: str, moment: str, value: torch.Tensor) -> None:
        assert value.shape == (len(self.owned(name)),) and value.dtype == torch.float32

    def set_optimizer_step(self, step: int) -> None:
        assert 0 <= step < 2**63


def tensors() -> dict[str, torch.Tensor]:
    parameters = dict(network().named_parameters())
    return {
        f"{kind}/{name}": value.detach().clone()
        for kind in KINDS
        for name, value in parameters.items()
    }


def write(checkpoint: Path, content: bytes, **changes: Any) -> dict[str, Any]:
    """Write a whole checkpoint; returns its state."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    files = {
        "rank00000-000.safetensors": {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    }
    state = {"step": 7, "g": 28, "files": files, "order": {"seed": 1}, **changes}
    (checkpoint / STATE).write_bytes(state_bytes(state))
    (checkpoint / "rank00000-000.safetensors").write_bytes(content)
    return state


def load(root: Path) -> None:
    """Resume from a folder of one checkpoint."""
    try:
        checkpoint = find_checkpoint(root, "auto")
        assert checkpoint is not None
    except CheckpointError as error:
        assert str(root) in str(error)
        checkpoint = root / "step_00000007"  # and what if it was damaged just after it was checked
    try:
        read_progress(checkpoint)
        load_parameters(checkpoint, network())
        load_moments(checkpoint, cast(ZeroEngine, Engine()))
    except CheckpointError as error:
        assert str(checkpoint) in str(error)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "step_00000007"


@given(st.data())
@cases(150)
def test_damaged_files(checkpoint: Path, data: st.DataObject) -> None:
    write(checkpoint, safetensors.torch.save(tensors()))
    path = data.draw(st.sampled_from(sorted(checkpoint.iterdir())))
    content = data.draw(damaged(path.read_bytes()))
    same = json.loads(path.read_bytes()) if path.name == STATE else path.read_bytes()
    path.write_bytes(content)
    load(checkpoint.parent)
    try:
        assert (json.loads(content) if path.name == STATE else content) == same
    except (ValueError, AssertionError):
        with pytest.raises(CheckpointError):
            find_checkpoint(checkpoint.parent, "auto")


@given(st.data())
@cases(200)
def test_states_that_are_well_summed_nonsense(checkpoint: Path, data: st.DataObject) -> None:
    state = write(checkpoint, safetensors.torch.save(tensors()))
    names = st.sampled_from(["../../x", "/etc/passwd", "rank00000-001.safetensors", *TEXTS[:6]])
    files = st.dictionaries(names, st.just(state["files"]["rank00000-000.safetensors"]), min_size=1)
    state = data.draw(altered(state) | files.map(lambda files: {**state, "files": files}))
    try:
        (checkpoint / STATE).write_bytes(state_bytes(state))
    except TypeError:  # not even a dictionary
        (checkpoint / STATE).write_bytes(json.dumps(state).encode())
    load(checkpoint.parent)


@given(st.data())
@cases(200)
def test_tensors_that_are_well_summed_nonsense(checkpoint: Path, data: st.DataObject) -> None:
    content = tensors()
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(
            st.sampled_from(["param", "param/", "", "/", "exp_avg/x", *sorted(tensors())])
        )
        kind = data.draw(
            st.sampled_from(
                [torch.float32, torch.float64, torch.bfloat16, torch.int8, torch.complex64]
            )
        )
        shape = data.draw(st.sampled_from([(), (0,), (2,), (3, 2), (2, 3), (2, 3, 1)]))
        if data.draw(st.booleans()):
            content.pop(name, None)
        else:
            content[name] = torch.zeros(shape, dtype=kind)
    raw = safetensors.torch.save(content)
    size = int.from_bytes(raw[:8], "little")
    if data.draw(st.booleans()):  # a header of one's own
        header = json.dumps(data.draw(altered(json.loads(raw[8 : 8 + size])))).encode()
        declared = st.sampled_from(
            [number for number in NUMBERS if type(number) is int and 0 <= number < 2**64]
        )
        length = data.draw(st.just(len(header)) | declared)
        raw = length.to_bytes(8, "little") + header + raw[8 + size :]
    shutil.rmtree(checkpoint, ignore_errors=True)
    write(checkpoint, raw)
    load(checkpoint.parent)
