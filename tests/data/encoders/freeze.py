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


def jepa_2_1_in_training(root: Path, clips: Tensor) -> tuple[Any, dict[str, Tensor]]:
    """Encoder and predictor with four levels, and what they make of some tokens, of clips and of images."""
    vit = imported(root, "app.vjepa_2_1.models.vision_transformer", ("src",))
    encoder = vit.VisionTransformer(
        img_size=(SIDE, SIDE), patch_size=PATCH, num_frames=FRAMES, tubelet_size=2, embed_dim=WIDTH, depth=12,
        num_heads=HEADS, norm_layer=NORM, use_rope=True, interpolate_rope=True, img_temporal_dim_size=1,
    )  # fmt: skip
    encoder.blocks = encoder.blocks[:4]
    encoder.hierarchical_layers = encoder.out_layers_distillation = [0, 1, 2, 3]

    predicting = imported(root, "app.vjepa_2_1.models.predictor", ("src",))
    predictor = predicting.VisionTransformerPredictor(
        img_size=(SIDE, SIDE), patch_size=PATCH, num_frames=FRAMES, tubelet_size=2, embed_dim=WIDTH, depth=4,
        predictor_embed_dim=16, num_heads=HEADS, norm_layer=NORM, use_rope=True, interpolate_rope=True,
        img_temporal_dim_size=1, use_mask_tokens=True, num_mask_tokens=3, return_all_tokens=True,
    )  # fmt: skip
    for model, seed in ((encoder, 10), (predictor, 11)):
        made_up(model, seed)
        for block in [*getattr(model, "blocks", []), *getattr(model, "predictor_blocks", [])]:
            block.attn.pretrained_grid_size = 256 // PATCH

    found = {}
    for kind, seen, tokens in (("video", clips, NUM_TOKENS), ("image", clips[:, :, :1], 9)):
        order = torch.from_numpy(
            np.random.default_rng(1).permuted(np.tile(np.arange(tokens), (2, 1)), axis=1)
        )
        visible, masked = order[:, : tokens // 3], order[:, tokens // 3 : tokens // 3 + 5]
        levels = encoder(seen, [visible], training=True)
        of_masked, of_visible = predictor(levels, [visible], [masked], mod=kind, mask_index=1)
        found |= {
            f"{kind}_visible": visible, f"{kind}_masked": masked, f"{kind}_levels": levels,
            f"{kind}_of_masked": of_masked, f"{kind}_of_visible": of_visible,
        }  # fmt: skip
    content = {"encoder": wrapped(encoder), "predictor": wrapped(predictor), "epoch": 1}
    return content, found


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

        training, found = jepa_2_1_in_training(clones / "vjepa2_1", clips)

    torch.save(training, out / "vjepa2_1_training.pth")
    features = {f"vjepa2_1_training_{name}": tensor.numpy() for name, tensor in found.items()}
    for name, (content, tokens) in made.items():
        torch.save(content, out / f"{name}.pth")
        features[name] = tokens.numpy()
    np.savez_compressed(out / "features.npz", frames=frames, **features)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # torchvision, which timm imports, lacks these beside a CPU-only torch.
    import surgstream.trainer.models.images.timm_vit  # noqa: F401

    main(Path(sys.argv[1]), Path(sys.argv[2]))
