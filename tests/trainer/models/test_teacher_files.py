"""Files of teachers' weights as people have them: each loads whole, or a sentence says what it is."""

import argparse
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import TeacherConfig
from surgstream.trainer.models.images.teacher import load_teacher
from surgstream.trainer.models.images.timm_vit import timm  # by its one door
from tests.helpers.teachers import GRID, MODEL, last_block_patches, saved, vit

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def trained() -> Any:
    return vit()


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def without(state: State, *starts: str) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith(starts)}


def other(state: State) -> State:
    """Another network with the same names."""
    return {name: tensor + 1 for name, tensor in state.items()}


def like_mae(state: State) -> State:
    """A pretraining file of MAE's, decoder and all."""
    decoder = ("embed.weight", "blocks.0.attn.qkv.bias", "norm.weight", "pred.bias")
    return {
        **state,
        **{f"decoder_{name}": torch.ones(3) for name in decoder},
        "decoder_pos_embed": torch.ones(1, 17, 8),
    }


def in_chunks(state: State) -> State:
    """Blocks in two chunks, numbered through."""
    return {
        re.sub(r"^blocks\.(\d)\.", lambda m: f"blocks.{int(m[1]) // 3}.{m[1]}.", name): t
        for name, t in state.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "args": argparse.Namespace(lr=1e-3), "epoch": 3},
        lambda state: {"state_dict": under("module.encoder.", state)},
        lambda state: {"teacher": under("backbone.", state), "student": other(state)},
        lambda state: {"target_encoder": under("module.", state), "encoder": {}},
        lambda state: {
            "state_dict": {
                "model": {**state, "fc.fc1.weight": torch.zeros(3), "mask_token": torch.zeros(1)}
            }
        },
        lambda state: without(state, "norm.", "head."),
        lambda state: under("_orig_mod.", state),
        lambda state: under("module._orig_mod.", state),
        lambda state: {
            re.sub(r"^(blocks\.\d)", r"\1._orig_mod", name): tensor
            for name, tensor in state.items()
        },
        lambda state: {
            "state_dict": under("model.", state),
            "hyper_parameters": {"lr": 1.0},
            "loops": {"state": {}},
        },
        lambda state: {
            "state_dict": {
                **under("teacher.backbone.", state),
                **under("student.backbone.", other(state)),
            }
        },
        lambda state: {
            "model": other(state),
            "model_ema": state,
            "optimizer": {"state": {0: {"exp_avg": state}}},
        },
        lambda state: {"state_dict": other(state), "state_dict_ema": under("module.", state)},
        lambda state: {"module": other(state), "ema": {"module": state}},
        lambda state: {
            "teacher": {**under("backbone.", state), "dino_head.mlp.0.weight": torch.zeros(2, 2)}
        },
        lambda state: {
            **state,
            "dino_head.last_layer.weight_g": torch.zeros(2),
            "ibot_head.mlp.0.bias": torch.zeros(1),
        },
        lambda state: {"model": {**like_mae(state), "mask_token": torch.zeros(1, 1, 8)}},
        in_chunks,
    ],
)
def test_weights_come_out_of_common_wrappings(
    tmp_path: Path, trained: Any, wrap: Callable[[State], dict[str, Any]]
) -> None:
    teacher = saved(tmp_path / "weights.pth", wrap(trained.state_dict()))
    for name, tensor in teacher.model.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name])


def test_safetensors_and_half_precision_files_load(tmp_path: Path, trained: Any) -> None:
    half = {name: tensor.half() for name, tensor in trained.state_dict().items()}
    teacher = saved(tmp_path / "weights.safetensors", half)
    for name, tensor in teacher.model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, half[name].float())


def test_weights_of_another_architecture_are_refused_key_by_key(
    tmp_path: Path, trained: Any
) -> None:
    state = trained.state_dict()
    del state["blocks.5.mlp.fc1.bias"]
    state["blocks.0.attn.qkv.weight"] = torch.zeros(3, 3)
    state |= {f"blocks.{i}.norm1.weight": torch.zeros(64) for i in range(6, 10)}
    with pytest.raises(ModelError) as raised:
        saved(tmp_path / "weights.pth", state)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(
        f"teacher.weights: {tmp_path / 'weights.pth'}: expected the 76 tensors of {MODEL}"
    )
    assert message.endswith(
        "teacher.model is a ViT of 6 blocks with an embedding of patches (64, 3, 16, 16), "
        "the weights are of a ViT of 10 blocks with an embedding of patches (64, 3, 16, 16)"
    )
    assert "1 missing from the file (blocks.5.mlp.fc1.bias)" in message
    assert (
        "4 not of this model (blocks.6.norm1.weight, blocks.7.norm1.weight, blocks.8.norm1.weight, ...)"
        in message
    )
    assert "1 of another shape (blocks.0.attn.qkv.weight (3, 3) instead of (192, 64))" in message


