"""V-JEPA's networks against `transformers`' own, and its loss against slow loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build as build_config
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.models.embed import to_tubelets
from surgstream.trainer.models.predictor import Predictor
from surgstream.trainer.models.published import TRANSFORMERS_VJEPA2
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives import choice, vjepa
from surgstream.trainer.objectives.config import VJepaConfig
from surgstream.trainer.objectives.masks.mask import TokenCount
from surgstream.trainer.objectives.masks.masking import BlockMask, block_mask
from tests.trainer.objectives.test_surgvista import clip_batch, loss_of

ENCODER = EncoderConfig(
    embed_dim=48,
    depth=2,
    num_heads=2,
    image_size=32,
    num_frames=6,
    patch_size=8,
    positions="rope",
    drop_path=0.0,
)
PREDICTOR = PredictorConfig(embed_dim=32, depth=2, num_heads=2, num_mask_tokens=3)


class Networks(nn.Module):
    """Both, under the names that they have in an objective."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(ENCODER)
        self.predictor = Predictor(PREDICTOR, ENCODER)
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
    order = torch.from_numpy(
        np.random.default_rng(0).permuted(np.tile(np.arange(48), (2, 1)), axis=1)
    )
    visible, masked = order[:, :20], order[:, 20:37]
    out = theirs(clips.transpose(1, 2), context_mask=[visible], target_mask=[masked])
    encoded = networks.encoder(clips)
    torch.testing.assert_close(encoded, out.last_hidden_state, rtol=1e-5, atol=1e-5)
    shown = torch.stack([clip[tokens] for clip, tokens in zip(encoded, visible, strict=True)])
    predicted = networks.predictor(shown, visible, masked, mask_number=1)
    torch.testing.assert_close(
        predicted, out.predictor_output.last_hidden_state, rtol=1e-5, atol=1e-5
    )


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
    assert back.keys() == state.keys() and all(
        torch.equal(back[name], state[name]) for name in state
    )
    with pytest.raises(
        ModelError, match=r"transformers' VJEPA2Model, got pooler.x, which has no place there"
    ):
        TRANSFORMERS_VJEPA2.load({"pooler.x": torch.zeros(1)}, ENCODER)
    del weights["encoder.layer.1.attention.key.weight"]
    with pytest.raises(ModelError, match=r"encoder.layer.1.attention.key.weight is missing"):
        TRANSFORMERS_VJEPA2.load(weights, ENCODER)


TINY = VJepaConfig(
    encoder=ENCODER,
    predictor=PREDICTOR,
    masks=(
        BlockMask(num_blocks=3, scale=0.2),
        BlockMask(num_blocks=1, scale=0.5, aspect=(0.5, 0.5)),
    ),
)


def tiny() -> vjepa.VJepa:
    """A small objective, whose average is not where its encoder is."""
    objective = choice.build(TINY, seed=5)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in [*objective.parameters(), *objective.target_encoder.parameters()]:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return objective


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_the_mean_distance_of_masked_tokens_over_the_kinds_of_masks(
    training: bool,
) -> None:
    objective, batch = tiny().train(training), clip_batch([3, 12345, 0], 32, 6)
    targets = objective.targets(batch)
    parts = []
    for kind, blocks in enumerate(TINY.masks):
        visible, masked = map(
            torch.from_numpy, block_mask(ENCODER.grid, blocks, 5, kind, batch.draws)
        )
        with torch.no_grad():
            predicted = objective.predictor(
                objective.encoder(batch.clips, visible), visible, masked, kind
            )
        distances = [
            sum(abs(z - h) for z, h in zip(token.tolist(), true[number].tolist(), strict=True)) / 48
            for clip, tokens, true in zip(predicted, masked, targets[0], strict=True)
            for token, number in zip(clip, tokens, strict=True)
        ]
        parts.append(sum(distances) / len(distances))
    loss, metrics = objective(batch, targets)
    assert [metrics[f"loss/mask_{kind}"].item() for kind in (0, 1)] == pytest.approx(
        parts, rel=1e-5
    )
    assert (
        loss.item() == metrics["loss/prediction"].item() == pytest.approx(sum(parts) / 2, rel=1e-5)
    )
    assert not any(value.requires_grad for value in metrics.values())


