"""Of a checkpoint's tensors only what is asked for is read, and all ranks together read the moments once."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from surgstream.trainer.engine import stored_tensors
from surgstream.trainer.engine.checkpoint_files import STATE, state_bytes
from surgstream.trainer.engine.stored_tensors import stored_tensors as go_through
from tests.helpers.ranks import finish, start_ranks

ROW = 33
"""Elements of the longest row of the network below."""

SHAPES = st.lists(st.integers(0, 5), max_size=3)


class Counting:
    """Stands for `safe_open` or one of its slices, and counts the elements that are read."""

    def __init__(self, inner: Any, told: Callable[[int], None]) -> None:
        self._inner = inner
        self._told = told

    def __enter__(self) -> "Counting":
        return Counting(self._inner.__enter__(), self._told)

    def __exit__(self, *error: object) -> None:
        self._inner.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_slice(self, key: str) -> "Counting":
        return Counting(self._inner.get_slice(key), self._told)

    def __getitem__(self, index: Any) -> torch.Tensor:
        tensor: torch.Tensor = self._inner[index]
        self._told(tensor.numel())
        return tensor


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The elements of each read from now on."""
    reads = list[int]()
    monkeypatch.setattr(
        stored_tensors,
        "safe_open",
        lambda *path, **how: Counting(safe_open(*path, **how), reads.append),
    )
    return reads


def write(checkpoint: Path, tensor: torch.Tensor) -> None:
    file = "rank00000-000.safetensors"
    save_file({"exp_avg/x": tensor}, checkpoint / file)
    entry = {"bytes": 0, "sha256": ""}
    (checkpoint / STATE).write_bytes(state_bytes({"step": 0, "g": 0, "files": {file: entry}}))


@given(shape=SHAPES, data=st.data())
def test_a_part_is_that_of_the_flattened_tensor_and_little_more_is_read(
    shape: list[int], data: st.DataObject
) -> None:
    tensor = torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)
    start = data.draw(st.integers(0, tensor.numel()))
    elements = range(start, data.draw(st.integers(start, tensor.numel())))

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        reads = count_reads(monkeypatch)
        write(Path(folder), tensor)
        for stored in go_through(Path(folder), ("exp_avg",)):
            assert (stored.kind, stored.name, [*stored.shape]) == ("exp_avg", "x", shape)
            assert stored.part(elements).tolist() == [*map(float, elements)]

    rows = max(math.prod(shape[1:]), 1)
    assert sum(reads) <= (len(elements) + 2 * (rows - 1) if elements else 0)


def resume(folder: str) -> None:
    """On each rank: save, and write how many elements of the moments it reads when it resumes."""
    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.engine.checkpoint import load_moments, save_checkpoint
    from surgstream.trainer.engine.schedules import Progress
    from surgstream.trainer.joining import join
    from tests.trainer.engine.test_checkpoint import network, train, wrap

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    engine = wrap(network())
    train(engine, 1)
    saved = save_checkpoint(Path(folder), engine, Progress(step=1, clips_seen=4, state={}))

    reads = count_reads(pytest.MonkeyPatch())
    load_moments(saved, wrap(network()))
    (Path(folder) / f"{rank_info.rank}.json").write_text(json.dumps(sum(reads)))
    leave()


@pytest.mark.slow
def test_ranks_share_the_reading_of_moments(tmp_path: Path) -> None:
    from tests.trainer.engine.test_checkpoint import network

    assert finish(start_ranks(resume, 2, (str(tmp_path),))) == [0, 0]
    num_moments = 2 * sum(parameter.numel() for parameter in network().parameters())
    for rank in (0, 1):
        read = json.loads((tmp_path / f"{rank}.json").read_text())
        assert 0 < read <= num_moments / 2 + 4 * ROW, f"rank {rank}: its half, and parts of rows"
