"""Exported files, loaded by the code of those who publish such models, from clones of their repositories.

`benchmarks.experiments.exports` runs this file, in an environment with the timm that they need, once for each
loader, as

    python public_loaders.py LOADER CLONE FILE MATERIAL

It imports nothing of ours, and prints a line of JSON. What their modules import and do not use here is stubbed.
"""

import ast
import json
import math
import sys
import types
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import layer_norm


def main() -> None:
    """Load, count and compare."""
    loader, clone, file, material = sys.argv[1:]
    _stub()
    sys.path.insert(0, clone)
    content = torch.load(material, weights_only=True)

    model, weights = LOADERS[loader](Path(clone), file)
    state = model.state_dict()

    # By value, since loaders rename what they take
    taken = {
        name
        for name, tensor in weights.items()
        if any(_same(tensor, other) for other in state.values())
    }
    new = [
        name
        for name, tensor in state.items()
        if not any(_same(tensor, given) for given in weights.values())
    ]

    tokens = _tokens(model, content)
    print(
        json.dumps(
            {
                "loader": loader,
                "tensors": len(weights),
                "taken": len(taken),
                "not_taken": sorted(weights.keys() - taken),
                "new_in_model": new,
                "largest_difference": float((tokens - content["tokens"]).abs().max()),
            }
        )
    )


def _tokens(model: Any, content: dict[str, Any]) -> torch.Tensor:
    """The tokens that their encoder makes of the clip, caught where they are made.

    A model that pools has no norm before that: it is put after its last block, as the file has it.
    """
    pools = isinstance(model.norm, torch.nn.Identity)
    caught: list[torch.Tensor] = []
    (model.blocks[-1] if pools else model.norm).register_forward_hook(
        lambda _module, _given, out: caught.append(out)
    )
    with torch.no_grad():
        model.eval()(content["clip"])
    if not pools:
        return caught[0]
    weight, bias = content["norm"]
    return layer_norm(caught[0], caught[0].shape[-1:], weight, bias, 1e-6)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Weights are random, so equal ones are the same."""
    return a.shape == b.shape and torch.equal(a, b)


def _stub() -> None:
    """Give what is imported and not used, or has moved since."""
    six: Any = types.ModuleType("torch._six")
    six.inf = math.inf
    six.container_abcs = None
    board: Any = types.ModuleType("tensorboardX")
    board.SummaryWriter = None
    sys.modules |= {"torch._six": six, "tensorboardX": board}
    for operator in ("nms", "qnms"):  # torchvision's wheels are built for CUDA
        torch.library.define(
            f"torchvision::{operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )


def _run_block(script: Path, condition: str, names: dict[str, Any]) -> None:
    """Run the statement `if CONDITION:` of a script that loads weights, as it stands there."""
    for node in ast.walk(ast.parse(script.read_text())):
        is_it = isinstance(node, ast.If) and ast.unparse(node.test) == condition
        if is_it and "load_state_dict(model" in ast.unparse(node):
            exec(compile(ast.Module([node], []), str(script), "exec"), names)  # type: ignore[list-item]
            return
    raise LookupError(f"{script}: expected `if {condition}:` with a call of load_state_dict")


Loaded = tuple[torch.nn.Module, dict[str, torch.Tensor]]
"""Their model, and the weights of the file."""


def _videomae(clone: Path, file: str, mean_pooling: bool) -> Loaded:
    import modeling_finetune  # type: ignore[import-not-found] # noqa: F401 - registers the models
    import utils  # type: ignore[import-not-found]
    from timm.models import create_model

    model = create_model(
        "vit_base_patch16_224", num_classes=7, use_mean_pooling=mean_pooling, init_scale=0.001
    )
    args = Namespace(finetune=file, model_key="model|module", model_prefix="", num_frames=16)
    names = {
        "args": args,
        "model": model,
        "torch": torch,
        "utils": utils,
        "OrderedDict": OrderedDict,
    }
    _run_block(clone / "run_class_finetuning.py", "args.finetune", names)
    return model, torch.load(file, weights_only=True)["model"]


def _surgrec(clone: Path, file: str) -> Loaded:
    from surgrec_video.core import utils  # type: ignore[import-not-found]
    from surgrec_video.models import modeling_finetune  # type: ignore[import-not-found] # noqa: F401
    from timm.models import create_model

    model = create_model("vit_base_patch16_224", pretrained=True, num_classes=7)
    args = Namespace(
        finetune=file,
        model_key="model|module|encoder|target_encoder",
        model_prefix="",
        num_frames=16,
    )
    names = {
        "args": args,
        "model": model,
        "torch": torch,
        "utils": utils,
        "OrderedDict": OrderedDict,
    }
    _run_block(
        clone / "surgrec_video/entrypoints/run_class_finetuning_videomae.py", "args.finetune", names
    )
    return model, torch.load(file, weights_only=True)["model"]


def _surgvista(clone: Path, file: str, mean_pooling: bool) -> Loaded:
    sys.path.insert(0, str(clone / "downstream"))
    from model import unifiedmodel  # type: ignore[import-not-found] # noqa: F401 - registers the models
    from timm.models import create_model

    model = create_model(
        "unified_base_st",
        pretrained=True,
        pretrain_path=file,
        num_classes=7,
        qkv_bias=False,
        qkv_divided_bias=True,
        use_mean_pooling=mean_pooling,
    )
    return model, torch.load(file, weights_only=True)["model"]


def _vjepa2_hub(clone: Path, file: str) -> Loaded:
    from src.hub import backbones  # type: ignore[import-not-found]

    # The folder to which it copies the file, as if from its server
    torch.hub.set_dir(str(Path(file).parent / "hub"))
    backbones.VJEPA_BASE_URL = f"file://{Path(file).parent}"
    backbones.ARCH_NAME_MAP["vit_large"] = ("vit_large", Path(file).stem)
    encoder, predictor = backbones._make_vjepa2_model(
        img_size=224, num_frames=16, num_mask_tokens=2
    )
    content = torch.load(file, weights_only=True)
    both = torch.nn.ModuleDict({"encoder": encoder, "predictor": predictor})
    both.norm = encoder.norm
    both.forward = encoder.forward

    weights: dict[str, torch.Tensor] = {}
    for network in ("encoder", "predictor"):
        weights |= {f"{network}.{key}": tensor for key, tensor in content[network].items()}
    return both, weights


def _vjepa2_evals(clone: Path, file: str) -> Loaded:
    from evals.video_classification_frozen.modelcustom import vit_encoder_multiclip  # type: ignore[import-not-found]

    encoder = {
        "model_name": "vit_large",
        "checkpoint_key": "target_encoder",
        "tubelet_size": 2,
        "patch_size": 16,
    }
    encoder |= {"uniform_power": True, "use_rope": True}
    loaded = vit_encoder_multiclip.init_module(224, 16, file, {"encoder": encoder}, {})
    return loaded.model, torch.load(file, weights_only=True)["target_encoder"]


LOADERS: dict[str, Callable[[Path, str], Loaded]] = {
    "videomae": lambda clone, file: _videomae(clone, file, mean_pooling=True),
    "videomae_cls": lambda clone, file: _videomae(clone, file, mean_pooling=False),
    "surgrec": _surgrec,
    "surgvista": lambda clone, file: _surgvista(clone, file, mean_pooling=True),
    "surgvista_cls": lambda clone, file: _surgvista(clone, file, mean_pooling=False),
    "vjepa2_hub": _vjepa2_hub,
    "vjepa2_evals": _vjepa2_evals,
}

if __name__ == "__main__":
    main()
