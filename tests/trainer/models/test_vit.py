import math
from typing import Any

import numpy as np
import pytest
import torch

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.models.config import EncoderConfig, TransformerShape
from surgstream.trainer.models.initial import initialise
from surgstream.trainer.models.vit import Block, Encoder, num_parameters
from tests.trainer import reference

TINY = EncoderConfig(
    size="small",
    embed_dim=32,
    depth=3,
    num_heads=2,
    image_size=24,
    num_frames=4,
    patch_size=8,
    tubelet_size=2,
)


def tiny_encoder(**changes: Any) -> Encoder:
    encoder = Encoder(EncoderConfig(**{**vars(TINY), **changes}))
    generator = torch.Generator().manual_seed(0)
    initialise(encoder, generator)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return encoder


def as_numpy(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}


def test_sizes_are_the_usual_ones_and_single_numbers_can_be_given() -> None:
    assert EncoderConfig(size="small").shape == TransformerShape(384, 12, 6)
    assert EncoderConfig().shape == TransformerShape(768, 12, 12)
    assert EncoderConfig(size="large").shape == TransformerShape(1024, 24, 16)
    assert EncoderConfig(size="huge", patch_size=14).shape == TransformerShape(1280, 32, 16)
    assert EncoderConfig(size="giant", patch_size=14).shape.mlp_dim == 6144
    assert EncoderConfig(depth=3).shape == TransformerShape(768, 3, 12)
    assert EncoderConfig(size="huge", patch_size=14).grid == (8, 16, 16)


@pytest.mark.parametrize("size", ["small", "base", "large", "huge", "giant"])
def test_every_size_has_the_parameters_of_its_layers(size: str) -> None:
    with torch.device("meta"):
        encoder = Encoder(EncoderConfig(size=size))
    width, depth = EncoderConfig(size=size).shape[:2]
    hidden = 6144 if size == "giant" else 4 * width
    # A block: q, k, v, the projection; two of the MLP; biases of q, v, projection (3), MLP (1); two norms (4).
    block = 4 * width**2 + 2 * width * hidden + 8 * width + hidden
    expected = (1536 + 1) * width + depth * block + 2 * width
    assert sum(p.numel() for p in encoder.parameters()) == expected


def test_published_encoder_has_the_published_parameters() -> None:
    with torch.device("meta"):
        assert num_parameters(Encoder(EncoderConfig())) == 87_431_424


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"embed_dim": 100}, "multiple of 16"),
        ({"num_heads": 5}, "multiple of num_heads (5)"),
        ({"depth": 0}, "depth: expected 1 to 128, got 0"),
        ({"num_heads": 0}, "num_heads: expected 1 to 256, got 0"),
        ({"image_size": 225}, "image_size: expected a multiple of patch_size (16), got 225"),
        ({"patch_size": 0}, "patch_size: expected 1 to 4096, got 0"),
        (
            {"patch_size": 1, "num_frames": 64},
            "patch_size: expected at most 65536 tokens of a clip, got 1605632",
        ),
        ({"num_frames": 15}, "num_frames: expected a multiple of tubelet_size (2), got 15"),
        ({"drop_path": 1.0}, "drop_path: expected 0 to 0.99, got 1.0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    tree: dict[str, float] | dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match="mistake") as raised:
        build(EncoderConfig, tree, where="test")
    assert message in str(raised.value)


def test_encoder_equals_the_slow_reference() -> None:
    encoder, clips = (
        tiny_encoder(),
        torch.randn(2, 3, 4, 24, 24, generator=torch.Generator().manual_seed(1)),
    )
    visible = [[0, 5, 9, 17], [3, 4, 8, 12]]
    drop_path_scales = [[(1.0, 0.9), (0.0, 1.5), (1.25, 1.2)], [(1.0, 1.0), (1.1, 0.0), (0.0, 0.0)]]
    fast = encoder(clips, torch.tensor(visible), torch.tensor(drop_path_scales)).detach().numpy()
    everything = encoder(clips).detach().numpy()
    for i, clip in enumerate(clips.double().numpy()):
        slow = reference.encode(clip, as_numpy(encoder), visible[i], drop_path_scales[i], 2, 2, 8)
        np.testing.assert_allclose(fast[i], slow, rtol=1e-4, atol=1e-5)
        slow = reference.encode(clip, as_numpy(encoder), list(range(18)), [(1.0, 1.0)] * 3, 2, 2, 8)
        np.testing.assert_allclose(everything[i], slow, rtol=1e-4, atol=1e-5)


def test_a_dropped_branch_changes_nothing_and_a_kept_one_is_scaled() -> None:
    block = Block(TransformerShape(32, 1, 2))
    x = torch.randn(4, 5, 32)
    out = block(x, torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]))
    assert torch.equal(out[0], x[0])
    torch.testing.assert_close(out[1:2], block(x[1:2]))
    torch.testing.assert_close(out[2:3], x[2:3] + 2.0 * block.attention(block.norm1(x[2:3])))
    torch.testing.assert_close(out[3:4], x[3:4] + 3.0 * block.mlp(block.norm2(x[3:4])))


def test_queries_and_values_have_biases_and_keys_have_none() -> None:
    names = {name for name, _ in Block(TransformerShape(32, 1, 2)).attention.named_parameters()}
    assert names == {"qkv.weight", "q_bias", "v_bias", "projection.weight", "projection.bias"}


def test_activation_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        encoder = tiny_encoder(activation_checkpointing=checkpointing)
        clips = torch.randn(2, 3, 4, 24, 24, generator=torch.Generator().manual_seed(1))
        drop_path_scales = torch.tensor(
            [[[1.0, 1.0], [0.0, 1.2], [1.25, 0.0]], [[1.0, 1.0], [1.1, 1.1], [0.0, 1.25]]]
        )
        encoder(clips, drop_path_scales=drop_path_scales).square().sum().backward()
        gradients.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_activation_checkpointing_recomputes_every_block() -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    encoder = tiny_encoder(activation_checkpointing=True)
    for block in encoder.blocks:
        block.attention.register_forward_hook(count)
    encoder(torch.randn(1, 3, 4, 24, 24)).sum().backward()
    assert calls == 2 * len(encoder.blocks)


def test_initial_weights_are_xavier_uniform_and_a_function_of_the_generator() -> None:
    encoders = [Encoder(TINY) for _ in range(2)]
    for encoder in encoders:
        initialise(encoder, torch.Generator().manual_seed(7))
    first, second = (encoder.state_dict() for encoder in encoders)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name, bound in (
        ("blocks.0.attention.qkv.weight", math.sqrt(6 / (32 + 96))),
        ("embedding.projection.weight", math.sqrt(1 / 384)),
    ):
        assert 0.95 * bound < first[name].abs().max() <= bound
        assert first[name].std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert all(
        (first[name] == 0).all()
        for name in first
        if name.endswith("bias") and "embedding" not in name
    )
    assert all(
        (first[name] == 1).all() for name in first if "norm" in name and name.endswith("weight")
    )


def test_an_embedding_begins_as_the_conv3d_that_it_is() -> None:
    """As in the released codes, which leave that layer as PyTorch makes it; its bias, too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        encoder, conv = Encoder(EncoderConfig(depth=1)), torch.nn.Conv3d(3, 768, (2, 16, 16))
    initialise(encoder, torch.Generator().manual_seed(7))
    embedding = encoder.embedding.projection
    for ours, theirs in ((embedding.weight, conv.weight), (embedding.bias, conv.bias)):
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.1)
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.01)
