"""A tiny image ViT as a teacher."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from surgstream.trainer.models.config import Grid, TeacherConfig
from surgstream.trainer.models.images.teacher import Teacher, load_teacher
from surgstream.trainer.models.images.timm_vit import timm

# timm's own model for tests: 64 wide, 6 blocks, patches of 16, a class token; 160 pixels unless told otherwise.
MODEL = "test_vit"
GRID = Grid(2, 4, 4)


def vit() -> Any:
    """A timm model with all it has, norm and head included, at the clips' size of 64 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return timm.create_model(MODEL, num_classes=10, img_size=64).eval()


def saved(path: Path, content: dict[str, Any]) -> Teacher:
    """The teacher that a file makes."""
    (save_file if path.suffix == ".safetensors" else torch.save)(content, path)
    return load_teacher(TeacherConfig(model=MODEL, image_size=64, weights=str(path)), GRID, seed=0)


def last_block_patches(model: Any, image: Tensor) -> Tensor:
    """What the last block puts out for one image (C, H, W), without the class token, by way of a hook."""
    seen: list[Tensor] = []
    handle = model.blocks[-1].register_forward_hook(
        lambda _module, _input, output: seen.append(output)
    )
    with torch.no_grad():
        model(image[None])
    handle.remove()
    return seen[0][0, model.num_prefix_tokens :]
