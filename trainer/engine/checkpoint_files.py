"""The checkpoints of a run on disk: which are whole, to delete, or to take; the state of each, read untrusted."""

import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from surgstream.configs.files import open_regular
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.runs.files import CHECKPOINTS, checkpoint_name, checkpoints_in

log = logging.getLogger(__name__)

FORMAT = 2
STATE = "state.json"
SCORES = "scores"
"""The key of a state that has what a run chose its weights by: steps and scores, null for one that is not finite."""

MAX_STATE_BYTES = 1 << 26
FILE_NAME = re.compile(r"rank\d{5}-\d{3}\.safetensors")


class NotWholeError(Exception):
    """A checkpoint is damaged; the message says how."""


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name tells."""
    return int(checkpoint.name.removeprefix("step_"))


def file_name(rank: int, number: int) -> str:
    """The name of one of the files that a rank writes."""
    return f"rank{rank:05d}-{number:03d}.safetensors"


def state_bytes(state: dict[str, Any]) -> bytes:
    """The bytes of `state.json`: format, state and checksum.

    Args:
        state: `step`, `g`, `optimizer_step`, `files` (name -> `bytes` and `sha256`), and the run's own entries.
    """
    state = {"format": FORMAT, **state}
    return json.dumps({**state, "sha256": _digest(state)}, indent=1).encode()


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Read the state that `state_bytes` was given, with `format`.

    Raises:
        CheckpointError: It cannot be read, is not what was written, or names files outside the checkpoint.
    """
    try:
        return _state(checkpoint)
    except (OSError, NotWholeError) as error:
        raise unreadable(checkpoint, error) from None


def read_progress(checkpoint: Path) -> Progress:
    """Read where the checkpoint stands.

    Raises:
        CheckpointError: It cannot be read, or is not what was written.
    """
    state = read_state(checkpoint)
    return Progress(step=state.pop("step"), clips_seen=state.pop("g"), state=state)


def prune(
    root: Path, config: CheckpointConfig, saved: Path, keep: Collection[int | None] = ()
) -> None:
    """Delete checkpoints that need not be kept, and what killed saves left behind. Rank 0 calls it, after a save.

    Args:
        root: The run's checkpoint directory.
        config: The checkpoints to keep.
        saved: The checkpoint that was just saved.
        keep: Steps that stay, such as that of the best weights.
    """
    for leftover in root.glob(".partial-*"):
        _remove(leftover)

    steps = map(step_of, checkpoints_in(root))
    for step in superseded(steps, config, step_of(saved), keep):
        _remove(root / checkpoint_name(step))


def superseded(
    steps: Iterable[int], config: CheckpointConfig, saved: int, keep: Collection[int | None] = ()
) -> list[int]:
    """The steps whose checkpoints need not be kept.

    Checkpoints of later steps than the one just saved are neither counted nor named: the run was resumed from before
    them, because they are damaged or because its user chose to.

    Args:
        steps: Those of all checkpoints.
        config: The checkpoints to keep.
        saved: The step that was just saved.
        keep: Steps that stay in any case.
    """
    counted = sorted(step for step in steps if step <= saved)
    previous = [0, *counted]
    found = []
    for step, last in zip(counted[: -config.keep_last], previous, strict=False):
        # The first checkpoint at or after a multiple of `keep_every` stays.
        is_first = config.keep_every and step // config.keep_every != last // config.keep_every
        if step not in keep and not is_first:
            found.append(step)
    return found


def unreadable(checkpoint: Path, problem: Exception | str) -> CheckpointError:
    """The error that says why a checkpoint cannot be read."""
    reason = getattr(problem, "strerror", None) or problem
    return CheckpointError(
        f"{checkpoint}: cannot be read: {reason}; resume from another checkpoint"
    )


def damage(checkpoint: Path) -> str | None:
    """Describe what is wrong with a checkpoint; None when every byte is as it was written."""
    try:
        for name, entry in _state(checkpoint)["files"].items():
            with open_regular(checkpoint / name) as file:
                size = os.fstat(file.fileno()).st_size
                if size != entry["bytes"]:
                    return f"{name} has {size} bytes, expected {entry['bytes']}"
                if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                    return f"{name} is not what was written (sha256)"
    except OSError as error:
        return f"{Path(error.filename or checkpoint).name}: {error.strerror}"
    except NotWholeError as error:
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
            f"{root}: none of {len(checkpoints)} checkpoints is whole; "
            "delete them to start from the beginning"
        )
    return None