def test_each_kind_of_mask_trains_a_token_of_its_own() -> None:
    objective, batch = tiny(), clip_batch([1, 2], 32, 6)
    loss_of(objective, batch).loss.backward()
    gradient = objective.predictor.mask_tokens.grad
    assert gradient is not None
    assert gradient[0].any() and gradient[1].any() and not gradient[2].any(), (
        "of three tokens two are used"
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["compile_parts", "compile_blocks"])
def test_masks_of_any_size_pass_through_the_same_graphs(
    way: str, traces: CompileCounterWithBackend
) -> None:
    objective = tiny()
    plain = [loss_of(objective, clip_batch([g, g + 1], 32, 6)).loss.item() for g in range(0, 12, 2)]
    sizes = {
        objective.draw(clip_batch([g, g + 1], 32, 6))[0].masks[0].masked.shape
        for g in range(0, 12, 2)
    }
    assert len(sizes) > 1
    getattr(objective, way)(backend=traces, fullgraph=True)
    compiled, counts = [], []
    for g in range(0, 12, 2):
        compiled.append(loss_of(objective, clip_batch([g, g + 1], 32, 6)).loss.item())
        counts.append(traces.frame_count)
    assert compiled == pytest.approx(plain, rel=1e-5)
    assert counts[0] > 0 and set(counts) == {counts[0]}, (
        "later masks pass through the graphs of the first"
    )


@pytest.mark.slow
def test_initial_weights_are_those_of_v_jepa() -> None:
    objective = choice.build(VJepaConfig(encoder=replace(ENCODER, embed_dim=192, depth=3)), seed=0)
    for name, parameter in objective.named_parameters():
        if ".norm" in name and name.endswith("weight"):
            assert (parameter == 1).all()
        elif name.endswith(("bias", "mask_tokens")):
            assert not parameter.any()
        else:
            depth = (
                int(name.split(".")[2]) + 1
                if name.endswith(("attention.projection.weight", "mlp.2.weight"))
                else 0
            )
            expected = 0.02 / (2 * depth) ** 0.5 if depth else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name


def test_published_configuration_has_the_published_networks() -> None:
    objective = choice.build_on_meta(VJepaConfig())
    assert objective.num_parameters() == {
        "encoder": 303_885_312,
        "predictor": 22_082_944,
        "target_encoder": 303_885_312,
        "total": 325_968_256,
        "trainable": 325_968_256,
    }
    shape = {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "mlp_ratio": 4.0,
    }
    with torch.device("meta"):
        theirs = transformers.VJEPA2Model(
            transformers.VJEPA2Config(pred_num_mask_tokens=2, **shape)
        )
    assert sum(parameter.numel() for parameter in theirs.parameters()) == 325_968_256
    assert [count.visible / objective.num_tokens for count in objective.counts] == pytest.approx(
        [0.23, 0.06], abs=0.01
    )


def test_tokens_that_the_cut_leaves_out_are_counted_and_drawn_as_neither() -> None:
    objective, batch = tiny().eval(), clip_batch([1, 2, 3], 32, 6)
    published = choice.build_on_meta(VJepaConfig())
    for tokens, kind in ((published.num_visible, "visible"), (published.num_masked, "masked")):
        assert tokens == round(sum(getattr(count, kind) for count in published.counts) / 2)
    assert published.num_visible + published.num_masked < published.num_tokens

    (visible, masked), rows = objective.draw(batch)[0].masks[0], objective.pictures(batch)
    tubelets = {name: to_tubelets(row, 2, 8) for name, row in rows.items()}
    left_out = 0
    for i, (shown, hidden) in enumerate(zip(visible.tolist(), masked.tolist(), strict=True)):
        for token in range(48):
            of_mask, of_prediction = tubelets["masked"][i, token], tubelets["prediction"][i, token]
            if token in shown:
                assert torch.equal(of_mask, tubelets["original"][i, token])
                torch.testing.assert_close(of_prediction, tubelets["features"][i, token])
            elif token in hidden:
                assert (of_mask == 0.5).all()
            else:
                assert not of_mask.any() and not of_prediction.any()
                left_out += 1
    assert left_out


@pytest.mark.slow
def test_flops_are_those_that_pytorch_counts() -> None:
    objective, batch = tiny(), clip_batch(range(8), 32, 6)
    masks = objective.draw(batch)[0].masks
    objective.counts = tuple(
        TokenCount(mask.visible.shape[1], mask.masked.shape[1]) for mask in masks
    )
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as average:
            targets = objective.targets(batch)
        with FlopCounterMode(display=False) as rest:
            objective(batch, targets).loss.backward()
    flops = objective.flops()
    assert average.get_total_flops() == 8 * flops.pop("target_encoder")
    assert rest.get_total_flops() == 8 * sum(flops.values())


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([], "masks: expected at least one kind"),
        ([{"num_blocks": 0, "scale": 0.5}], "masks[0].num_blocks: expected 1 to 32, got 0"),
        ([{"num_blocks": 1, "scale": 1.5}], "scale: expected 0.001 to 0.999, got 1.5"),
        ([{"num_blocks": 1, "scale": 0.5, "aspect": [2.0, 1.0]}], "aspect: expected two numbers"),
    ],
)
def test_masks_that_cannot_be_are_refused(masks: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build_config(VJepaConfig, {"masks": masks}, where="test")
    assert message in str(raised.value)
