"""A checkpoint brought back from its mirror: read in ranges by several threads, checked, published by a rename."""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from surgstream.shards.storage.base import Storage
from surgstream.shards.storage.durable import sync
from surgstream.trainer.engine.checkpoint import make_anew, publish
from surgstream.trainer.engine.checkpoint_files import STATE, NotWholeError, parse_state
from surgstream.trainer.errors import SaveError
from surgstream.trainer.mirror.place import MirrorPlace

_THREADS = 8
_PIECE_BYTES = 8 << 20
"""Each thread holds one piece."""


def fetch(place: MirrorPlace, name: str, root: Path) -> Path:
    """Copy a checkpoint from its mirror into a run's checkpoint directory.

    Args:
        place: The mirror.
        name: The checkpoint's name.
        root: The run's checkpoint directory, made if need be.

    Returns:
        The checkpoint's directory, whose every byte was compared with what had been saved.

    Raises:
        NotWholeError: It is damaged there; nothing is left in `root`.
        StorageError: The store fails.
        SaveError: It could not be written.
    """
    final = root / name
    unfinished = root / f".partial-{name}"
    try:
        make_anew(unfinished)
        state = _bring(place, name, unfinished)
        publish(unfinished, final, state)
    except OSError as error:
        reason = error.strerror or error
        raise SaveError(
            f"{final}: could not be fetched from {place.storage.uri}: {reason}; free some space, or "
            "see whether this node may write there"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return final


def _bring(place: MirrorPlace, name: str, folder: Path) -> bytes:
    """Copy all files but the state; returns the state's bytes."""
    state = place.state_bytes(name)
    if state is None:
        raise NotWholeError(f"{STATE} is missing")

    files = parse_state(state)["files"]
    there = place.storage.sizes(name)
    for file, entry in files.items():
        size = there.get(f"{name}/{file}")
        if size != entry["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes"
            raise NotWholeError(f"{file} {found}, expected {entry['bytes']} bytes")

    with ThreadPoolExecutor(_THREADS, "fetch") as pool:
        for file, entry in files.items():
            path = folder / file
            _download(place.storage, f"{name}/{file}", path, entry["bytes"], pool)
            with path.open("rb") as written:
                if hashlib.file_digest(written, "sha256").hexdigest() != entry["sha256"]:
                    raise NotWholeError(f"{file} is not what was written (sha256)")
    return state


def _download(
    storage: Storage, name: str, path: Path, num_bytes: int, pool: ThreadPoolExecutor
) -> None:
    """Write a file by ranges, all threads at once."""
    with path.open("wb") as file:
        file.truncate(num_bytes)
        copy = partial(_copy_piece, storage, name, file.fileno(), num_bytes)
        for _ in pool.map(copy, range(0, num_bytes, _PIECE_BYTES)):
            pass
        sync(file)


def _copy_piece(storage: Storage, name: str, descriptor: int, num_bytes: int, start: int) -> None:
    piece = memoryview(bytearray(min(_PIECE_BYTES, num_bytes - start)))
    storage.read_into(name, start, piece)
    while piece:
        written = os.pwrite(descriptor, piece, start)
        start += written
        piece = piece[written:]
