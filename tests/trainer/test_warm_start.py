"""Weights of others, and of earlier runs: each has its place, or the error says which has none."""

import argparse
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from surgstream.trainer.errors import ModelError
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.models.published import LAYOUTS
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.objectives.config import ObjectiveConfig, SurgMotionConfig
from surgstream.trainer.warm_start import warm_start
from tests.trainer.objectives.test_surgvista import TINY as SURGVISTA_TINY
from tests.trainer.objectives.test_unisurg import TINY as UNISURG_TINY
from tests.trainer.objectives.test_videomae import TINY as VIDEOMAE_TINY
from tests.trainer.objectives.test_videomae import on_disk
from tests.trainer.objectives.test_videomae import reference as videomae_reference
from tests.trainer.objectives.test_vjepa import TINY as VJEPA_TINY

Weights = dict[str, Tensor]


def objective_of(config: ObjectiveConfig, seed: int) -> Objective:
    """An objective whose weights, zeros and ones too, are all different."""
    objective = choice.build(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in [*objective.parameters(), *objective.averages().values()]:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return objective


def state_of(objective: Objective) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in objective.named_parameters()}


def like_surgvista(weights: Weights) -> dict[str, Any]:
    """What its code saves: the weights beside fixed positions, the command line and the optimizer's state."""
    positions = {
        name: torch.zeros(1, 18, 48) for name in ("pos_embed", "pos_embed_img", "pos_embed_vid")
    }
    return {
        "model": {**weights, **positions},
        "epoch": 3,
        "args": argparse.Namespace(lr=1.0),
        "optimizer": {"state": {}},
    }


def like_vjepa2(weights: Weights, averages: Weights) -> dict[str, Any]:
    """What its code saves: a state for each network, under the names that wrappers give."""

    def network(name: str, of: Weights) -> Weights:
        prefix = f"{name}."
        return {
            f"module.backbone.{k.removeprefix(prefix)}": t
            for k, t in of.items()
            if k.startswith(prefix)
        }

    networks = {"encoder": network("encoder", weights), "predictor": network("predictor", weights)}
    return {
        **networks,
        "target_encoder": network("encoder", averages),
        "opt": {"state": {}},
        "epoch": 1,
    }


def start(path: Path, config: ObjectiveConfig, **settings: Any) -> Objective:
    """A new objective that began with a file."""
    objective = choice.build(config, seed=99)
    warm_start(WarmStartConfig(weights=str(path), **settings), objective, config.encoder)
    return objective


