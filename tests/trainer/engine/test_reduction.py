"""What gradients are summed in over ranks, and the buffers that it takes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.estimates import reduction_bytes
from tests.helpers.ranks import finish, start_ranks

GRADIENTS = (1.0, 2.0**-10)
"""Those of two ranks. bf16 has either, but rounds their sum."""

CHOICES = [
    ("none", "auto", True),
    ("none", "fp32", True),
    ("none", "bf16", False),
    ("bf16", "auto", False),
    ("bf16", "bf16", False),
    ("bf16", "fp32", True),
]
"""Autocast, the type of sums, and whether they are exact. Autocast comes last: DeepSpeed has it for a process."""


def wrap(module: torch.nn.Module, **settings: Any) -> ZeroEngine:
    return ZeroEngine(
        module,
        OptimConfig(),
        ParallelConfig(**settings),
        micro_batch_size=1,
        grad_accum_steps=1,
        device=torch.device("cpu"),
    )


def sum_gradients(out: str) -> None:
    """On each rank: one gradient, and its mean over ranks as each choice and stage has it."""
    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    means = []
    for autocast, reduce_dtype, _ in CHOICES:
        for stage in (1, 2, 3):
            engine = wrap(
                torch.nn.Linear(1, 1, bias=False),
                zero_stage=stage,
                autocast=autocast,
                reduce_dtype=reduce_dtype,
            )
            engine.backward(engine(torch.full((1, 1), GRADIENTS[rank_info.rank])).sum())
            engine.step(0.0)
            means.append(float(engine.grad_norm()))
    if rank_info.is_main:
        Path(out).write_text(json.dumps(means))
    leave()


@pytest.mark.slow
def test_gradients_are_summed_in_the_type_that_was_chosen(tmp_path: Path) -> None:
    out = tmp_path / "means.json"
    assert finish(start_ranks(sum_gradients, 2, (str(out),))) == [0, 0]
    means = iter(json.loads(out.read_text()))
    exact = sum(GRADIENTS) / 2
    for *choice, is_exact in CHOICES:
        for stage in (1, 2, 3):
            assert next(means) == (exact if is_exact else 0.5), (choice, stage)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"zero_stage": 1},
        {"zero_stage": 1, "overlap_comm": True},
        {"zero_stage": 2},
        {"zero_stage": 2, "reduce_dtype": "fp32"},
        {"zero_stage": 2, "autocast": "none", "overlap_comm": True},
        {"zero_stage": 3},
        {"zero_stage": 3, "reduce_dtype": "fp32"},
    ],
)
def test_buffers_are_no_larger_than_the_model_and_as_describe_tells(
    settings: dict[str, Any], alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At stage 3 DeepSpeed replaces this for the whole process: have it put back for the tests that follow.
    monkeypatch.setattr(functional, "linear", functional.linear)
    module = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.LayerNorm(40))
    num_trainable = sum(parameter.numel() for parameter in module.parameters())
    settings = {"autocast": "bf16", **settings}
    engine = wrap(module, **settings)

    # Looked at in the middle of the backward pass.
    held = list[int]()
    buckets = engine._engine.optimizer.ipg_buckets.values()
    inputs = torch.randn(1, 30, requires_grad=True)
    inputs.register_hook(lambda _: held.extend(_bytes(bucket.buffer) for bucket in buckets))
    engine.backward(engine(inputs).sum())

    found = reduction_bytes(ParallelConfig(**settings), num_trainable, on_gpu=False)
    assert sum(held) == found <= 16 * num_trainable


def _bytes(buffers: Any) -> int:
    """Of a bucket's buffers at stages 1 and 2, of which it may have none, or of its one at stage 3."""
    return sum(buffer.nbytes for buffer in (buffers if isinstance(buffers, list) else [buffers]))
