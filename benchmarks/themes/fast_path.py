"""The gain of each part of the fast path: the training step with it and without, in one process.

On a GPU at the published size in bf16, elsewhere the tiny recipe in fp32. Steps here end with the backward pass.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from surgstream.benchmarks.support.harness import Case
from surgstream.benchmarks.support.training import surgvista_of
from surgstream.configs.loading import load
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.models.vit import Attention
from surgstream.trainer.networks import noise_batch
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import SurgVistaConfig
from surgstream.trainer.objectives.surgvista import SurgVista

RECIPES = Path(__file__).parents[2] / "configs" / "pretrain"
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda", 0) if ON_GPU else torch.device("cpu")
NUM_BATCHES = 4 if ON_GPU else 8
GRAD_ACCUM = 4
NUM_PARAMETERS = 100_000_000 if ON_GPU else 5_000_000


def cases(folder: Path) -> list[Case]:
    """The step as it is first, then without one part each; the teacher alone; AdamW alone."""
    size = "vitb" if ON_GPU else "tiny"
    config = load(TrainConfig, RECIPES / f"surgvista_{size}.yaml", [f"run_dir={folder}"])
    published = surgvista_of(config)
    assert published.teacher
    teacher = replace(published.teacher, weights=None, allow_random=True)
    recipe = replace(published, teacher=teacher)

    batch = noise_batch(config, DEVICE)
    torch._dynamo.config.recompile_limit = 64  # of one function, here for many objectives

    def objective(recipe: SurgVistaConfig = recipe) -> SurgVista:
        built = choice.build(recipe, seed=0)
        assert isinstance(built, SurgVista)
        return built.to(DEVICE)

    whole = objective()
    _compile(whole)

    apart = objective()
    assert apart.teacher
    decoders = (apart.reconstruction_decoder, apart.distillation_decoder)
    for network in (apart.encoder, *decoders, apart.teacher):
        network.compile(backend=_inductor())

    by_block = objective()
    by_block.compile_blocks(backend=_inductor())

    late_bias = objective()
    for module in late_bias.modules():
        if isinstance(module, Attention):
            module.forward = MethodType(_attend_with_late_bias, module)  # type: ignore[method-assign]
    _compile(late_bias)

    steps = {
        "step: one graph for the teacher, one for the student": _step(whole, batch),
        "step: a graph for each network": _step(apart, batch),
        "step: a graph for each kind of block": _step(by_block, batch),
        "step: not compiled": _step(objective(), batch),
        "step: biases of queries and values added after their product": _step(late_bias, batch),
    }

    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH) if ON_GPU else (SDPBackend.MATH,):
        other = objective()
        _compile(other)
        steps[f"step: attention by {backend.name}"] = _step(
            other, batch, partial(sdpa_kernel, backend)
        )
    if ON_GPU:
        tuned = objective()
        tuned.compile_parts(mode="max-autotune-no-cudagraphs")
        steps["step: matrix products tuned"] = _step(tuned, batch)

    in_bf16 = objective(replace(recipe, teacher=replace(teacher, dtype="bf16")))
    return [
        *(Case(name, "clips", run) for name, run in steps.items()),
        *(Case(name, "clips", run) for name, run in _teachers(objective, in_bf16, batch)),
        *(Case(f"AdamW, fused={fused}", "M parameters", _update(fused)) for fused in (True, False)),
    ]


def _inductor() -> Callable[[Any, Any], Any]:
    """The compiler under a name of its own: dynamo would take an earlier objective's graph for the next one's."""
    inductor = torch._dynamo.lookup_backend("inductor")
    return lambda graph, inputs: inductor(graph, inputs)


def _compile(objective: SurgVista) -> None:
    objective.compile_parts(backend=_inductor())


def _autocast() -> torch.autocast:
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=ON_GPU)


def _wait() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def _step(
    objective: SurgVista,
    batch: ClipBatch,
    context: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Callable[[], float]:
    """Targets, forward and backward of some micro-batches."""

    def run() -> float:
        with context():
            for _ in range(NUM_BATCHES):
                with _autocast():
                    loss = objective(batch, objective.targets(batch)).loss
                loss.backward()
                objective.zero_grad()
        _wait()
        return NUM_BATCHES * len(batch.draws)

    return run


def _teachers(
    build: Callable[[], SurgVista], in_bf16: SurgVista, batch: ClipBatch
) -> Iterator[tuple[str, Callable[[], float]]]:
    """The teacher on the micro-batches of a step one by one, on all at once, and held in bf16 in part or whole."""
    together = replace(batch, clips=batch.clips.repeat(GRAD_ACCUM, 1, 1, 1, 1))
    one_by_one, at_once, matrices = (build() for _ in range(3))

    assert matrices.teacher
    for module in matrices.teacher.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.to(torch.bfloat16)
    for objective in (one_by_one, at_once, matrices, in_bf16):
        _compile(objective)

    def teach(objective: SurgVista, clips: ClipBatch, times: int) -> Callable[[], float]:
        def run() -> float:
            for _ in range(times):
                with _autocast():
                    objective.targets(clips)
            _wait()
            return GRAD_ACCUM * len(batch.draws)

        return run

    yield "teacher: micro-batch by micro-batch", teach(one_by_one, batch, GRAD_ACCUM)
    yield f"teacher: {GRAD_ACCUM} micro-batches at once", teach(at_once, together, 1)
    if ON_GPU:
        yield "teacher: matrices held in bf16", teach(matrices, batch, GRAD_ACCUM)
        yield "teacher: held in bf16 whole, residuals too", teach(in_bf16, batch, GRAD_ACCUM)


def _update(fused: bool) -> Callable[[], float]:
    """AdamW on one flat parameter, as under ZeRO."""
    flat = torch.nn.Parameter(torch.zeros(NUM_PARAMETERS, device=DEVICE))
    flat.grad = torch.ones_like(flat)
    optimizer = torch.optim.AdamW([flat], fused=fused)

    def run() -> float:
        for _ in range(10):
            optimizer.step()
        _wait()
        return 10 * NUM_PARAMETERS / 1e6

    return run


def _attend_with_late_bias(attention: Attention, x: Tensor) -> Tensor:
    qkv = attention.qkv(x)
    bias = torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
    qkv = qkv + bias.to(qkv.dtype)
    q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=attention.num_heads)
    attended = F.scaled_dot_product_attention(q, k, v)
    out: Tensor = attention.projection(rearrange(attended, "b h n d -> b n (h d)"))
    return out
