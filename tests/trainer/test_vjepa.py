"""V-JEPA's networks against `transformers`' own."""

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from trainer.errors import ModelError
from trainer.models.config import EncoderConfig, PredictorConfig
from trainer.models.layouts import TRANSFORMERS_VJEPA2
from trainer.models.predictor import Predictor
from trainer.models.vit import Encoder

ENCODER = EncoderConfig(
    embed_dim=48, depth=2, num_heads=2, image_size=32, num_frames=6, patch_size=8, positions="rope", drop_path=0.0
)
PREDICTOR = PredictorConfig(embed_dim=32, depth=2, num_heads=2, num_mask_tokens=3)


class Networks(nn.Module):
    """Both, under the names that they have in an objective."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(ENCODER)
        self.predictor = Predictor(PREDICTOR, ENCODER.grid, ENCODER.shape.embed_dim)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)


def reference(networks: Networks) -> transformers.VJEPA2Model:
    """`transformers`' V-JEPA 2 with the same weights."""
    theirs = transformers.VJEPA2Model(
        transformers.VJEPA2Config(
            patch_size=ENCODER.patch_size, crop_size=ENCODER.image_size, frames_per_clip=ENCODER.num_frames,
            tubelet_size=ENCODER.tubelet_size, hidden_size=ENCODER.shape.embed_dim, mlp_ratio=4.0,
            num_attention_heads=ENCODER.shape.num_heads, num_hidden_layers=ENCODER.shape.depth, layer_norm_eps=1e-6,
            pred_hidden_size=PREDICTOR.embed_dim, pred_num_attention_heads=PREDICTOR.num_heads,
            pred_num_hidden_layers=PREDICTOR.depth, pred_num_mask_tokens=PREDICTOR.num_mask_tokens,
        )
    )  # fmt: skip
    theirs.load_state_dict(TRANSFORMERS_VJEPA2.export(networks.state_dict(), ENCODER))
    return theirs


def test_encoder_and_predictor_are_those_of_transformers() -> None:
    networks = Networks()
    theirs = reference(networks)
    clips = torch.randn(2, 3, 6, 32, 32, generator=torch.Generator().manual_seed(1))
    order = torch.from_numpy(np.random.default_rng(0).permuted(np.tile(np.arange(48), (2, 1)), axis=1))
    visible, masked = order[:, :20], order[:, 20:37]
    out = theirs(clips.transpose(1, 2), context_mask=[visible], target_mask=[masked])
    encoded = networks.encoder(clips)
    torch.testing.assert_close(encoded, out.last_hidden_state, rtol=1e-5, atol=1e-5)
    shown = torch.stack([clip[tokens] for clip, tokens in zip(encoded, visible, strict=True)])
    predicted = networks.predictor(shown, visible, masked, mask_number=1)
    torch.testing.assert_close(predicted, out.predictor_output.last_hidden_state, rtol=1e-5, atol=1e-5)


def test_a_visible_token_is_where_it_was() -> None:
    """What the encoder makes of some tokens does not depend on their order."""
    encoder, clips = Networks().encoder, torch.randn(1, 3, 6, 32, 32)
    tokens = torch.tensor([[3, 17, 40, 5]])
    there, turned = encoder(clips, tokens), encoder(clips, tokens.flip(1))
    torch.testing.assert_close(turned.flip(1), there)


def test_the_layout_gives_back_what_it_was_given_and_refuses_the_rest() -> None:
    state = Networks().state_dict()
    weights = TRANSFORMERS_VJEPA2.export(state, ENCODER)
    back = TRANSFORMERS_VJEPA2.load(weights, ENCODER)
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)
    with pytest.raises(ModelError, match=r"transformers' VJEPA2Model, got pooler.x, which has no place there"):
        TRANSFORMERS_VJEPA2.load({"pooler.x": torch.zeros(1)}, ENCODER)
    del weights["encoder.layer.1.attention.key.weight"]
    with pytest.raises(ModelError, match=r"encoder.layer.1.attention.key.weight is missing"):
        TRANSFORMERS_VJEPA2.load(weights, ENCODER)