def assert_same(state: Weights, expected: Weights) -> None:
    assert sorted(state) == sorted(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


# Names and shapes as the released code has them, for the tiny configurations of the tests.
PUBLISHED_NAMES = {
    "surgvista": {
        "patch_embed.proj.weight": (48, 3, 2, 16, 16), "blocks.2.attn.qkv.weight": (144, 48),
        "blocks.0.attn.q_bias": (48,),
        "blocks.1.mlp.fc1.weight": (192, 48), "norm.weight": (48,), "down_vid.weight": (32, 48), "down_vid.bias": (32,),
        "mask_token_vid": (1, 1, 32), "decoder_vid.blocks.1.attn.proj.bias": (32,), "decoder_vid.norm.bias": (32,),
        "decoder_vid.head.weight": (1536, 32), "down_img.weight": (16, 48), "mask_token_img": (1, 1, 16),
        "decoder_img.head.weight": (64, 16),
    },
    "videomae": {
        "encoder.patch_embed.proj.weight": (32, 3, 2, 8, 8), "encoder.blocks.1.attn.v_bias": (32,),
        "encoder.blocks.0.attn.qkv.weight": (96, 32), "encoder.norm.bias": (32,), "encoder_to_decoder.weight": (16, 32),
        "mask_token": (1, 1, 16), "decoder.blocks.1.mlp.fc2.weight": (16, 64), "decoder.head.weight": (384, 16),
    },
    "vjepa2": {
        "encoder.patch_embed.proj.weight": (48, 3, 2, 8, 8), "encoder.blocks.1.attn.qkv.bias": (144,),
        "encoder.blocks.0.attn.proj.weight": (48, 48), "encoder.norm.weight": (48,),
        "predictor.predictor_embed.weight": (32, 48), "predictor.mask_tokens.2": (1, 1, 32),
        "predictor.predictor_blocks.0.attn.qkv.bias": (96,), "predictor.predictor_norm.weight": (32,),
        "predictor.predictor_proj.weight": (48, 32),
    },
}  # fmt: skip
CONFIGS: dict[str, ObjectiveConfig] = {
    "surgvista": SURGVISTA_TINY, "videomae": VIDEOMAE_TINY, "vjepa2": VJEPA_TINY,
    "transformers_videomae": VIDEOMAE_TINY, "transformers_vjepa2": VJEPA_TINY,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED_NAMES)
def test_a_layout_has_the_names_and_shapes_of_the_released_code(name: str) -> None:
    config = CONFIGS[name]
    weights = LAYOUTS[name].export(state_of(objective_of(config, 1)), config.encoder)
    for key, shape in PUBLISHED_NAMES[name].items():
        assert tuple(weights[key].shape) == shape, key
    assert not any(re.search(r"\.qkv\.bias$", key) for key in weights) or name == "vjepa2"


# V-JEPA 2.1's has an encoder alone, which is only read: see `models/test_published.py`.
@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "vjepa2_1"])
def test_a_published_file_gives_every_weight_its_place(name: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    source = objective_of(config, 1)
    weights = LAYOUTS[name].export(state_of(source), config.encoder)
    path = tmp_path / ("weights.safetensors" if "transformers" in name else "weights.pth")
    if path.suffix == ".safetensors":
        save_file(weights, path)
    elif name == "vjepa2":
        torch.save(
            like_vjepa2(weights, LAYOUTS[name].export(dict(source.averages()), config.encoder)),
            path,
        )
    else:
        torch.save(like_surgvista(weights) if name == "surgvista" else {"model": weights}, path)
    objective = start(path, config, layout=name)
    assert_same(state_of(objective), state_of(source))
    for key, average in objective.averages().items():
        expected = source.averages() if name == "vjepa2" else state_of(source)
        assert torch.equal(average, expected[key]), (
            "where a file has no averages they begin where the encoder is"
        )


def test_pixels_come_out_in_the_order_of_the_released_head(tmp_path: Path) -> None:
    """Of a prediction, VideoMAE's values are ordered (t p q c), ours (c t p q)."""
    source = objective_of(VIDEOMAE_TINY, 1)
    weights = LAYOUTS["videomae"].export(state_of(source), VIDEOMAE_TINY.encoder)
    token = torch.randn(16)
    theirs = weights["decoder.head.weight"] @ token + weights["decoder.head.bias"]
    ours = state_of(source)["decoder.head.weight"] @ token + state_of(source)["decoder.head.bias"]
    torch.testing.assert_close(theirs.view(2, 8, 8, 3).permute(3, 0, 1, 2).reshape(-1), ours)


def test_the_encoder_alone_starts_another_objective(tmp_path: Path) -> None:
    theirs = videomae_reference(VIDEOMAE_TINY)
    theirs.save_pretrained(tmp_path)
    objective = start(tmp_path, VIDEOMAE_TINY, layout="transformers_videomae", parts="encoder")
    fresh = state_of(choice.build(VIDEOMAE_TINY, seed=99))
    weights = {on_disk(key): tensor for key, tensor in theirs.state_dict().items()}
    state = LAYOUTS["transformers_videomae"].load(weights, VIDEOMAE_TINY.encoder)
    for name, parameter in state_of(objective).items():
        assert torch.equal(parameter, (state if name.startswith("encoder.") else fresh)[name]), name


def test_v_jepas_encoder_starts_unisurg_with_its_average(tmp_path: Path) -> None:
    config = replace(VJEPA_TINY, encoder=UNISURG_TINY.encoder)
    source = objective_of(config, 1)
    layout = LAYOUTS["vjepa2"]
    weights, averages = (
        layout.export(dict(some), config.encoder) for some in (state_of(source), source.averages())
    )
    torch.save(like_vjepa2(weights, averages), tmp_path / "vjepa.pt")
    objective = start(tmp_path / "vjepa.pt", UNISURG_TINY, layout="vjepa2", parts="encoder")
    assert_same(dict(objective.averages()), dict(source.averages()))
    assert torch.equal(objective.encoder.norm.weight, source.encoder.norm.weight)


@pytest.mark.parametrize("layout", ["vjepa2", "transformers_vjepa2"])
def test_all_of_v_jepa_2_starts_surgmotion_whose_masks_share_its_first_token(
    layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = objective_of(VJEPA_TINY, 1)
    shared = replace(VJEPA_TINY.predictor, num_mask_tokens=1)
    config = SurgMotionConfig(encoder=VJEPA_TINY.encoder, predictor=shared)
    file = save_vjepa(source, layout, tmp_path)
    with caplog.at_level(logging.INFO):
        objective = start(file, config, layout=layout)

    expected = state_of(source)
    tokens = expected["predictor.mask_tokens"]
    assert tokens.shape == (3, 32) and not torch.equal(tokens[0], tokens[1])
    assert_same(state_of(objective), expected | {"predictor.mask_tokens": tokens[:1]})
    assert "takes the first of 3 mask tokens" in caplog.text

    averages = source.averages() if layout == "vjepa2" else expected
    assert all(torch.equal(found, averages[key]) for key, found in objective.averages().items())


def test_other_numbers_of_mask_tokens_are_refused(tmp_path: Path) -> None:
    file = save_vjepa(objective_of(VJEPA_TINY, 1), "vjepa2", tmp_path)
    two = replace(VJEPA_TINY, predictor=replace(VJEPA_TINY.predictor, num_mask_tokens=2))
    with pytest.raises(
        ModelError, match=r"predictor.mask_tokens has the shape \(3, 32\), not \(2, 32"
    ):
        start(file, two, layout="vjepa2")

    encoder_alone = replace(VIDEOMAE_TINY, encoder=VJEPA_TINY.encoder)
    with pytest.raises(ModelError, match=r"decoder\.\S+ is missing.*parts=encoder takes the enc"):
        start(file, encoder_alone, layout="vjepa2")


def save_vjepa(source: Objective, layout: str, folder: Path) -> Path:
    """A V-JEPA in the layout of its own code, with its average, or in that of transformers."""
    encoder = VJEPA_TINY.encoder
    weights = LAYOUTS[layout].export(state_of(source), encoder)
    if layout == "transformers_vjepa2":
        save_file(weights, folder / "weights.safetensors")
        return folder / "weights.safetensors"

    averages = LAYOUTS[layout].export(dict(source.averages()), encoder)
    torch.save(like_vjepa2(weights, averages), folder / "vjepa.pt")
    return folder / "vjepa.pt"


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda w: w.pop("encoder.norm.bias"), {}, "encoder.norm.bias is missing"),
        (lambda w: w.update(extra=torch.zeros(1)), {}, "VideoMAE's own code, got extra, which has no place there"),
        (
            lambda w: w.update({"encoder.norm.bias": torch.zeros(7)}), {},
            r"encoder.norm.bias has the shape \(7,\), not \(32,\)",
        ),
        (lambda w: w.clear(), {}, "expected named tensors in"),
        (lambda w: None, {"layout": "surgvista"}, r"trained with sinusoid positions, got sincos; set objective"),
        (lambda w: None, {"weights": "nowhere.pth"}, "warm_start.weights: expected a file of weights, got nowhere.pth"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(
    change: Any, settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    weights = LAYOUTS["videomae"].export(
        state_of(objective_of(VIDEOMAE_TINY, 1)), VIDEOMAE_TINY.encoder
    )
    change(weights)
    torch.save({"model": weights}, tmp_path / "weights.pth")
    objective = choice.build(VIDEOMAE_TINY, seed=99)
    words = {"weights": str(tmp_path / "weights.pth"), "layout": "videomae"} | settings
    with pytest.raises(ModelError, match=message):
        warm_start(WarmStartConfig(**words), objective, VIDEOMAE_TINY.encoder)  # type: ignore[arg-type]
    assert_same(state_of(objective), state_of(choice.build(VIDEOMAE_TINY, seed=99)))


def test_an_encoder_is_taken_from_a_file_with_a_classifier(tmp_path: Path) -> None:
    weights = LAYOUTS["videomae"].export(
        state_of(objective_of(VIDEOMAE_TINY, 1)), VIDEOMAE_TINY.encoder
    )
    encoder = {key: tensor for key, tensor in weights.items() if key.startswith("encoder.")}
    classifier = {"head.weight": torch.zeros(7, 32), "fc_norm.bias": torch.zeros(32)}
    torch.save({"module": encoder | classifier}, tmp_path / "w.pt")
    objective = start(tmp_path / "w.pt", VIDEOMAE_TINY, layout="videomae", parts="encoder")
    assert torch.equal(objective.encoder.norm.bias, encoder["encoder.norm.bias"])
    with pytest.raises(
        ModelError,
        match=r"warm_start: .*w.pt: expected the weights of VideoMAE's own code, got head.w",
    ):
        start(tmp_path / "w.pt", VIDEOMAE_TINY, layout="videomae")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["videomae", "surgvista", "vjepa2"])
@pytest.mark.parametrize("wrapping", ["module.", "_orig_mod.", "module._orig_mod.", "model.net."])
def test_wrappings_of_a_published_file_are_found(name: str, wrapping: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    source = objective_of(config, 1)
    weights = LAYOUTS[name].export(state_of(source), config.encoder)
    torch.save(
        {"state_dict": {f"{wrapping}{key}": t for key, t in weights.items()}}, tmp_path / "w.ckpt"
    )
    assert_same(state_of(start(tmp_path / "w.ckpt", config, layout=name)), state_of(source))


def test_a_fine_tuned_encoder_starts_one(tmp_path: Path) -> None:
    """VideoMAE's fine-tuning has no `encoder.` before its names, and its norm after the pooling."""
    source = state_of(objective_of(VIDEOMAE_TINY, 1))
    weights = LAYOUTS["videomae"].export(source, VIDEOMAE_TINY.encoder)
    encoder = {
        k.removeprefix("encoder."): tensor
        for k, tensor in weights.items()
        if k.startswith("encoder.")
    }
    tuned = {re.sub(r"^norm\.", "fc_norm.", key): tensor for key, tensor in encoder.items()}
    torch.save({"module": {**tuned, "head.weight": torch.zeros(9, 32)}}, tmp_path / "w.pth")
    begun = state_of(start(tmp_path / "w.pth", VIDEOMAE_TINY, layout="videomae", parts="encoder"))
    assert all(torch.equal(begun[key], source[key]) for key in begun if key.startswith("encoder."))


def test_what_was_trained_comes_before_its_average(tmp_path: Path) -> None:
    trained, averaged = (
        LAYOUTS["videomae"].export(
            state_of(objective_of(VIDEOMAE_TINY, seed)), VIDEOMAE_TINY.encoder
        )
        for seed in (1, 2)
    )
    torch.save({"model_ema": averaged, "model": trained}, tmp_path / "w.pth")
    for settings, seed in (({}, 1), ({"prefix": "model_ema"}, 2)):
        begun = start(tmp_path / "w.pth", VIDEOMAE_TINY, layout="videomae", **settings)
        assert_same(state_of(begun), state_of(objective_of(VIDEOMAE_TINY, seed)))


def test_the_encoder_alone_is_advised_where_it_fits(tmp_path: Path) -> None:
    weights = LAYOUTS["videomae"].export(
        state_of(objective_of(VIDEOMAE_TINY, 1)), VIDEOMAE_TINY.encoder
    )
    torch.save(
        {"model": {k: t for k, t in weights.items() if not k.startswith("decoder.")}},
        tmp_path / "w.pth",
    )
    with pytest.raises(
        ModelError, match=r"decoder\.\S+ is missing.*; warm_start\.parts=encoder takes the enc"
    ):
        start(tmp_path / "w.pth", VIDEOMAE_TINY, layout="videomae")


def test_weights_of_another_patch_size_are_refused_in_a_sentence(tmp_path: Path) -> None:
    weights = LAYOUTS["videomae"].export(
        state_of(objective_of(VIDEOMAE_TINY, 1)), VIDEOMAE_TINY.encoder
    )
    torch.save({"model": weights}, tmp_path / "w.pth")
    larger = replace(VIDEOMAE_TINY, encoder=replace(VIDEOMAE_TINY.encoder, patch_size=16))
    with pytest.raises(
        ModelError,
        match=r"got the shape \(32, 3, 2, 8, 8\); are patch_size and tubelet_size those of",
    ):
        start(tmp_path / "w.pth", larger, layout="videomae")
