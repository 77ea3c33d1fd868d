"""Files of weights, read without running what may be in them."""

import argparse
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from trainer.errors import ModelError

_WRAPPERS = ("model", "module", "state_dict")
_PREFIXES = re.compile(r"^((module|backbone)\.)+")
_VJEPA2_NETWORKS = ("encoder", "predictor")


def read_tensors(path: Path, *, where: str) -> dict[str, Any]:
    """What a .safetensors, .pth or .pt file holds; a folder stands for its `model.safetensors`.

    Args:
        path: The file.
        where: Which setting names it, for messages.

    Raises:
        ModelError: It cannot be read, or holds something to run.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            # Published checkpoints often carry their command line beside the weights.
            with torch.serialization.safe_globals([argparse.Namespace]):
                # Mapped, what nobody looks at, such as an optimizer's state, takes no memory.
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise ModelError(f"{where}: expected a file of weights, got {path}: {error.strerror or error}") from None
    except Exception as error:  # what is no checkpoint can break the unpickler in any way
        raise ModelError(
            f"{where}: expected a file that holds named tensors and nothing to run, got {path}, "
            f"which does not load as one ({type(error).__name__})"
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"{where}: expected named tensors in {path}, got a {type(content).__name__}")
    return content


def published_weights(path: Path, *, where: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of a published file by their own names, out of their wrappers, and the averages beside them.

    V-JEPA 2 keeps its networks apart; here their names begin with `encoder.` and `predictor.`, and the averages are
    those of its target encoder.

    Args:
        path: The file.
        where: Which setting names it, for messages.

    Raises:
        ModelError: It cannot be read, or holds no named tensors.
    """
    content = read_tensors(path, where=where)
    networks = {name: content[name] for name in _VJEPA2_NETWORKS if isinstance(content.get(name), Mapping)}
    if networks:
        averages = content.get("target_encoder") or {}
        weights = {f"{name}.{key}": tensor for name, part in networks.items() for key, tensor in _named(part).items()}
        return weights, {f"encoder.{key}": tensor for key, tensor in _named(averages).items()}
    while wrapped := next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), None):
        content = wrapped
    weights = _named(content)
    if not weights:
        raise ModelError(f"{where}: expected named tensors in {path}, got none")
    return weights, {}


def _named(content: Mapping[str, Any]) -> dict[str, Tensor]:
    return {_PREFIXES.sub("", str(key)): value for key, value in content.items() if isinstance(value, Tensor)}
