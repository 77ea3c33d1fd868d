"""The attentive pooler against transformers' own, with one set of weights."""

import torch
import transformers
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2AttentivePooler

from surgstream.trainer.readouts.banks.attentive import AttentivePooler

WIDTH, HEADS, BLOCKS = 48, 4, 3

THEIRS = (
    ("blocks.", "self_attention_layers."),
    ("cross_block.attention.", "cross_attention_layer.cross_attn."),
    ("cross_block.", "cross_attention_layer."),
    (".attention.", ".self_attn."),
    (".projection.", ".self_attn.out_proj."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".mlp.widen.", ".mlp.fc1."),
    (".mlp.narrow.", ".mlp.fc2."),
)


def theirs_of(pooler: AttentivePooler, copy: int) -> VJEPA2AttentivePooler:
    """transformers' pooler with the weights of one copy; its keys have biases, of zero."""
    config = transformers.VJEPA2Config(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        num_pooler_layers=len(pooler.blocks),
        mlp_ratio=4,
        attn_implementation="sdpa",  # the other takes its softmax in fp32
    )
    theirs = VJEPA2AttentivePooler(config).to(next(pooler.parameters()).dtype)
    state = {name: torch.zeros_like(value) for name, value in theirs.state_dict().items()}
    for name, value in pooler.named_parameters():
        state[their_name(name)] = value[copy].detach().view_as(state[their_name(name)])
    theirs.load_state_dict(state)
    return theirs


def their_name(name: str) -> str:
    if name == "query":
        return "query_tokens"
    for ours, theirs in THEIRS:
        name = name.replace(ours, theirs)
    return name


def made_up(num_copies: int, self_blocks: int = BLOCKS) -> AttentivePooler:
    """A pooler with every parameter drawn, biases and norms as well."""
    pooler = AttentivePooler(WIDTH, HEADS, self_blocks, num_copies=num_copies)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in pooler.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return pooler


def tokens(num_clips: int = 2, num_tokens: int = 10) -> Tensor:
    return torch.randn(num_clips, num_tokens, WIDTH, generator=torch.Generator().manual_seed(5))


def test_each_copy_is_transformers_pooler_with_its_weights() -> None:
    for self_blocks in (0, BLOCKS):
        pooler = made_up(3, self_blocks)
        pooled = pooler(tokens())
        assert pooled.shape == (3, 2, WIDTH)
        for copy in range(3):
            torch.testing.assert_close(
                pooled[copy], theirs_of(pooler, copy)(tokens()), atol=1e-5, rtol=1e-5
            )


def test_weights_begin_as_v_jepa_2s_do() -> None:
    pooler = AttentivePooler(256, HEADS, 2)
    pooler.initialise(torch.Generator().manual_seed(0))
    found = dict(pooler.named_parameters())
    expected = {
        "query": 0.02,
        "blocks.0.attention.key.weight": 0.02,
        "blocks.0.projection.weight": 0.02 / 2**0.5,
        "blocks.1.projection.weight": 0.02 / 4**0.5,
        "blocks.1.mlp.narrow.weight": 0.02 / 4**0.5,
        "cross_block.mlp.widen.weight": 0.02,
        "cross_block.mlp.narrow.weight": 0.02 / 4**0.5,
    }
    for name, std in expected.items():
        deviation = 0.2 if name == "query" else 0.02
        torch.testing.assert_close(
            found[name].std(), torch.tensor(std), rtol=deviation, atol=0.0, msg=name
        )
    assert not found["cross_block.attention.value.bias"].any()
    assert (found["blocks.0.norm1.weight"] == 1).all()


def test_its_operations_are_those_that_torch_counts() -> None:
    pooler = made_up(1)
    # Fused attention on CPUs is not among what torch counts
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        pooler(tokens(1, 12))
    assert counter.get_total_flops() == pooler.flops(12)
