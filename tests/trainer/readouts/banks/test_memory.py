"""What a bank is said to keep of a micro-batch, against what autograd saves."""

import pytest
import torch
from torch import Tensor

from surgstream.trainer.readouts.bank_config import AttentiveConfig
from surgstream.trainer.readouts.banks.heads import build_heads
from surgstream.trainer.readouts.banks.memory import activation_bytes, fitting_heads
from tests.trainer.readouts.banks.made_up import StandIn

CPU = torch.device("cpu")


def saved_bytes(network: torch.nn.Module, tokens: Tensor) -> int:
    """The bytes of what is saved for a backward pass, but for parameters."""
    storages: dict[int, int] = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = network(tokens)
    assert kept.requires_grad
    return sum(storages.values())


@pytest.mark.parametrize("self_blocks", [0, 1, 3])
def test_the_estimate_is_what_is_saved_within_a_quarter(self_blocks: int) -> None:
    encoder = StandIn()
    encoder.embed_dim = 64
    encoder.grid = encoder.grid._replace(slices=8, rows=4, columns=4)
    config = AttentiveConfig(self_blocks=self_blocks, num_heads=2)
    network = build_heads(config, encoder, 5, seed=0)
    tokens = torch.randn(4, encoder.grid.num_tokens, 64)

    estimated = activation_bytes(config, encoder, 4, width_bytes=4)
    assert saved_bytes(network, tokens) == pytest.approx(estimated, rel=0.25)


def test_as_many_heads_are_taken_at_once_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitting_heads(16, 10**9, 10**9, CPU) == 16

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100 * 10**9, 140 * 10**9))
    gpu = torch.device("cuda", 0)
    # Of 80, 12.8 are for what all heads keep
    assert fitting_heads(16, 2 * 10**8, 10 * 10**9, gpu) == 6
    assert fitting_heads(16, 2 * 10**8, 10**9, gpu) == 16
    with pytest.raises(Exception, match="lower micro_batch_size"):
        fitting_heads(16, 2 * 10**8, 70 * 10**9, gpu)
