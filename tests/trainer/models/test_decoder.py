import numpy as np
import pytest
import torch

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.models.config import DecoderConfig, EncoderConfig, Grid, PredictorConfig
from surgstream.trainer.models.decoder import Decoder
from surgstream.trainer.models.initial import initialise
from surgstream.trainer.models.predictor import Predictor
from surgstream.trainer.models.vit import num_parameters
from tests.trainer import reference

GRID = Grid(2, 3, 3)
VISIBLE, MASKED = [[0, 5, 9], [3, 4, 8]], [[1, 17, 2, 6], [0, 16, 9, 12]]


def tiny_decoder() -> Decoder:
    decoder = Decoder(
        DecoderConfig(depth=2, embed_dim=32, num_heads=2), GRID, encoder_dim=48, output_dim=10
    )
    initialise(decoder, torch.Generator().manual_seed(0))
    return decoder


def test_published_decoders_have_the_published_parameters() -> None:
    grid = Grid(8, 14, 14)
    with torch.device("meta"):
        reconstruction = Decoder(DecoderConfig(depth=4), grid, 768, 1536)
        distillation = Decoder(DecoderConfig(depth=2), grid, 768, 1024)
    assert num_parameters(reconstruction) == 8_586_240
    assert num_parameters(distillation) == 4_840_960


def test_decoder_equals_the_slow_reference() -> None:
    decoder, encoded = (
        tiny_decoder(),
        torch.randn(2, 3, 48, generator=torch.Generator().manual_seed(1)),
    )
    drop_path_scales = [[(1.0, 0.8), (1.25, 0.0)], [(1.0, 1.1), (0.0, 1.2)]]
    fast = (
        decoder(
            encoded, torch.tensor(VISIBLE), torch.tensor(MASKED), torch.tensor(drop_path_scales)
        )
        .detach()
        .numpy()
    )
    state = {name: tensor.double().numpy() for name, tensor in decoder.state_dict().items()}
    for i in range(2):
        slow = reference.decode(
            encoded[i].double().numpy(), state, VISIBLE[i], MASKED[i], drop_path_scales[i], 2, 3, 3
        )
        np.testing.assert_allclose(fast[i], slow, rtol=1e-4, atol=1e-5)


def test_predictions_follow_the_order_of_the_masked_tokens() -> None:
    decoder, encoded = tiny_decoder(), torch.randn(1, 3, 48)
    visible, masked = torch.tensor(VISIBLE[:1]), torch.tensor(MASKED[:1])
    out = decoder(encoded, visible, masked)
    assert out.shape == (1, 4, 10)
    torch.testing.assert_close(decoder(encoded, visible, masked.flip(1)), out.flip(1))


def test_mask_token_starts_small_and_is_a_vector() -> None:
    mask_token = Decoder(DecoderConfig(depth=1), GRID, 48, 10).mask_token
    assert mask_token.shape == (384,)
    decoder = Decoder(DecoderConfig(depth=1), GRID, 48, 10)
    initialise(decoder, torch.Generator().manual_seed(3))
    # A normal distribution that is cut off at one deviation has 0.54 of it.
    assert decoder.mask_token.std().item() == pytest.approx(0.54 * 0.02, rel=0.1)
    assert decoder.mask_token.abs().max() <= 0.02


def test_with_rotary_positions_it_is_a_predictor_of_pixels() -> None:
    """That is compared with `transformers`' own; under the same weights both say the same."""
    encoder = EncoderConfig(
        embed_dim=48, depth=1, num_heads=2, image_size=48, num_frames=4, positions="rope"
    )
    assert encoder.grid == GRID
    numbers = PredictorConfig(depth=2, embed_dim=32, num_heads=2, num_mask_tokens=1)
    predictor = Predictor(numbers, encoder, out_dim=10)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)

    config = DecoderConfig(depth=2, embed_dim=32, num_heads=2, positions="rope")
    decoder = Decoder(config, GRID, encoder_dim=48, output_dim=10)
    state = predictor.state_dict()
    state["mask_token"] = state.pop("mask_tokens")[0]
    decoder.load_state_dict(state)

    encoded = torch.randn(2, 3, 48, generator=generator)
    visible, masked = torch.tensor(VISIBLE), torch.tensor(MASKED)
    expected = predictor(encoded, visible, masked, 0)
    torch.testing.assert_close(decoder(encoded, visible, masked), expected)
    assert num_parameters(decoder) == num_parameters(predictor)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": "rope_scaled"}, "positions: expected rope, sincos or sinusoid"),
        ({"positions": "rope", "embed_dim": 16, "num_heads": 4}, "num_heads: expected heads of"),
    ],
)
def test_positions_that_a_decoder_cannot_have_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        build(DecoderConfig, {"depth": 1} | changes, where="test")
    assert message in str(raised.value)
