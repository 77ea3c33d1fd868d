"""Checkpoints with any bytes for tensors, for tests of where their files go."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgstream.shards.storage.base import Storage
from surgstream.trainer.engine.checkpoint_files import STATE, file_name, state_bytes
from surgstream.trainer.runs.files import checkpoint_name


def write_checkpoint(root: Path, step: int, *files: bytes, **entries: Any) -> Path:
    """Write a whole checkpoint of these files, or of two that differ from step to step."""
    checkpoint = root / checkpoint_name(step)
    checkpoint.mkdir(parents=True)
    listed = {}
    for number, data in enumerate(files or (b"%d" % step * 1000, b"%d" % step)):
        name = file_name(0, number)
        (checkpoint / name).write_bytes(data)
        listed[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    content = {"step": step, "g": 4 * step, "optimizer_step": step, "files": listed}
    (checkpoint / STATE).write_bytes(state_bytes({**content, **entries}))
    return checkpoint


def contents(checkpoint: Path) -> dict[str, bytes]:
    """All files of a checkpoint."""
    return {path.name: path.read_bytes() for path in checkpoint.iterdir()}


def stored(storage: Storage, name: str) -> Mapping[str, bytes]:
    """All files of a checkpoint in a store."""
    return {found.removeprefix(f"{name}/"): storage.read(found) for found in storage.sizes(name)}
