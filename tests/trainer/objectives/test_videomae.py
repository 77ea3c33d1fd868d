"""VideoMAE against `transformers`' own, and the published numbers."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch._dynamo.testing import CompileCounterWithBackend

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.models.config import DecoderConfig, EncoderConfig
from surgstream.trainer.models.layouts import Layout
from surgstream.trainer.models.published import TRANSFORMERS_VIDEOMAE, VIDEOMAE
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import VideoMaeConfig
from surgstream.trainer.objectives.masks.block_draws import typical_counts
from surgstream.trainer.objectives.masks.masking import (
    BlockMask,
    block_mask,
    draw_drop_path_scales,
)
from tests.trainer import reference as reference_values
from tests.trainer.objectives.test_surgvista import clip_batch, loss_of

TINY = VideoMaeConfig(
    encoder=EncoderConfig(
        embed_dim=32, depth=2, num_heads=2, image_size=48, num_frames=4, patch_size=8, positions="sinusoid",
        drop_path=0.0,
    ),
    decoder=DecoderConfig(
        depth=2, embed_dim=16, num_heads=2, positions="sinusoid", projection_bias=False, drop_path=0.0
    ),
)  # fmt: skip


def tiny(**changes: Any) -> Any:
    """A small objective whose biases are not zero, so that a lost one is seen."""
    objective = choice.build(replace(TINY, **changes), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return objective


def reference(config: VideoMaeConfig) -> Any:
    """`transformers`' VideoMAE of the same numbers."""
    encoder, decoder = config.encoder, config.decoder
    return transformers.VideoMAEForPreTraining(
        transformers.VideoMAEConfig(
            image_size=encoder.image_size, patch_size=encoder.patch_size, num_frames=encoder.num_frames,
            tubelet_size=encoder.tubelet_size, hidden_size=encoder.shape.embed_dim,
            num_hidden_layers=encoder.shape.depth, num_attention_heads=encoder.shape.num_heads,
            intermediate_size=4 * encoder.shape.embed_dim, decoder_hidden_size=decoder.embed_dim,
            decoder_num_hidden_layers=decoder.depth, decoder_num_attention_heads=decoder.num_heads,
            decoder_intermediate_size=4 * decoder.embed_dim, layer_norm_eps=1e-6, use_mean_pooling=False,
        )
    )  # fmt: skip


def in_memory(name: str) -> str:
    """What transformers calls a weight that its files call otherwise."""
    return name.replace(".q_bias", ".query.bias").replace(".v_bias", ".value.bias")


def on_disk(name: str) -> str:
    """The other way round."""
    return re.sub(
        r"attention\.(query|value)\.bias", lambda found: f"attention.{found[1][0]}_bias", name
    )


def test_loss_and_gradients_are_those_of_transformers() -> None:
    objective, batch = tiny(), clip_batch([3, 8])
    theirs = reference(objective.config)
    weights = TRANSFORMERS_VIDEOMAE.export(objective.state_dict(), objective.config.encoder)
    theirs.load_state_dict({in_memory(name): tensor for name, tensor in weights.items()})
    ((_, masked, _),) = objective.draw(batch)
    hidden = torch.zeros(2, objective.num_tokens, dtype=torch.bool).scatter(1, masked, True)
    expected = theirs(batch.clips.transpose(1, 2), bool_masked_pos=hidden).loss
    expected.backward()
    loss = loss_of(objective, batch).loss
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    gradients = {on_disk(name): parameter.grad for name, parameter in theirs.named_parameters()}
    expected_gradients = TRANSFORMERS_VIDEOMAE.load(gradients, objective.config.encoder)
    assert len(expected_gradients) == len(list(objective.parameters()))
    for name, parameter in objective.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected_gradients[name], rtol=1e-4, atol=1e-6, msg=name
        )


@pytest.mark.parametrize("layout", [VIDEOMAE, TRANSFORMERS_VIDEOMAE])
def test_a_layout_gives_back_what_it_was_given(layout: Layout) -> None:
    state, encoder = tiny().state_dict(), TINY.encoder
    back = layout.load(layout.export(state, encoder), encoder)
    assert sorted(back) == sorted(state)
    assert all(torch.equal(tensor, back[name]) for name, tensor in state.items())


@pytest.mark.slow
def test_published_configuration_has_the_published_parameters() -> None:
    objective = choice.build_on_meta(VideoMaeConfig())
    assert objective.num_visible == 160 and objective.num_tokens == 1568
    theirs = sum(p.numel() for p in reference(VideoMaeConfig()).parameters())
    assert objective.num_parameters()["trainable"] == theirs == 94_210_944


