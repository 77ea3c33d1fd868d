"""JSON files of a run directory, read while they are being written and without trusting their contents."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from surgstream.configs.files import open_regular

Line = dict[str, Any]

_MAX_BYTES = 4 * 2**20


def tail(path: Path) -> list[Line]:
    """The lines at the end of a JSON-lines file, of its last 4 MiB, without torn ones; none when it cannot be read."""
    with suppress(OSError), open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MAX_BYTES))
        found = [_parsed(data) for data in file.read(_MAX_BYTES).split(b"\n")]
        return [line for line in found if isinstance(line, dict)]
    return []


def read_lines(path: Path) -> Iterator[Line]:
    """All lines of a JSON-lines file, one at a time, without torn ones; none when it cannot be read."""
    with suppress(OSError), open_regular(path) as file:
        while data := file.readline(_MAX_BYTES):
            line = _parsed(data)
            if isinstance(line, dict):
                yield line


def read_object(path: Path) -> Line:
    """The object in a JSON file; empty when there is none."""
    with suppress(OSError), open_regular(path) as file:
        found = _parsed(file.read(_MAX_BYTES))
        return found if isinstance(found, dict) else {}
    return {}


def get_float(line: Line, key: str) -> float | None:
    """A number of a line below 2^63, if it has it."""
    value = line.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < 2**63 else None


def get_int(line: Line, key: str) -> int | None:
    """A whole number of a line, if it has it."""
    value = get_float(line, key)
    return int(value) if value is not None and value.is_integer() else None


def get_str(line: Line, key: str) -> str | None:
    """A printable string of a line, if it has it."""
    value = line.get(key)
    return value if isinstance(value, str) and value.isprintable() else None


def with_prefix(line: Line, prefix: str) -> Iterator[tuple[str, float]]:
    """The numbers whose keys begin with `prefix`, named by the rest of the key."""
    for key in line:
        value = get_float(line, key)
        if key.startswith(prefix) and value is not None and key.isprintable():
            yield key.removeprefix(prefix), value


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
