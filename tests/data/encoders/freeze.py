"""Freezes features of each family's public code: `python freeze.py CLONES OUT`; see README.md.

CLONES holds a clone of each repository by its own name, at the commit that README.md names. Nothing of theirs is here:
their classes are imported from there, made tiny, given made-up weights, and asked for the features of two clips.
"""

import importlib
import sys
import types
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FRAMES, SIDE, PATCH, WIDTH, DEPTH, HEADS = 16, 24, 8, 32, 2, 2
NUM_TOKENS = FRAMES // 2 * (SIDE // PATCH) ** 2
NORM = partial(nn.LayerNorm, eps=1e-6)


def imported(root: Path, name: str, parts: tuple[str, ...] = ()) -> Any:
    """A module of a clone; what other clones call the same is forgotten before."""
    for known in list(sys.modules):
        if known.split(".")[0] in (name.split(".")[0], *parts):
            del sys.modules[known]
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(root))


@torch.no_grad()
def made_up(model: nn.Module, seed: int) -> Any:
    """Other weights, none of them zero or one, which half precision has exactly; positions stay as they are."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "pos_embed" not in name:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter.half().float())
    return model.eval()


def halved(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().half() for name, tensor in model.state_dict().items()}


def clips_of(frames: np.ndarray) -> Tensor:
    mean, std = (torch.tensor(numbers) for numbers in IMAGENET)
    normalised = (torch.from_numpy(frames).float() / 255 - mean) / std
    return normalised.permute(0, 4, 1, 2, 3).contiguous()


def pictures() -> np.ndarray:
    """Two clips (2, T, H, W, 3) uint8 of noise."""
    return np.random.default_rng(0).integers(0, 256, (2, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)


def videomae(root: Path, clips: Tensor) -> dict[str, tuple[dict[str, Any], Tensor]]:
    module = imported(root, "modeling_pretrain", ("modeling_finetune",))
    model = module.PretrainVisionTransformer(
        img_size=SIDE, patch_size=PATCH, encoder_embed_dim=WIDTH, encoder_depth=DEPTH, encoder_num_heads=HEADS,
        decoder_num_classes=3 * 2 * PATCH**2, decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=1,
        qkv_bias=True, norm_layer=NORM,
    )  # fmt: skip
    made_up(model, 1)
    nothing = torch.zeros(len(clips), NUM_TOKENS, dtype=torch.bool)
    tokens = model.encoder.forward_features(clips, nothing)

    tuned = imported(root, "modeling_finetune").VisionTransformer(
        img_size=SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, qkv_bias=True,
        norm_layer=NORM, num_classes=7, all_frames=FRAMES, init_scale=0.001,
    )  # fmt: skip
    made_up(tuned, 2)
    return {
        "videomae": ({"model": halved(model)}, tokens),
        "videomae_finetuned": ({"module": halved(tuned)}, tuned.forward_features(clips)),
    }


def surgvista(root: Path, clips: Tensor) -> dict[str, tuple[dict[str, Any], Tensor]]:
    # Its modules import each other from places of the authors' machine, and from a name that the folder no longer has.
    parts = imported(root, "pretrain_SurgVISTA.utils_")
    package = types.ModuleType("pretrain_SurgMAEKD")
    sys.modules |= {"pretrain_SurgMAEKD": package, "pretrain_SurgMAEKD.utils_": parts}
    module = imported(root, "pretrain_SurgVISTA.modeling_surgery_student")
    model = module.PretrainMaskedVideoStudent(
        img_size=SIDE, patch_size=PATCH, encoder_embed_dim=WIDTH, encoder_depth=DEPTH, encoder_num_heads=HEADS,
        decoder_num_classes=3 * 2 * PATCH**2, decoder_embed_dim=16, decoder_depth_video=1, decoder_num_heads=1,
        decoder_depth_image=1, feat_decoder_embed_dim=16, feat_decoder_num_heads=1, target_feature_dim=16,
        qkv_bias=True, norm_layer=NORM, num_frames=FRAMES,
    )  # fmt: skip
    made_up(model, 3)
    nothing = torch.zeros(len(clips), NUM_TOKENS, dtype=torch.bool)
    tokens = model.forward_encoder(clips, nothing)

    sys.modules["utils"] = types.ModuleType("utils")  # imported, and not used by the model
    unified = imported(root, "downstream.model.unifiedmodel")
    tuned = unified.VisionTransformer(
        img_size=SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, norm_layer=NORM,
        num_classes=7, all_frames=FRAMES, init_scale=0.001, st=True,
    )  # fmt: skip
    made_up(tuned, 4)
    return {
        "surgvista": ({"model": halved(model)}, tokens),
        "surgvista_finetuned": ({"module": halved(tuned)}, tuned.forward_features(clips)),
    }


def jepa(root: Path, seed: int) -> Any:
    vit = imported(root, "src.models.vision_transformer")
    model = vit.VisionTransformer(
        img_size=(SIDE, SIDE), patch_size=PATCH, num_frames=FRAMES, tubelet_size=2, embed_dim=WIDTH, depth=DEPTH,
        num_heads=HEADS, norm_layer=NORM, use_rope=True, uniform_power=True,
    )  # fmt: skip
    return made_up(model, seed)


def jepa_2_1(root: Path, seed: int) -> Any:
    vit = imported(root, "app.vjepa_2_1.models.vision_transformer", ("src",))
    # Its levels are known for depths of published sizes alone.
    model = vit.VisionTransformer(
        img_size=(SIDE, SIDE), patch_size=PATCH, num_frames=FRAMES, tubelet_size=2, embed_dim=WIDTH, depth=12,
        num_heads=HEADS, norm_layer=NORM, use_rope=True, interpolate_rope=True, img_temporal_dim_size=1,
    )  # fmt: skip
    model.blocks = model.blocks[:DEPTH]
    model.out_layers_distillation = []
    for block in model.blocks:
        # It is set for patches of 14 and 16 pixels alone, to those of 256 pixels.
        block.attn.pretrained_grid_size = 256 // PATCH
    return made_up(model, seed)


def wrapped(model: nn.Module) -> dict[str, Tensor]:
    return {f"module.backbone.{name}": tensor for name, tensor in halved(model).items()}


def main(clones: Path, out: Path) -> None:
    frames = pictures()
    clips = clips_of(frames)
    trained = jepa(clones / "vjepa2", 5)
    target = jepa(clones / "vjepa2", 6)
    surgmotion = jepa(clones / "SurgMotion", 7)
    later, later_average = (jepa_2_1(clones / "vjepa2_1", seed) for seed in (8, 9))

    with torch.no_grad():
        made = videomae(clones / "VideoMAE", clips) | surgvista(clones / "SurgVISTA", clips)
        made["vjepa2"] = (
            {"encoder": wrapped(trained), "target_encoder": wrapped(target), "epoch": 1},
            target(clips),
        )
        made["surgmotion"] = ({"encoder": wrapped(surgmotion)}, surgmotion(clips))
        made["vjepa2_1"] = (
            {"encoder": wrapped(later), "ema_encoder": wrapped(later_average)},
            later_average(clips),
        )

    features = {}
    for name, (content, tokens) in made.items():
        torch.save(content, out / f"{name}.pth")
        features[name] = tokens.numpy()
    np.savez_compressed(out / "features.npz", frames=frames, **features)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # torchvision, which timm imports, lacks these beside a CPU-only torch.
    import surgstream.trainer.models.images.timm_vit  # noqa: F401

    main(Path(sys.argv[1]), Path(sys.argv[2]))
