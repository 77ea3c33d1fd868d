"""The state of a bank in training, as checkpoints that survive crashes and fit any number of ranks.

A checkpoint is a directory `checkpoints/step_00001000` as those of pretraining are: `state.json` has sizes and hashes
of safetensors files, written by rank 0 under another name, synced and renamed. The files hold, in pieces: weights and
both moments of all heads, what is known of the inputs, and the best head so far.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from surgstream.configs.files import open_regular
from surgstream.shards.storage.durable import sync, sync_folder
from surgstream.trainer.engine.checkpoint_files import (
    STATE,
    file_name,
    prune,
    read_state,
    state_bytes,
    unreadable,
)
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.errors import CheckpointError, SaveError
from surgstream.trainer.runs.files import checkpoint_name

_PIECE = 1 << 26
"""Elements of a file."""

_KEPT = CheckpointConfig(keep_last=2)


@dataclass
class KeptHead:
    """A head as it was when it was best.

    Attributes:
        weights: Its weights, flat.
        statistics: What was known of the inputs then.
    """

    weights: Tensor
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""
        named = {f"best_statistics/{name}": value for name, value in self.statistics.items()}
        return {"best": self.weights, **named}


def save_state(
    root: Path,
    step: int,
    clips_seen: int,
    entries: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Path:
    """Write a checkpoint, and delete those before the last two. Rank 0 calls it.

    Args:
        root: The run's checkpoint directory.
        step: Steps done.
        clips_seen: Draws consumed.
        entries: What else a resume needs, for JSON.
        tensors: Tensors by name.

    Returns:
        The checkpoint's directory.

    Raises:
        SaveError: It could not be written; earlier ones are as they were.
    """
    final = root / checkpoint_name(step)
    partial = root / f".partial-{final.name}"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        files = {}
        for number, piece in enumerate(_pieces(tensors)):
            data = save(piece)
            name = file_name(0, number)
            _write(partial / name, data)
            files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

        content = {"step": step, "g": clips_seen, "optimizer_step": step, "files": files}
        _write(partial / STATE, state_bytes({**content, **entries}))
        sync_folder(partial)
        _publish(partial, final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise SaveError(
            f"{final}: could not save: {reason}; earlier checkpoints are as they were"
        ) from None

    prune(root, _KEPT, final)
    return final


def load_tensors(checkpoint: Path, wanted: Mapping[str, Tensor]) -> None:
    """Fill tensors with those of a checkpoint that is whole.

    Args:
        checkpoint: The checkpoint's directory.
        wanted: Tensors by name.

    Raises:
        CheckpointError: Its tensors are others, or it cannot be read.
    """
    missing = {name: tensor.numel() for name, tensor in wanted.items()}
    filled = dict.fromkeys(wanted, 0)
    for name, piece in _read_pieces(checkpoint):
        if name not in missing or filled[name] + piece.numel() > missing[name]:
            raise CheckpointError(
                f"{checkpoint}: {name} is of another probe; choose another run_dir"
            )
        start = filled[name]
        filled[name] += piece.numel()
        wanted[name].view(-1)[start : filled[name]].copy_(piece)

    short = [name for name, count in filled.items() if count < missing[name]]
    if short:
        raise CheckpointError(
            f"{checkpoint}: {short[0]}: expected {missing[short[0]]} numbers, got {filled[short[0]]}; "
            "choose another run_dir"
        )


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Parts of tensors, each small enough for a file; small ones lie together."""
    piece: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for number, part in enumerate(torch.split(tensor.detach().reshape(-1), _PIECE)):
            piece[f"{number:05d}/{name}"] = part.to("cpu", copy=True)
            if sum(value.numel() for value in piece.values()) >= _PIECE:
                yield piece
                piece = {}
    if piece:
        yield piece


def _read_pieces(checkpoint: Path) -> Iterator[tuple[str, Tensor]]:
    for name in sorted(read_state(checkpoint)["files"]):
        try:
            with open_regular(checkpoint / name) as file:
                parts = load(file.read())
        except (OSError, SafetensorError) as error:
            raise unreadable(checkpoint, error) from None
        for key in sorted(parts):
            yield key.partition("/")[2], parts[key]


def _publish(partial: Path, final: Path) -> None:
    if final.exists():  # saved when the run was stopped, before the step's validation was done
        aside = partial.with_name(f"{partial.name}-before")
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
    partial.rename(final)
    sync_folder(final.parent)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        sync(file)


def empty_like(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the same shapes, to be filled."""
    return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
