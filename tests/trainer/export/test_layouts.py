"""Exported encoders, read back by this project, by transformers and as public loaders do: the same features."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from surgstream.launch.commands import run
from surgstream.trainer.commands.export import export
from surgstream.trainer.errors import ModelError
from surgstream.trainer.export import load_encoder
from surgstream.trainer.export.folder.forms import FORMS, form_for
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.objectives.vjepa_config import ContextConfig, ImagesConfig
from tests.trainer.export.saved import CONFIGS, FITTING, Saved, clips_for, features
from tests.trainer.objectives.test_salt import TINY as SALT_TINY
from tests.trainer.objectives.test_videomae import TINY as VIDEOMAE_TINY
from tests.trainer.objectives.test_vjepa import TINY as VJEPA_TINY

PAIRS = [(name, layout) for name, layouts in FITTING.items() for layout in layouts]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), PAIRS)
def test_load_encoder_reads_every_layout_that_fits(
    name: str, layout: str, saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, objective = saved[name]
    out, clips = tmp_path / "out", clips_for(CONFIGS[name])
    assert run("export", [str(checkpoint), str(out), "--layout", layout]) == 0
    said = capsys.readouterr().out

    encoder = load_encoder(out)
    assert not encoder.training and torch.equal(encoder(clips), features(objective, clips))
    config = encoder.config
    assert (config.layout, config.objective, config.step, config.clips_seen) == (
        layout,
        name,
        7,
        14,
    )
    assert config.weights == (
        "average" if name in ("vjepa", "unisurg", "surgmotion") else "trained"
    )
    assert config.check is not None and config.check.largest_difference < 1e-5
    assert ("transformers" in config.check.read_by) is (layout == "transformers")
    assert f"of step_00000007 of {name}, for {layout}" in said
    assert f"features differ by at most {config.check.largest_difference:.2g}" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_has_the_same_features(
    name: str, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the line that the model card gives."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    checkpoint, objective = saved[name]
    export(checkpoint, tmp_path / "out", "transformers", averaged=True)
    kinds: dict[str, Any] = {
        "surgvista": transformers.AutoModel,
        "videomae": transformers.VideoMAEModel,
    }
    kind, options = (
        kinds.get(name, transformers.VJEPA2Model),
        {"trust_remote_code": True} if name in kinds else {},
    )
    theirs, loaded = kind.from_pretrained(tmp_path / "out", output_loading_info=True, **options)
    assert not any(loaded.values()), loaded
    clips = clips_for(CONFIGS[name])
    with torch.no_grad():
        found = theirs.eval()(clips.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(found, features(objective, clips), rtol=1e-5, atol=1e-5)


def test_code_that_comes_with_weights_runs_only_where_it_is_asked_for(
    saved: Saved, tmp_path: Path
) -> None:
    """Rather than another model with other positions."""
    export(saved["surgvista"][0], tmp_path / "out", "transformers", averaged=True)
    with pytest.raises(ValueError, match="trust_remote_code"):
        transformers.AutoModel.from_pretrained(tmp_path / "out", trust_remote_code=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["surgvista", "videomae", "vjepa"])
def test_the_processor_prepares_clips_as_ours(name: str, saved: Saved, tmp_path: Path) -> None:
    export(saved[name][0], tmp_path / "out", "transformers", averaged=True)
    encoder = load_encoder(tmp_path / "out")
    frames = smooth_frames(encoder.config.encoder.num_frames)
    if name == "vjepa":
        processor: Any = transformers.AutoVideoProcessor.from_pretrained(tmp_path / "out")
        prepared = processor(frames.permute(0, 3, 1, 2), return_tensors="pt")["pixel_values_videos"]
    else:
        processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
        prepared = processor(list(frames.numpy()), return_tensors="pt")["pixel_values"]
    difference = (prepared.transpose(1, 2) - encoder.prepare(frames)).abs()
    # They resize first and cut the square then: the same pixels but at its edge, up to a grey level, 1 / (255 x 0.225).
    assert difference.mean() < 0.02 and difference[..., 2:-2, 2:-2].max() < 0.15


def smooth_frames(num_frames: int) -> Tensor:
    """(T, 72, 108, 3) bytes without sharp edges."""
    noise = torch.rand(num_frames, 3, 9, 13, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(255 * noise, (72, 108), mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).to(torch.uint8)


def fine_tuned(encoder: EncoderConfig) -> Iterator[str]:
    """The encoder's weights in VideoMAE's `modeling_finetune.VisionTransformer` (14ef8d8) without mean pooling, and in
    SurgVISTA's `unifiedmodel.VisionTransformer` (00ae4bc) with `qkv_divided_bias`."""
    linear = ("weight", "bias")
    yield from (f"patch_embed.proj.{end}" for end in linear)
    for i in range(encoder.shape.depth):
        parts = [
            f"{part}.{end}"
            for part in ("norm1", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
            for end in linear
        ]
        yield from (
            f"blocks.{i}.{part}"
            for part in (*parts, "attn.q_bias", "attn.v_bias", "attn.qkv.weight")
        )
    yield from (f"norm.{end}" for end in linear)


def test_videomaes_fine_tuning_takes_every_weight(saved: Saved, tmp_path: Path) -> None:
    """`run_class_finetuning.py` (14ef8d8) looks for `model` or `module` and strips `backbone.` or `encoder.`; SurgRec's
    (25d01e4) too."""
    export(saved["videomae"][0], tmp_path / "out", "videomae", averaged=True)
    content = torch.load(tmp_path / "out" / "model.pth")
    names = [name.removeprefix("encoder.") for name in content["model"]]
    assert sorted(names) == sorted(fine_tuned(CONFIGS["videomae"].encoder))
    assert content["model"]["encoder.patch_embed.proj.weight"].shape == (32, 3, 2, 8, 8)


def test_surgvistas_fine_tuning_takes_every_weight(saved: Saved, tmp_path: Path) -> None:
    """`unifiedmodel.init_` (00ae4bc) looks for `model` and cuts eight letters off what begins with `encoder`."""
    export(saved["surgvista"][0], tmp_path / "out", "surgvista", averaged=True)
    content = torch.load(tmp_path / "out" / "model.pth")
    names = [name[8:] if name.startswith("encoder") else name for name in content["model"]]
    assert sorted(names) == sorted(fine_tuned(CONFIGS["surgvista"].encoder))
    assert content["model"]["patch_embed.proj.weight"].shape == (48, 3, 2, 16, 16)


def vjepa_blocks(stack: str, depth: int) -> Iterator[str]:
    """The weights of blocks of V-JEPA 2's `src.models.utils.modules.Block` (c2963a4)."""
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    return (
        f"{stack}.{i}.{part}.{end}"
        for i in range(depth)
        for part in parts
        for end in ("weight", "bias")
    )


@pytest.mark.parametrize("name", ["vjepa", "unisurg", "surgmotion"])
def test_v_jepas_loaders_take_every_weight(name: str, saved: Saved, tmp_path: Path) -> None:
    """`src/hub/backbones.py` (c2963a4) looks for `encoder` and `predictor`, evals for a key such as `target_encoder`;
    both strip `module.` and `backbone.`."""
    config: Any = CONFIGS[name]
    export(saved[name][0], tmp_path / "out", "vjepa2", averaged=True)
    content = {
        network: {
            key.replace("module.", "").replace("backbone.", ""): tensor
            for key, tensor in state.items()
        }
        for network, state in torch.load(tmp_path / "out" / "model.pt").items()
    }
    encoder = {*vjepa_blocks("blocks", config.encoder.shape.depth)}
    encoder |= {
        f"{part}.{end}" for part in ("patch_embed.proj", "norm") for end in ("weight", "bias")
    }
    predictor = {*vjepa_blocks("predictor_blocks", config.predictor.depth)}
    predictor |= {
        f"predictor_{part}.{end}"
        for part in ("embed", "norm", "proj")
        for end in ("weight", "bias")
    }
    predictor |= {f"mask_tokens.{i}" for i in range(config.predictor.num_mask_tokens)}
    assert {network: set(state) for network, state in content.items()} == {
        "encoder": encoder, "target_encoder": encoder, "predictor": predictor,
    }  # fmt: skip
    assert all(
        torch.equal(content["encoder"][key], content["target_encoder"][key]) for key in encoder
    )


@pytest.mark.parametrize(
    ("name", "layout", "fitting"),
    [
        ("surgvista", "vjepa2", "surgstream or transformers or surgvista"),
        ("videomae", "surgvista", "surgstream or transformers or videomae"),
        ("vjepa", "videomae", "surgstream or transformers or vjepa2"),
    ],
)
def test_a_layout_without_a_place_for_the_encoder_is_refused(
    name: str, layout: Any, fitting: str, saved: Saved, tmp_path: Path
) -> None:
    with pytest.raises(
        ModelError, match=rf"--layout: expected {fitting}, which have a place .* got {layout}"
    ):
        export(saved[name][0], tmp_path / "out", layout, averaged=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["transformers", "vjepa2"])
def test_readers_that_want_a_predictor_are_not_given_an_encoder_alone(layout: Any) -> None:
    rotary = replace(VIDEOMAE_TINY, encoder=replace(VIDEOMAE_TINY.encoder, positions="rope"))
    with pytest.raises(
        ModelError, match=r"expected surgstream, which have a place for .* positions and no predic"
    ):
        form_for(layout, rotary)


@pytest.mark.parametrize("layout", ["transformers", "vjepa2"])
def test_readers_are_not_given_a_predictor_of_features_of_another_width(layout: Any) -> None:
    with pytest.raises(ModelError, match=r"expected surgstream, which have a place for"):
        form_for(layout, SALT_TINY)


@pytest.mark.parametrize("layout", ["transformers", "vjepa2"])
@pytest.mark.parametrize("of_2_1", ["levels", "images", "context"])
def test_readers_of_v_jepa_2_are_not_given_what_only_2_1_has(layout: Any, of_2_1: str) -> None:
    encoder = VJEPA_TINY.encoder
    changes: dict[str, dict[str, Any]] = {
        "levels": {"encoder": replace(encoder, levels=(1, encoder.shape.depth))},
        "images": {"encoder": replace(encoder, images=True), "images": ImagesConfig(share=0.5)},
        "context": {"context": ContextConfig()},
    }
    with pytest.raises(ModelError, match=r"expected surgstream, which have a place for"):
        form_for(layout, replace(VJEPA_TINY, **changes[of_2_1]))


def test_what_fits_is_what_the_tests_say() -> None:
    for name, config in CONFIGS.items():
        fits = [layout for layout, forms in FORMS.items() if config.encoder.positions in forms]
        assert fits == list(FITTING[name])
