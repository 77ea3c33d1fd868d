"""VideoMAE against `transformers`' own, and the published numbers."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from surgstream.trainer.models.config import DecoderConfig, EncoderConfig
from surgstream.trainer.models.layouts import Layout
from surgstream.trainer.models.published import TRANSFORMERS_VIDEOMAE, VIDEOMAE
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import VideoMaeConfig
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
    _, masked, _ = objective.draw(batch)
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
