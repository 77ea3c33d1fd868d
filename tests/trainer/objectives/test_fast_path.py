"""The fast path: compiled, with fused attention and in half precision it computes what the plain networks compute."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.engine.periodic import evaluating
from surgstream.trainer.objectives.config import SurgVistaConfig
from tests.trainer.objectives.test_surgvista import ALONE, TINY, clip_batch, loss_of, tiny


def gradients_of(objective: Any, batch: ClipBatch) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The loss of a micro-batch and its gradients by name."""
    loss = loss_of(objective, batch).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in objective.named_parameters()}


def compiled(graphs: CompileCounterWithBackend, **changes: Any) -> Any:
    """The tiny objective, compiled without a break."""
    objective = tiny(**changes)
    objective.compile_parts(backend=graphs, fullgraph=True)
    return objective


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "checkpointing"),
    [(torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)],
)
def test_compiled_losses_and_gradients_are_those_of_the_plain_networks(
    precision: torch.dtype, checkpointing: bool, graphs: CompileCounterWithBackend
) -> None:
    batch, changes = clip_batch(range(4)), {}  # of which each branch is kept for one at least
    if checkpointing:
        changes = {"encoder": replace(TINY.encoder, activation_checkpointing=True)}
    fast = compiled(graphs, **changes)
    assert list(fast.state_dict()) == list(tiny().state_dict())
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        (loss, gradients), (plain_loss, plain_gradients) = (
            gradients_of(fast, batch),
            gradients_of(tiny(), batch),
        )
    assert graphs.frame_count == 2
    rtol = 1e-5 if precision == torch.float32 else 1e-3
    torch.testing.assert_close(loss, plain_loss, rtol=rtol, atol=0)
    for name, gradient in gradients.items():
        error = (gradient - plain_gradients[name]).norm() / plain_gradients[name].norm()
        assert error < rtol, name


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "rtol"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-3)])
def test_losses_compiled_for_a_gpu_are_the_plain_ones(precision: torch.dtype, rtol: float) -> None:
    batch, fast, plain = clip_batch([1, 2]), tiny().cuda(), tiny().cuda()
    batch = replace(batch, clips=batch.clips.cuda())
    fast.compile_parts(fullgraph=True)
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == torch.bfloat16):
        losses = [loss_of(objective, batch).loss for objective in (fast, plain)]
    torch.testing.assert_close(*losses, rtol=rtol, atol=0)


@pytest.mark.slow
def test_blocks_compiled_alone_share_a_graph_for_each_network_and_compute_the_same(
    graphs: CompileCounterWithBackend,
) -> None:
    batch = clip_batch(range(4))
    changes = {"encoder": replace(TINY.encoder, activation_checkpointing=True)}
    regional = tiny(**changes)
    regional.compile_blocks(backend=graphs, fullgraph=True)
    assert list(regional.state_dict()) == list(tiny().state_dict())

    loss, gradients = gradients_of(regional, batch)
    plain_loss, plain_gradients = gradients_of(tiny(**changes), batch)
    torch.testing.assert_close(loss, plain_loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradients, plain_gradients, rtol=1e-4, atol=1e-6)

    with evaluating(regional):
        loss_of(regional, clip_batch(range(3)))
    assert graphs.frame_count == 4, "the encoder's, each decoder's and the teacher's"


@pytest.mark.slow
def test_nothing_is_compiled_again_while_training_evaluating_and_drawing(
    graphs: CompileCounterWithBackend,
) -> None:
    objective = compiled(graphs)
    for step in range(3):
        loss_of(objective, clip_batch([step, 7])).loss.backward()
        with evaluating(objective):
            for size in (2, 1, 3):
                loss_of(objective, clip_batch(range(size)))
            objective.pictures(clip_batch([5]))
    assert graphs.frame_count == 2


@pytest.mark.slow
def test_without_a_teacher_one_graph_is_compiled(graphs: CompileCounterWithBackend) -> None:
    batch, fast = clip_batch([1, 2]), compiled(graphs, **ALONE)
    loss, gradients = gradients_of(fast, batch)
    plain_loss, plain_gradients = gradients_of(tiny(**ALONE), batch)
    torch.testing.assert_close(loss, plain_loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradients, plain_gradients, rtol=1e-4, atol=1e-6)
    assert graphs.frame_count == 1


class Attentions(TorchDispatchMode):
    """Notes what every attention is given, and that none is done by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = operator.overloadpacket.__name__
        assert "softmax" not in name, "the kernel that keeps the scores"
        if name == "_scaled_dot_product_flash_attention_for_cpu":
            self.queries += [(tensor.dtype, tensor.stride(-1)) for tensor in args[:3]]
        return operator(*args, **kwargs)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_attention_is_left_to_the_flash_kernel(precision: torch.dtype) -> None:
    objective, batch = tiny(), clip_batch([1, 2])
    with (
        Attentions() as seen,
        torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16),
    ):
        loss_of(objective, batch)
    depth = 3 + 2 + 2 + len(objective.teacher.model.blocks)
    assert seen.queries == 3 * depth * [(precision, 1)], "dense heads in the precision of the run"


def test_published_heads_fit_the_flash_kernel() -> None:
    config = SurgVistaConfig()
    networks = (config.encoder, config.reconstruction_decoder, config.distillation_decoder)
    assert {network.shape.embed_dim // network.shape.num_heads for network in networks} == {64}


def test_autocast_stays_close_to_float32() -> None:
    objective, batch = tiny(), clip_batch([1, 2])
    exact = loss_of(objective, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss_of(objective, batch)
    assert half.loss.dtype == torch.float32 and half.loss != exact.loss
    torch.testing.assert_close(half.loss, exact.loss, rtol=1e-2, atol=0)
