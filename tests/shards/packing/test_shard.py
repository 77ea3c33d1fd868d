"""One shard, from its plan to its receipt."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surgstream.shards.packing import shard as packer
from surgstream.shards.packing.extract import ExtractedFrames
from surgstream.shards.packing.plan import PackingPlan
from surgstream.shards.packing.shard import PackTask, Receipt, pack_shard
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack
from tests.helpers.packing import contents, write_corpus
from tests.helpers.videos import make_video

BROKEN = 2


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> PackTask:
    """Six short clips, of which one opens and does not decode."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(6):
        path = make_video(folder / f"{number}.mp4", 30 + 10 * number)
        if number == BROKEN:
            data = bytearray(path.read_bytes())
            start, stop = data.index(b"mdat") + 4, data.index(b"moov") - 4
            data[start:stop] = b"\xff" * (stop - start)
            path.write_bytes(data)
    out = str(folder / "out")
    assert (
        pack([write_corpus(folder, {"name": "d", "videos": "*.mp4"}), out, "--plan-only", "fps=5"])
        == 0
    )
    plan = PackingPlan.load(open_storage(out))
    assert plan is not None
    return PackTask(plan.shards[0], plan.options, out)


def packed(task: PackTask, out: Path, threads: int) -> Receipt:
    return pack_shard(
        dataclasses.replace(task, out=str(out), threads=threads), lambda frames, failed=0: None
    )


def test_a_shard_is_the_same_by_any_number_of_threads(task: PackTask, tmp_path: Path) -> None:
    receipt = packed(task, tmp_path / "1", threads=1)
    assert [each.video for each in receipt.quarantine] == [str(BROKEN)]
    assert receipt.shard is not None and [video.id for video in receipt.shard.videos] == [
        "0",
        "1",
        "3",
        "4",
        "5",
    ]
    for threads in (2, 3, 16):
        assert packed(task, tmp_path / str(threads), threads) == receipt
        assert contents(tmp_path / str(threads)) == contents(tmp_path / "1")


def test_short_clips_are_decoded_side_by_side(
    task: PackTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, held = threading.Barrier(3), list[int]()
    take = packer.extract_frames

    @contextlib.contextmanager
    def meeting(*words: Any, threads: int, memory_bytes: int) -> Iterator[ExtractedFrames]:
        assert threads == 1, "each by one thread"
        at_once.wait(timeout=60)  # three of them are at work, or none comes any farther
        held.append(memory_bytes)
        assert sum(held) <= packer.MEMORY_BYTES
        try:
            with take(*words, threads=threads, memory_bytes=memory_bytes) as taken:
                yield taken
        finally:
            held.remove(memory_bytes)

    monkeypatch.setattr(packer, "extract_frames", meeting)
    assert packed(task, tmp_path, threads=3).shard is not None
