"""Files of weights in which names, shapes and nesting are others: a network that fits, or a sentence."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from surgstream.configs.errors import ConfigError
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.errors import ModelError
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.models.config import Grid, TeacherConfig
from surgstream.trainer.models.images.teacher import load_teacher
from surgstream.trainer.models.images.timm_vit import timm
from surgstream.trainer.models.published import LAYOUTS
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import ObjectiveConfig
from surgstream.trainer.warm_start import warm_start
from tests.fuzz.damage import altered, cases
from tests.trainer.objectives.test_surgvista import TINY as SURGVISTA
from tests.trainer.objectives.test_videomae import TINY as VIDEOMAE
from tests.trainer.objectives.test_vjepa import TINY as VJEPA

OBJECTIVES: dict[str, ObjectiveConfig] = {
    "videomae": VIDEOMAE, "surgvista": SURGVISTA, "vjepa2": VJEPA, "transformers_videomae": VIDEOMAE,
}  # fmt: skip
WORDS = [
    "",
    ".",
    "blocks",
    "blocks.0",
    "0",
    "module.",
    "teacher.",
    "encoder.",
    "patch_embed.proj.weight",
    "pos_embed",
]
WORDS += [
    "attn.qkv.bias",
    "attn.q.weight",
    "attn.v.bias",
    "ls1.gamma",
    "mask_token",
    "register_tokens",
    "fc_norm.bias",
]
WORDS += ["storage_tokens", "mask_tokens.0", "_orig_mod.", "lora_A.weight", "\x1b[2J"]
SHAPES = [
    (),
    (0,),
    (1,),
    (7,),
    (64,),
    (192,),
    (1, 1),
    (64, 64),
    (1, 26, 64),
    (1, 10**6, 8),
    (64, 3, 16, 16),
    (2, 2, 2),
]


@st.composite
def others(draw: st.DrawFn, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Weights in which up to four tensors are missing, or have other names or shapes, under up to two keys."""
    weights = dict(weights)
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(sorted(weights)))
        tensor = weights.pop(name)
        match draw(st.sampled_from(["missing", "renamed", "shaped", "doubled"])):
            case "renamed":
                weights[draw(st.sampled_from(WORDS)) + draw(st.sampled_from([name, ""]))] = tensor
            case "shaped":
                weights[name] = torch.zeros(draw(st.sampled_from(SHAPES)))
            case "doubled":
                start = draw(st.sampled_from(WORDS))
                weights |= {f"{start}{key}": value for key, value in weights.items()} | {
                    name: tensor
                }
        if not weights:
            break
    content: dict[str, Any] = weights
    for key in draw(
        st.lists(st.sampled_from(["model", "teacher", "encoder", "", "a.b", "ema"]), max_size=2)
    ):
        content = {
            key: content,
            "other": draw(st.sampled_from([{}, weights, torch.zeros(1), None])),
        }
    return content


@functools.cache
def image_weights() -> dict[str, Tensor]:
    model = timm.create_model("test_vit", num_classes=0, img_size=64)
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@functools.cache
def video_weights(layout: str) -> dict[str, Tensor]:
    config = OBJECTIVES[layout]
    state = {name: p.detach() for name, p in choice.build(config, seed=0).named_parameters()}
    return LAYOUTS[layout].export(state, config.encoder)


@cases(25)
@given(st.data())
def test_a_teacher_is_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory, data.draw(others(image_weights())))
    prefix = data.draw(st.sampled_from([None, "", "model", "teacher."]))
    try:
        teacher = load_teacher(
            TeacherConfig(model="test_vit", weights=str(path), prefix=prefix), Grid(1, 2, 2), seed=0
        )
    except ModelError as error:
        assert "\n" not in str(error)
    else:
        assert teacher(torch.rand(1, 3, 1, 32, 32)).isfinite().all()


@pytest.mark.parametrize("layout", OBJECTIVES)
@cases(10)
@given(st.data())
def test_a_run_begins_or_a_file_is_refused(
    layout: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory, data.draw(others(video_weights(layout))))
    parts = data.draw(st.sampled_from(["all", "encoder"]))
    settings = WarmStartConfig(weights=str(path), layout=layout, parts=parts)  # type: ignore[arg-type]
    config = OBJECTIVES[layout]
    try:
        warm_start(settings, choice.build_on_meta(config), config.encoder)
    except ModelError as error:
        assert "\n" not in str(error)


def write(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("layout", OBJECTIVES)
@cases(10)
@given(st.data())
def test_a_frozen_encoder_is_whole_or_refused(
    layout: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory, data.draw(others(video_weights(layout))))
    asked = data.draw(st.sampled_from([layout, layout, "auto", *LAYOUTS]))
    shape = data.draw(st.sampled_from([OBJECTIVES[layout].encoder, None]))
    frozen_or_refused(path, FrozenConfig(layout=asked, shape=shape))


@cases(15)
@given(st.data())
def test_a_frozen_image_model_is_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory, data.draw(others(image_weights())))
    model = data.draw(st.sampled_from(["test_vit", "test_vit", "test_vit3", "test_resnet"]))
    size = data.draw(st.sampled_from([None, 64, 1]))
    frozen_or_refused(path, FrozenConfig(layout="timm", model=model, image_size=size))


@cases(40)
@given(st.data())
def test_a_folder_of_others_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    numbers = {
        "model_type": "videomae", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 48, "num_frames": 4, "patch_size": 8, "layer_norm_eps": 1e-6,
    }  # fmt: skip
    image = {"architecture": "test_vit", "pretrained_cfg": {"tag": "r160_in1k"}}
    described = data.draw(altered(data.draw(st.sampled_from([numbers, image]))))
    folder = tmp_path_factory.mktemp("folder")
    save_file(video_weights("transformers_videomae"), folder / "model.safetensors")
    try:
        (folder / "config.json").write_text(json.dumps(described))
    except (ValueError, UnicodeError):
        return
    frozen_or_refused(folder, FrozenConfig())


def frozen_or_refused(path: Path, config: FrozenConfig) -> None:
    try:
        encoder = load_frozen(str(path), config, seed=0)
    except (ModelError, ConfigError) as error:
        assert "\n" not in str(error)
    else:
        shape = (1, 3, encoder.num_frames, encoder.image_size, encoder.image_size)
        assert encoder.grid.num_tokens > 4096 or encoder.pooled(torch.rand(shape)).isfinite().all()
