"""A process that saves checkpoints and copies them to a mirror until it is killed; steps alone decide their bytes."""

import hashlib
import logging
import os
import random
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint import make_anew, publish
from surgstream.trainer.engine.checkpoint_files import (
    STATE,
    file_name,
    prune,
    state_bytes,
    step_of,
)
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.mirror import worker
from surgstream.trainer.mirror.choice import choose
from surgstream.trainer.mirror.place import MirrorPlace
from surgstream.trainer.mirror.worker import Mirror
from surgstream.trainer.runs.files import checkpoint_name

FILE_BYTES = (20 << 20, 3 << 20, 700_001)
"""The first is sent in two parts."""

_KEPT = CheckpointConfig(keep_last=2)


def save_for_ever(environment: dict[str, str], uri: str, root: Path, announcements: Path) -> None:
    """Resume as a run does, then save one checkpoint after another, and announce those that are copied."""
    os.environ.update(environment)  # the server that forks may have an older one
    logging.getLogger(worker.__name__).addHandler(_Announcer(announcements))
    logging.getLogger(worker.__name__).setLevel(logging.INFO)

    storage = open_storage(uri)
    with owning(storage, "mirroring checkpoints") as owner:
        place = MirrorPlace(storage, owner.check)
        place.sweep()
        with closing(Mirror(place, _KEPT)) as mirror:
            resumed = choose(root, "auto", place)
            step = step_of(resumed) if resumed else 0
            if resumed:
                mirror.publish(resumed, None)

            (announcements.parent / f"begun{os.getpid()}").touch()
            while True:
                step += 1
                saved = save(root, step)
                busy = mirror.publish(saved, None)
                prune(root, _KEPT, saved, keep=(busy,))
                # Sometimes the store is slower, sometimes the run.
                time.sleep(random.Random(step).choice([0.0, 0.1, 0.4]))


def save(root: Path, step: int) -> Path:
    """Save a checkpoint whose bytes only depend on its step."""
    final = root / checkpoint_name(step)
    partial = root / f".partial-{final.name}"
    make_anew(partial)
    files = expected(step)
    state = files.pop(STATE)
    for name, data in files.items():
        (partial / name).write_bytes(data)
    publish(partial, final, state)
    return final


def expected(step: int) -> dict[str, bytes]:
    """The files of a step's checkpoint."""
    files = {}
    entries = {}
    for number, size in enumerate(FILE_BYTES):
        data = np.random.default_rng([step, number]).bytes(size)
        files[file_name(0, number)] = data
        digest = hashlib.sha256(data).hexdigest()
        entries[file_name(0, number)] = {"bytes": size, "sha256": digest}

    content = {"step": step, "g": step, "optimizer_step": step, "files": entries}
    return {**files, STATE: state_bytes(content)}


def contents(checkpoint: Path) -> dict[str, bytes]:
    """The files of a checkpoint on disk."""
    return {path.name: path.read_bytes() for path in checkpoint.iterdir()}


class _Announcer(logging.Handler):
    """Appends the step of each announcement to a file, at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if "is mirrored at" in record.msg and isinstance(record.args, tuple):
            os.write(self._descriptor, f"{record.args[0]}\n".encode())