def test_an_image_size_that_is_not_the_weights_is_refused(tmp_path: Path, trained: Any) -> None:
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    config = TeacherConfig(model=MODEL, image_size=160, weights=str(tmp_path / "weights.pth"))
    with pytest.raises(
        ModelError, match=r"image_size: expected 64, as these weights have 4 x 4 positions, got 160"
    ):
        load_teacher(config, GRID, seed=0)


def test_of_several_networks_in_one_file_one_is_named(tmp_path: Path, trained: Any) -> None:
    state, path = trained.state_dict(), tmp_path / "weights.pth"
    torch.save(
        {"state_dict": {**under("encoder_q.", state), **under("encoder_k.", other(state))}}, path
    )

    def load(prefix: str | None = None) -> Any:
        return load_teacher(
            TeacherConfig(model=MODEL, weights=str(path), prefix=prefix), GRID, seed=0
        ).model

    with pytest.raises(
        ModelError,
        match=r"one network, got those behind 'state_dict\.encoder_q\.', 'state_dict\.encoder_k\.'; set teacher\.pref",
    ):
        load()
    for prefix, expected in (
        ("state_dict.encoder_q", state),
        ("state_dict.encoder_k.", other(state)),
    ):
        assert torch.equal(load(prefix).cls_token, expected["cls_token"])
    with pytest.raises(
        ModelError,
        match=r"expected teacher\.prefix to be one of 'state_dict\.encoder_q\.', .* got 'enc",
    ):
        load("encoder_q")


def test_a_prefix_chooses_what_is_not_averaged(
    tmp_path: Path, trained: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state, path = trained.state_dict(), tmp_path / "weights.pth"
    torch.save({"model": other(state), "model_ema": state}, path)
    with caplog.at_level(logging.INFO):
        load_teacher(TeacherConfig(model=MODEL, weights=str(path)), GRID, seed=0)
    assert "takes 'model_ema.' of 'model.', 'model_ema.'" in caplog.text
    teacher = load_teacher(
        TeacherConfig(model=MODEL, weights=str(path), prefix="model"), GRID, seed=0
    )
    assert torch.equal(teacher.model.cls_token, other(state)["cls_token"])


def test_what_is_no_image_vit_says_what_it_is(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"layers.0.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}},
        tmp_path / "weights.pth",
    )
    config = TeacherConfig(model=MODEL, weights=str(tmp_path / "weights.pth"))
    with pytest.raises(
        ModelError,
        match=r"an image ViT, patch_embed.proj.weight among them, got .* 'state_dict.layers'",
    ):
        load_teacher(config, GRID, seed=0)


@pytest.mark.parametrize("adapter", ["lora_A.default.weight", "lora_B.weight", "base_layer.weight"])
def test_an_adapter_is_refused_by_name(tmp_path: Path, trained: Any, adapter: str) -> None:
    name = f"base_model.model.blocks.0.attn.qkv.{adapter}"
    with pytest.raises(
        ModelError,
        match=rf"got an adapter's \(LoRA, PEFT\), {re.escape(name)}; merge it into its model",
    ):
        saved(tmp_path / "weights.pth", {**trained.state_dict(), name: torch.zeros(2, 2)})


def test_what_lies_beside_the_weights_is_refused_by_name(tmp_path: Path, trained: Any) -> None:
    with pytest.raises(
        ModelError,
        match=r"which holds numpy\S+scalar as well; where you trust it, save its weights",
    ):
        saved(
            tmp_path / "weights.pth",
            {"model": trained.state_dict(), "best_accuracy": np.float64(0.9)},
        )


def test_a_file_that_holds_itself_is_read_once(tmp_path: Path, trained: Any) -> None:
    content = {"model": trained.state_dict()}
    content["again"] = content
    assert saved(tmp_path / "weights.pth", content).embed_dim == 64


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"these are no weights\n"])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, suffix: str, content: bytes | None
) -> None:
    path = tmp_path / f"weights.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as raised:
        load_teacher(TeacherConfig(model=MODEL, weights=str(path)), GRID, seed=0)
    message = str(raised.value)
    assert str(path) in message and "\n" not in message
    assert ("No such file" in message) == (content is None)


def test_code_in_a_weights_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": ModelError("anything but tensors")}, tmp_path / "weights.pth")
    with pytest.raises(
        ModelError,
        match=r"nothing to run, got .* which holds surgstream\.trainer\.errors\.ModelError as well",
    ):
        load_teacher(
            TeacherConfig(model=MODEL, weights=str(tmp_path / "weights.pth")), GRID, seed=0
        )


