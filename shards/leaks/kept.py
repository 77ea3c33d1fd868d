"""Fingerprints of shards, kept in files: a corpus that is compared with many others is read once."""

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.files import open_regular, write_atomically
from surgstream.shards.format.records import Shard
from surgstream.shards.leaks.read import VideoFingerprints

log = logging.getLogger(__name__)

_VERSION = 1
"""Changes whenever the same frames could give other fingerprints."""

_SEAL_BYTES = hashlib.sha256().digest_size


def key_of(shard: Shard, step: float) -> str:
    """What decides the fingerprints of a shard's packed frames, as SHA-256 in hexadecimal.

    Args:
        shard: Its record, which has the checksums of its frames, with the videos that are looked at alone.
        step: Seconds from one fingerprint to the next.
    """
    tree = [_VERSION, step, shard.stored()]
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def kept_looks(folder: Path | None, key: str) -> list[VideoFingerprints] | None:
    """The fingerprints of a shard's videos from an earlier look; None where there is none, or its file is damaged."""
    if folder is None:
        return None

    path = _file(folder, key)
    try:
        with open_regular(path) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s; its videos are looked at again", error)
        return None

    data = content[_SEAL_BYTES:]
    if content[:_SEAL_BYTES] != _seal(key, data):
        log.warning("%s: checksum mismatch; its videos are looked at again", path)
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return [_look(stored, number) for number in range(int(stored["num_videos"]))]


def keep_looks(folder: Path | None, key: str, looks: Sequence[VideoFingerprints]) -> None:
    """Keep the fingerprints of a shard's videos, whole or not at all; a folder that refuses is told, and no error."""
    if folder is None:
        return

    arrays: dict[str, Any] = {"num_videos": len(looks)}
    for number, look in enumerate(looks):
        arrays[f"{number}/num_pictures"] = look.num_pictures
        arrays[f"{number}/keys"] = look.keys
        for name, phases in (("motion", look.motion), ("pictures", look.pictures)):
            arrays[f"{number}/{name}"] = len(phases)
            arrays |= {f"{number}/{name}/{phase}": bits for phase, bits in enumerate(phases)}

    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    data = file.getvalue()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(folder, key), _seal(key, data) + data)
    except OSError as error:
        log.warning("%s: fingerprints are not kept: %s", folder, error)


def _look(stored: Any, number: int) -> VideoFingerprints:
    def phases(name: str) -> tuple[npt.NDArray[np.uint32], ...]:
        count = int(stored[f"{number}/{name}"])
        return tuple(stored[f"{number}/{name}/{phase}"] for phase in range(count))

    return VideoFingerprints(
        motion=phases("motion"),
        pictures=phases("pictures"),
        keys=stored[f"{number}/keys"],
        num_pictures=int(stored[f"{number}/num_pictures"]),
    )


def _seal(key: str, data: bytes) -> bytes:
    """A checksum of what is kept, and of what it is of."""
    return hashlib.sha256(key.encode() + data).digest()


def _file(folder: Path, key: str) -> Path:
    return folder / f"prints_{key[:32]}"