def checkpoint_of(place: Path) -> Path:
    """The checkpoint that is meant: the folder itself, or the newest whole one of a run directory.

    Raises:
        CheckpointError: It is not whole, or the folder is neither.
    """
    if not (place / STATE).exists() and (place / CHECKPOINTS).is_dir():
        newest = newest_whole(place / CHECKPOINTS)
        if newest is None:
            raise CheckpointError(
                f"{place}: expected a run that has saved a checkpoint, got one without"
            )
        return newest

    found = damage(place)
    if found:
        raise CheckpointError(
            f"{place}: expected a run directory or a whole checkpoint, got: {found}"
        )
    return place


def chosen_checkpoint(place: Path) -> Path:
    """The checkpoint that a path means.

    Args:
        place: A checkpoint's directory, or a run's: of one that chose its weights those, else the newest whole one.

    Raises:
        CheckpointError: It is not whole, or the folder is neither.
    """
    checkpoint = checkpoint_of(place)
    if checkpoint == place:
        return place

    progress = read_progress(checkpoint)
    best = best_step(scores_in(progress))
    config = progress.state.get("config")
    select = config.get("select") if isinstance(config, dict) else None
    if best is None or not isinstance(select, dict) or select.get("by") != "best":
        return checkpoint
    return checkpoint_of(place / CHECKPOINTS / checkpoint_name(best))


def best_step(scores: Mapping[int, float]) -> int | None:
    """The step of the highest score, the earliest of equals; None where none is finite."""
    finite = [step for step, score in sorted(scores.items()) if math.isfinite(score)]
    return max(finite, key=scores.__getitem__, default=None)


def scores_in(progress: Progress) -> dict[int, float]:
    """The scores that a checkpoint keeps, by step; NaN where one was not finite.

    Raises:
        CheckpointError: They are malformed.
    """
    found = progress.state.get(SCORES, [])
    try:
        scores = {int(step): math.nan if score is None else float(score) for step, score in found}
    except (TypeError, ValueError):
        raise CheckpointError(
            f"the checkpoint of step {progress.step}: state.json: {SCORES}: expected steps and scores, "
            "got something else; resume from another checkpoint"
        ) from None
    return scores


def _remove(folder: Path) -> None:
    """Delete a checkpoint, its state first: one that cannot be deleted stays whole, or is none any more."""
    try:
        (folder / STATE).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        reason = error.strerror or error
        log.warning(
            "%s: cannot be deleted: %s; training goes on, and its space stays in use",
            folder,
            reason,
        )


def _state(checkpoint: Path) -> dict[str, Any]:
    """Read a state; see `parse_state`."""
    return parse_state(stored_state(checkpoint))


def stored_state(checkpoint: Path) -> bytes:
    """The bytes of a checkpoint's state, or as many of them as one may have.

    Raises:
        OSError: It cannot be read.
    """
    with open_regular(checkpoint / STATE) as file:
        size = os.fstat(file.fileno()).st_size
        return file.read(min(size, MAX_STATE_BYTES))


def parse_state(data: bytes) -> dict[str, Any]:
    """Parse the bytes of a state, and check its checksum and the names and sizes of its files.

    Raises:
        NotWholeError: They are not what was written.
    """
    try:
        state = json.loads(data)
        if state["format"] != FORMAT:
            raise NotWholeError(f"format {state['format']!r:.20}, this version reads {FORMAT}")
        # The checksum is of everything but itself.
        sound = state.pop("sha256") == _digest(state)
        files = {name: (entry["bytes"], entry["sha256"]) for name, entry in state["files"].items()}
        # Versions that could not take over moments wrote no count of their own.
        state.setdefault("optimizer_step", state["step"])
        counts = [state[key] for key in ("step", "g", "optimizer_step")]
        counts += [size for size, _ in files.values()]
        # By `type`, since isinstance would let True pass as a number.
        sound &= all(type(count) is int and 0 <= count < 2**63 for count in counts)
        sound &= all(FILE_NAME.fullmatch(name) for name in files)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        sound = False

    if not sound:
        raise NotWholeError(f"{STATE} is malformed")
    return dict(state)


def _digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