def test_a_file_without_named_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"expected named tensors in .*, got a list"):
        load_teacher(
            TeacherConfig(model=MODEL, weights=str(tmp_path / "weights.pth")), GRID, seed=0
        )


def like_surgvista(model: Any, generator: torch.Generator) -> State:
    """Weights as SurgVISTA's teacher has them: queries, keys and values apart, and no row for the class token."""
    state = {
        name: torch.randn(t.shape, generator=generator) / 8
        for name, t in without(model.state_dict(), "head").items()
    }
    state["pos_embed"] = state["pos_embed"][:, 1:]
    for i in range(len(model.blocks)):
        for kind in ("weight", "bias"):
            parts = state.pop(f"blocks.{i}.attn.qkv.{kind}").chunk(3)
            state |= {
                f"blocks.{i}.attn.{part}.{kind}": t for part, t in zip("qkv", parts, strict=True)
            }
    return state


def surgvista_teacher(state: State, image: Tensor, depth: int, heads: int, eps: float) -> Tensor:
    """Its forward pass, patch by patch and head by head: positions are for patches, and there is no final norm."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].flatten(1).T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + eps).sqrt() * state[f"{name}.weight"] + state[
            f"{name}.bias"
        ]

    rows = [
        image[:, y : y + 16, x : x + 16].flatten()
        for y in range(0, 64, 16)
        for x in range(0, 64, 16)
    ]
    patches = linear(torch.stack(rows), "patch_embed.proj") + state["pos_embed"][0]
    x = torch.cat([state["cls_token"][0], patches])
    for i in range(depth):
        y = norm(x, f"blocks.{i}.norm1")
        q, k, v = (linear(y, f"blocks.{i}.attn.{part}").chunk(heads, dim=1) for part in "qkv")
        mixed = [(q[h] @ k[h].T / math.sqrt(q[h].shape[1])).softmax(1) @ v[h] for h in range(heads)]
        x = x + linear(torch.cat(mixed, dim=1), f"blocks.{i}.attn.proj")
        y = linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")
        x = x + linear(0.5 * y * (1 + torch.erf(y / math.sqrt(2))), f"blocks.{i}.mlp.fc2")
    return x[1:]


@pytest.mark.slow
def test_surgvistas_converted_teacher_has_the_features_of_its_own_code(
    tmp_path: Path, trained: Any
) -> None:
    state = like_surgvista(trained, torch.Generator().manual_seed(3))
    torch.save({**state, "head.weight": torch.zeros(2, 64)}, tmp_path / "teacher.pth")
    frames = torch.rand(1, 3, 2, 64, 64)

    def features(norm_eps: float | None) -> Tensor:
        config = TeacherConfig(
            model=MODEL, weights=str(tmp_path / "teacher.pth"), norm_eps=norm_eps
        )
        return load_teacher(config, GRID, seed=0)(frames)[0, :16]

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = (frames[0, :, 0] - mean[:, None, None]) / std[:, None, None]
    expected = surgvista_teacher(
        state, image, len(trained.blocks), trained.blocks[0].attn.num_heads, eps=1e-5
    )
    torch.testing.assert_close(features(1e-5), expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(features(None), features(1e-5)), "timm's own epsilon is another one"


def test_half_a_layer_is_refused(tmp_path: Path, trained: Any) -> None:
    state = like_surgvista(trained, torch.Generator().manual_seed(3))
    del state["blocks.2.attn.k.bias"]
    with pytest.raises(
        ModelError,
        match=r"expected the other parts of blocks.2.attn.qkv.bias, blocks.2.attn.k.bias is mi",
    ):
        saved(tmp_path / "weights.pth", state)


def test_scales_of_branches_are_multiplied_in(tmp_path: Path, trained: Any) -> None:
    """DINOv2 trains ViTs with them that timm has without."""
    scaled = timm.create_model(MODEL, num_classes=0, img_size=64, init_values=0.5).eval()
    with torch.no_grad():
        for parameter in scaled.parameters():
            parameter.copy_(
                torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())
                )
                / 8
            )
    teacher = saved(tmp_path / "weights.pth", scaled.state_dict())
    image = torch.rand(3, 64, 64)
    features = teacher.model.forward_intermediates(
        image[None], indices=1, norm=False, output_fmt="NLC", intermediates_only=True
    )[0][0]
    torch.testing.assert_close(features, last_block_patches(scaled, image), rtol=1e-4, atol=1e-4)
