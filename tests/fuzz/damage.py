"""What can be wrong with a file: strategies, and how many examples of them each test tries.

`FUZZ=50 pytest tests/fuzz` tries 50 times as many, at random instead of always the same ones.
"""

import copy
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from surgstream.shards.format.checksummed import dump_checksummed
from surgstream.shards.format.manifest import encode

SCALE = int(os.environ.get("FUZZ", "1"))


def cases(count: int) -> settings:
    """Settings of a test that tries `count` examples in CI."""
    return settings(
        max_examples=count * SCALE,
        derandomize=SCALE == 1,
        deadline=timedelta(seconds=20),
        database=None,
        suppress_health_check=list(HealthCheck),
    )


NUMBERS = [
    0,
    -1,
    1,
    True,
    2**31,
    2**32 - 1,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63),
    10**4290,
    0.5,
    1e308,
]
NUMBERS += [float("nan"), float("inf"), -0.0]
TEXTS = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/../../b",
    "d/d-000000.tar",
    "e/e-000000.tar",
    "x\0y",
    "\ud800",
]
TEXTS += ["\x1b[2J", "a" * 100_000, "\xe9" * 90, "a.b", "1" * 5000, "NaN"]
DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.sampled_from([*NUMBERS, *TEXTS])
)
values = st.just(DEEP) | st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=9,
)


@st.composite
def altered(draw: st.DrawFn, tree: Any) -> Any:
    """A copy of a tree of dictionaries and lists in which up to three things are missing, doubled or something else."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        branches = list(_branches(tree))
        if not branches:
            break
        branch = draw(st.sampled_from(branches))
        keys = sorted(branch) if isinstance(branch, dict) else list(range(len(branch)))
        key = draw(st.sampled_from(keys))
        match draw(st.sampled_from(["delete", "replace", "nudge", "copy"])):
            case "delete":
                del branch[key]
            case "replace":
                branch[key] = draw(values)
            case "nudge" if type(branch[key]) is int:
                branch[key] += draw(st.sampled_from([-1, 1, 2**32, -(2**40)]))
            case "copy" if isinstance(branch, list):
                branch.append(copy.deepcopy(branch[key]))
            case _:
                branch[draw(st.sampled_from(keys))] = copy.deepcopy(branch[key])
    return tree


def _branches(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict | list) and tree and tree is not DEEP:
        yield tree
        for inner in tree.values() if isinstance(tree, dict) else tree:
            yield from _branches(inner)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes that were cut, flipped, overwritten, inserted or removed at one to four places."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(result)))
        match draw(st.sampled_from(["cut", "flip", "overwrite", "insert", "remove"])):
            case "cut":
                del result[at:]
            case "flip" if at < len(result):
                result[at] ^= 1 << draw(st.integers(0, 7))
            case "remove":
                del result[at : at + draw(st.integers(1, 600))]
            case "insert":
                result[at:at] = draw(st.binary(max_size=40))
            case _:
                new = draw(st.binary(max_size=40))
                result[at : at + len(new)] = new
    return bytes(result)


def records(data: bytes) -> st.SearchStrategy[bytes]:
    """What a sealed record may have become: any bytes, damaged ones, or well sealed nonsense."""
    return _any_of(data, dump_checksummed)


def manifests(data: bytes) -> st.SearchStrategy[bytes]:
    """The same of a manifest, which is sealed line by line."""
    return _any_of(
        data,
        lambda tree: (
            encode(tree) if isinstance(tree.get("shards"), list) else dump_checksummed(tree)
        ),
    )


def _any_of(
    data: bytes, dump_checksummed: Callable[[dict[str, Any]], bytes]
) -> st.SearchStrategy[bytes]:
    tree = json.loads(data)
    del tree["checksum"]
    nonsense = st.binary(max_size=200) | st.just(b"[" * 3000)
    return (
        nonsense
        | damaged(data)
        | altered(tree).map(dump_checksummed)
        | altered(tree).map(dump_checksummed)
    )


@contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    """Give a file another content for the length of a block."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)
