"""Files of weights, read without running what may be in them."""

import argparse
import itertools
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from surgstream.configs.files import open_regular
from surgstream.trainer.errors import ModelError

States = dict[str, dict[str, Tensor]]
"""Named tensors, by the keys of the file that lead to them: `""`, `model.`, `teacher.`, `state_dict.model.`."""

_REFUSED = re.compile(r"GLOBAL (\S+)")
_ADAPTERS = re.compile(r"(^|\.)(lora_\w+|base_layer|modules_to_save)\.")

# Modules that hold one other and add nothing, wherever they stand in a name.
_SHELLS = re.compile(r"(^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Blocks in chunks, as DINOv2 trains them, are numbered through.
_CHUNK = re.compile(r"(?<=\bblocks\.)\d+\.(?=\d+\.)")


def read_states(path: Path, *, where: str) -> States:
    """Read all named tensors of a .safetensors, .pth or .pt file; a folder stands for its `model.safetensors`.

    Parts of names that come from compilers, FSDP and activation checkpointing are left out, as are chunks of blocks.

    Args:
        path: The file.
        where: The setting that names it, for messages.

    Raises:
        ModelError: It cannot be read, holds something to run or no named tensors, or is a set of adapters.
    """
    states: States = {}
    _collect(read_tensors(path, where=where), "", states, seen=set())
    if not states:
        raise ModelError(f"{where}: expected named tensors in {path}, got none")
    _refuse_adapters(itertools.chain.from_iterable(states.values()), path, where)
    return states


def read_tensors(path: Path, *, where: str) -> dict[str, Any]:
    """The content of a file, as it is; see `read_states`."""
    if path.is_dir():
        folder = path
        path = path / "model.safetensors"
        if not path.exists():
            raise ModelError(
                f"{where}: expected a file of weights, got the folder {folder}, without {path.name}"
            )

    try:
        # Neither reader refuses a pipe or a device, which could hold it up for ever.
        open_regular(path).close()
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            # Published checkpoints often carry their command line with the weights.
            with torch.serialization.safe_globals([argparse.Namespace]):
                # Mapped, what nobody looks at, such as an optimizer's state, takes no memory.
                content = torch.load(
                    path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
                )
    except OSError as error:
        raise ModelError(
            f"{where}: expected a file of weights, got {path}: {error.strerror or error}"
        ) from None
    except Exception as error:  # what is no checkpoint can break the unpickler in any way
        raise ModelError(
            f"{where}: expected a file that holds named tensors and nothing to run, got {path}, "
            f"{_reason(error)}"
        ) from None

    if not isinstance(content, dict):
        raise ModelError(
            f"{where}: expected named tensors in {path}, got a {type(content).__name__}"
        )
    return content


def _reason(error: Exception) -> str:
    """Explain why a file does not load and, where it holds more than weights, how to save those alone."""
    if refused := _REFUSED.search(str(error)):
        return (
            f"which holds {refused[1]} as well; where you trust it, save its weights alone: "
            "torch.load(FILE, weights_only=False), then torch.save of its named tensors"
        )
    return f"which does not load as one ({type(error).__name__})"


def _collect(content: Mapping[Any, Any], keys: str, states: States, seen: set[int]) -> None:
    """Gather the tensors of a tree of mappings, each mapping once: a damaged or made-up file may refer to itself."""
    if id(content) in seen:
        return
    seen.add(id(content))
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    if tensors := {_plain(key): value for key, value in named.items() if isinstance(value, Tensor)}:
        states[keys] = tensors
    for key, value in named.items():
        if isinstance(value, Mapping):
            _collect(value, f"{keys}{key}.", states, seen)


def _plain(name: str) -> str:
    return _CHUNK.sub("", _SHELLS.sub("", name))


def _refuse_adapters(names: Iterable[str], path: Path, where: str) -> None:
    if adapter := next((name for name in names if _ADAPTERS.search(name)), None):
        raise ModelError(
            f"{where}: expected a model's own weights in {path}, got an adapter's (LoRA, PEFT), "
            f"{adapter}; merge it into its model (in PEFT, merge_and_unload()), and save that "
            "model's state_dict()"
        )
