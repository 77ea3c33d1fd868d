"""A checkpoint as it lies on disk: its state, read without believing it, and the files it names."""

import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

from surgstream.configs.files import open_regular
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.runs.files import checkpoints_in

log = logging.getLogger(__name__)

FORMAT = 2
STATE = "state.json"

_MOST_STATE_BYTES = 1 << 26
_FILE_NAME = re.compile(r"rank\d{5}-\d{3}\.safetensors")


def file_name(rank: int, number: int) -> str:
    """The name of one of the files that a rank writes."""
    return f"rank{rank:05d}-{number:03d}.safetensors"


def state_bytes(state: dict[str, Any]) -> bytes:
    """`state.json`: format, checksum and what is given.

    Args:
        state: `step`, `g`, `optimizer_step`, `files` (name -> `bytes` and `sha256`), and whatever the run wants back.
    """
    state = {"format": FORMAT, **state}
    return json.dumps({**state, "sha256": _digest(state)}, indent=1).encode()


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `state_bytes` was given, and `format`.

    Raises:
        CheckpointError: It cannot be read, is not what was written, or names files outside the checkpoint.
    """
    try:
        return _state(checkpoint)
    except (OSError, _NotWholeError) as error:
        raise unreadable(checkpoint, error) from None


def read_progress(checkpoint: Path) -> Progress:
    """Read where the checkpoint stands.

    Raises:
        CheckpointError: It cannot be read, or is not what was written.
    """
    state = read_state(checkpoint)
    return Progress(step=state.pop("step"), g=state.pop("g"), state=state)


def unreadable(checkpoint: Path, problem: Exception | str) -> CheckpointError:
    """The error that says why a checkpoint cannot be read."""
    reason = getattr(problem, "strerror", None) or problem
    return CheckpointError(
        f"{checkpoint}: cannot be read: {reason}; resume from another checkpoint"
    )


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None when every byte is as it was written."""
    try:
        for name, entry in _state(checkpoint)["files"].items():
            with open_regular(checkpoint / name) as file:
                if os.fstat(file.fileno()).st_size != entry["bytes"]:
                    return f"{name} has {os.fstat(file.fileno()).st_size} bytes, expected {entry['bytes']}"
                if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                    return f"{name} is not what was written (sha256)"
    except OSError as error:
        return f"{Path(error.filename or checkpoint).name}: {error.strerror}"
    except _NotWholeError as error:
        return str(error)
    return None


def newest_whole(root: Path) -> Path | None:
    """The newest checkpoint of a run that is as it was written; None where there are no checkpoints.

    Args:
        root: The run's checkpoint directory.

    Raises:
        CheckpointError: There are, and none is whole.
    """
    checkpoints = checkpoints_in(root)
    for checkpoint in checkpoints:
        found = damage(checkpoint)
        if found is None:
            return checkpoint
        log.warning("skipped checkpoint %s: %s", checkpoint, found)

    if checkpoints:
        raise CheckpointError(
            f"{root}: none of {len(checkpoints)} checkpoints is whole; delete them to start anew"
        )
    return None


class _NotWholeError(Exception):
    """What is wrong with a checkpoint."""


def _state(checkpoint: Path) -> dict[str, Any]:
    """The state, whose checksum guards against damage and whose files lie in the checkpoint's directory."""
    with open_regular(checkpoint / STATE) as file:
        data = file.read(_MOST_STATE_BYTES)

    try:
        state = json.loads(data)
        if state["format"] != FORMAT:
            raise _NotWholeError(f"format {state['format']!r:.20}, this version reads {FORMAT}")
        # The checksum is of everything but itself.
        sound = state.pop("sha256") == _digest(state)
        files = {name: (entry["bytes"], entry["sha256"]) for name, entry in state["files"].items()}
        state.setdefault("optimizer_step", state["step"])  # of versions that took over no moments
        counts = [
            state["step"],
            state["g"],
            state["optimizer_step"],
            *(size for size, _ in files.values()),
        ]
        # By `type`, since isinstance would let True pass as a number.
        sound &= all(type(count) is int and 0 <= count < 2**63 for count in counts)
        sound &= all(_FILE_NAME.fullmatch(name) for name in files)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        sound = False

    if not sound:
        raise _NotWholeError(f"{STATE} is malformed")
    return dict(state)


def _digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