BLOCKS = replace(
    TINY,
    encoder=replace(TINY.encoder, positions="rope", drop_path=0.5),
    decoder=replace(TINY.decoder, positions="rope", drop_path=0.4),
    masks=(BlockMask(num_blocks=3, scale=0.2), BlockMask(num_blocks=1, scale=0.5)),
)
"""The first stage of SALT: V-JEPA's masks and positions, with drop paths to be lost."""


def true_pixels(clip: np.ndarray, token: int) -> np.ndarray:
    """[F1] of a token (384,): each channel less its mean, over its deviation."""
    true = []
    for channel, values in enumerate(reference_values.tubelet(clip, token, 2, 8).reshape(3, -1)):
        plain = values * IMAGENET_STD[channel] + IMAGENET_MEAN[channel]
        mean = sum(plain) / len(plain)
        deviation = math.sqrt(sum((plain - mean) ** 2) / (len(plain) - 1)) + 1e-6
        true.append((plain - mean) / deviation)
    return np.concatenate(true)


@pytest.mark.parametrize("training", [True, False])
def test_with_blocks_loss_and_gradient_are_means_over_the_kinds_of_masks(training: bool) -> None:
    """[F2] token by token; the gradient of the head's bias is twice what predictions have too much."""
    objective = tiny(encoder=BLOCKS.encoder, decoder=BLOCKS.decoder, masks=BLOCKS.masks)
    objective.train(training)
    batch = clip_batch([3, 8])
    by_kind, gradient = [], np.zeros(384)
    for kind, blocks in enumerate(BLOCKS.masks):
        shown, hidden = block_mask(objective.grid, blocks, 0, kind, batch.draws)
        visible, masked = torch.from_numpy(shown), torch.from_numpy(hidden)
        scales = [None, None]
        if training:
            scales = [
                torch.from_numpy(draw_drop_path_scales(rate, 2, 0, network, batch.draws))
                for network, rate in enumerate((0.5, 0.4))
            ]
        with torch.no_grad():
            encoded = objective.encoder(batch.clips, visible, scales[0])
            predicted = objective.decoder(encoded, visible, masked, scales[1]).double().numpy()
        errors = [
            true_pixels(clip, token) - prediction
            for clip, tokens, predictions in zip(
                batch.clips.double().numpy(), hidden.tolist(), predicted, strict=True
            )
            for token, prediction in zip(tokens, predictions, strict=True)
        ]
        by_kind.append(sum(np.mean(error**2) for error in errors) / len(errors))
        gradient += sum(-2 * error for error in errors) / (2 * 384 * len(errors))

    loss, metrics = loss_of(objective, batch)
    assert loss.item() == pytest.approx(sum(by_kind) / 2, rel=1e-5)
    assert metrics["loss/reconstruction"] == loss
    loss.backward()
    found = objective.decoder.head.bias.grad.double().numpy()
    np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-7)


def test_blocks_are_counted_and_the_hardest_are_tried() -> None:
    objective = tiny(encoder=BLOCKS.encoder, decoder=BLOCKS.decoder, masks=BLOCKS.masks).eval()
    batch = clip_batch([3, 8])
    assert objective.counts == tuple(typical_counts(objective.grid, BLOCKS.masks))

    def shown(g: int) -> int:
        draws = np.array([3 + g, 8 + g])
        masks = [
            block_mask(objective.grid, kind, 0, i, draws) for i, kind in enumerate(BLOCKS.masks)
        ]
        return sum(visible.size for visible, _ in masks)

    hardest = objective.worst_case(batch)
    assert sum(draws.visible.numel() for draws in objective.draw(hardest)) == max(
        shown(g) for g in range(0, 128, 2)
    )
    encoder, decoder = objective.flops().values()
    assert encoder == sum(objective.encoder.flops(count.visible) for count in objective.counts)
    assert decoder == sum(objective.decoder.flops(*count) for count in objective.counts)
    rows = objective.pictures(batch)
    assert all(row.shape == (2, 3, 4, 48, 48) for row in rows.values())


@pytest.mark.slow
@pytest.mark.parametrize("way", ["compile_parts", "compile_blocks"])
def test_blocks_of_all_sizes_pass_through_the_same_graphs(
    way: str, traces: CompileCounterWithBackend
) -> None:
    objective = tiny(encoder=BLOCKS.encoder, decoder=BLOCKS.decoder, masks=BLOCKS.masks)
    batches = [clip_batch([g, g + 1, g + 2]) for g in range(0, 36, 3)]
    plain = [loss_of(objective, batch).loss.item() for batch in batches]
    getattr(objective, way)(backend=traces, fullgraph=True)
    compiled = [loss_of(objective, batch).loss.item() for batch in batches]
    assert compiled == pytest.approx(plain, rel=1e-5)

    sizes = {draws.visible.shape for batch in batches for draws in objective.draw(batch)}
    assert traces.frame_count <= 4 < len(sizes)
