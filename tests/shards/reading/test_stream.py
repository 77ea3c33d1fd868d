import errno
import gc
import math
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.errors import ManifestError, StorageError
from surgstream.shards.format.index import ROW
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.keyed_random import hash_text
from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig, place
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.chunks import Chunk
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.stream import ClipStream
from surgstream.shards.storage.retry import RetryConfig
from surgstream.shards.storage.stores import LocalStorage, open_storage
from tests.helpers.file_systems import FailingCalls
from tests.helpers.handmade import read_frame, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.streams import clip_stream

NUM_FRAMES, STRIDE = 4, 3
CONFIG = OrderConfig(open_chunks=6, chunk_frames=7)


Row = tuple[int, str, str, int, list[bytes]]
"""Draw, dataset, video, anchor frame and frames of a clip."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def s3_corpus(corpus: Path) -> Iterator[str]:
    with s3_bucket("shards") as bucket:
        client = boto3.client("s3")
        for path in corpus.rglob("*.*"):
            client.upload_file(str(path), "shards", f"here/{path.relative_to(corpus).as_posix()}")
        yield f"{bucket}/here"


class JitteryStorage(LocalStorage):
    """A folder whose reads finish in another order than they were asked for."""

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        time.sleep(hash_text(f"{name}{start}{threading.get_ident()}") % 4 / 1000)
        super().read_into(name, start, out, stop)


def open_stream(table: FrameTable, order: Order | None = None, **changes: Any) -> ClipStream:
    order = order or Order.create(table.sizes(), 5, CONFIG)
    settings = {
        "num_frames": NUM_FRAMES,
        "stride": STRIDE,
        "global_batch_size": 12,
        "micro_batch_size": 3,
        "rank": 0,
        "world_size": 1,
        "start": 0,
        "stop": 240,
        "read": ReadConfig(),
    }
    return clip_stream(table, order, **(settings | changes))


def collect(table: FrameTable, **changes: Any) -> list[list[Row]]:
    """All micro-batches, as plain values."""
    with open_stream(table, **changes) as stream:
        return [
            [
                (
                    c.draw,
                    c.dataset,
                    c.video,
                    c.anchor_frame,
                    [frame.tobytes() for frame in c.frames],
                )
                for c in micro_batch
            ]
            for micro_batch in stream
        ]


def straight_from_the_tar(
    folder: Path, manifest: Manifest, dataset: str, clip: int
) -> tuple[str, int, list[bytes]]:
    """Video, anchor frame and bytes of a clip, by counting frames and reading members by name."""
    frames = [
        (shard, video, part, part.first_frame + i)
        for shard in manifest.shards
        if shard.dataset == dataset
        for video in shard.videos
        for part in video.parts
        for i in range(part.num_frames)
    ]
    shard, video, part, anchor = frames[clip]
    shown = [anchor]
    while len(shown) < NUM_FRAMES:  # one stride further back, as long as the part goes
        shown.insert(0, shown[0] - STRIDE if shown[0] - STRIDE >= part.first_frame else shown[0])
    return video.id, anchor, [read_frame(folder, shard, video.id, frame) for frame in shown]


@pytest.fixture(scope="module")
def expected(corpus: Path) -> list[Row]:
    """What 20 steps of 12 draws are, in the order of draws."""
    table = FrameTable.open(open_storage(str(corpus)))
    order = Order.create(table.sizes(), 5, CONFIG)
    draws = order.draws(0, 240)
    rows = []
    for g, dataset, clip in zip(
        draws.number.tolist(), draws.dataset.tolist(), draws.clip.tolist(), strict=True
    ):
        name = order.dataset_names[dataset]
        rows.append(
            (g, name, *straight_from_the_tar(corpus, Manifest.load(table.storage), name, clip))
        )
    return rows


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_together_read_exactly_the_plan(
    corpus: Path, expected: list[Row], world_size: int
) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    order = Order.create(table.sizes(), 5, CONFIG)
    ranks = [collect(table, rank=rank, world_size=world_size) for rank in range(world_size)]
    a_step = 4 // world_size
    for step in range(20):
        draws = order.draws(12 * step, 12)
        members = place(draws, micro_batch_size=3, world_size=world_size).members
        for rank, micro_batches in enumerate(ranks):
            read = micro_batches[a_step * step : a_step * (step + 1)]
            assert read == [
                [expected[12 * step + i] for i in batch] for batch in members[rank].tolist()
            ]
        assert all(len(micro_batches) == 20 * a_step for micro_batches in ranks)


@pytest.mark.parametrize(
    "read",
    [
        ReadConfig(threads=1, prefetch_steps=0),
        ReadConfig(threads=16, prefetch_steps=5, range_bytes=300),
        ReadConfig(threads=3, prefetch_steps=100),
        ReadConfig(threads=3, prefetch_steps=0, plan_ahead=True),
        ReadConfig(threads=3, prefetch_steps=5, plan_ahead=True),
    ],
)
def test_how_it_is_read_changes_nothing(
    corpus: Path, expected: list[Row], read: ReadConfig
) -> None:
    table = FrameTable.open(JitteryStorage(corpus, "jittery"))
    found = [clip for micro_batch in collect(table, read=read) for clip in micro_batch]
    assert sorted(found) == expected


def test_steps_planned_ahead_cost_the_same_reads(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    costs = []
    for plan_ahead in (False, True):
        read = ReadConfig(prefetch_steps=3, plan_ahead=plan_ahead)
        with open_stream(table, rank=1, world_size=2, read=read) as stream:
            deque(stream, maxlen=0)
        costs.append(replace(stream.counters, wait_seconds=0.0))
    assert costs[0] == costs[1]


def test_a_step_is_planned_while_the_consumer_has_the_one_before(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, plan = threading.Semaphore(0), ClipStream._plan

    def note(stream: ClipStream, *arguments: Any) -> Any:
        planned.release()
        return plan(stream, *arguments)

    monkeypatch.setattr(ClipStream, "_plan", note)
    table = FrameTable.open(open_storage(str(corpus)))
    with open_stream(table, read=ReadConfig(prefetch_steps=0, plan_ahead=True)) as stream:
        next(iter(stream))
        assert all(planned.acquire(timeout=10) for _ in range(2))
        assert not planned.acquire(timeout=0.05), "one ahead, no more"


def test_a_stream_starts_anywhere(corpus: Path, expected: list[Row]) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    later = [
        clip for micro_batch in collect(table, start=101, stop=101 + 60) for clip in micro_batch
    ]
    assert sorted(later) == expected[101:161]


def test_spread_deals_the_same_clips_otherwise(corpus: Path, expected: list[Row]) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    spread = collect(table, micro_batches="mixed")
    assert sorted(clip for micro_batch in spread for clip in micro_batch) == expected
    assert spread != collect(table)


@pytest.mark.slow
def test_s3_gives_the_same_bytes(s3_corpus: str, expected: list[Row]) -> None:
    table = FrameTable.open(open_storage(s3_corpus))
    found = [
        clip
        for batch in collect(table, stop=96, read=ReadConfig(range_bytes=2000))
        for clip in batch
    ]
    assert sorted(found) == expected[:96]


def test_a_stream_without_a_stop_goes_on(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    with open_stream(table, stop=None) as stream:
        drawn = [clip.draw for micro_batch in islice(stream, 4 * 30) for clip in micro_batch]
    assert sorted(drawn) == list(range(360))


def test_clips_carry_the_size_of_their_video_and_copy_nothing(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    with open_stream(table, start=12, stop=24) as stream:
        for micro_batch in stream:
            for clip in micro_batch:
                assert (clip.width, clip.height) == (64, 48)
                assert all(
                    frame.dtype == np.uint8 and frame.base is not None for frame in clip.frames
                )


@pytest.mark.slow
def test_each_chunk_is_read_once_an_epoch_and_then_freed(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"long": [{"v": [(0, 2000)]}]})
    table = FrameTable.open(open_storage(str(tmp_path)))
    order = Order.create(
        table.sizes(), 5, OrderConfig(open_chunks=8, chunk_frames=25)
    )  # 8 lanes, 10 rows
    gc.collect()
    others = [
        thing for thing in gc.get_objects() if isinstance(thing, Chunk)
    ]  # of other tests, kept until the end
    alive = []
    read = ReadConfig(prefetch_steps=2)
    with open_stream(
        table, order, global_batch_size=8, micro_batch_size=8, stop=4000, read=read
    ) as stream:
        for step, _ in enumerate(stream):
            assert stream.counters.open_chunks <= 8
            if step % 50 == 20:
                alive.append(
                    sum(isinstance(thing, Chunk) for thing in gc.get_objects()) - len(others)
                )
    # The first step reads 8 clips alone; 7 lanes start inside their first chunk and come back to it at the epoch's end.
    assert stream.counters.chunks_read == 8 + 2 * 80 + 7
    assert (
        8 <= max(alive) <= 8 + 2 * 3
    )  # open ones, and those that planned or finished steps still hold


def test_the_first_step_reads_its_clips_and_nothing_else(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    with open_stream(
        table, num_frames=1, stride=1, stop=24, read=ReadConfig(prefetch_steps=0)
    ) as stream:
        clips = [clip for micro_batch in islice(stream, 4) for clip in micro_batch]
        assert len(clips) == 12
        assert stream.counters.bytes_read == sum(
            clip.frames[0].nbytes + ROW.itemsize for clip in clips
        )


def test_chunks_are_read_before_they_are_due(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    with open_stream(table, read=ReadConfig(prefetch_steps=3)) as stream:
        next(iter(stream))
        open_chunks, deadline = stream.counters.open_chunks, time.monotonic() + 10
        while stream.counters.chunks_read < 12 + open_chunks and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stream.counters.chunks_read >= 12 + open_chunks > 12


@pytest.mark.parametrize("plan_ahead", [False, True])
def test_close_leaves_no_threads_and_may_come_early(corpus: Path, plan_ahead: bool) -> None:
    table = FrameTable.open(JitteryStorage(corpus, "jittery"))
    before = set(threading.enumerate())
    read = ReadConfig(threads=4, prefetch_steps=20, plan_ahead=plan_ahead)
    stream = open_stream(table, stop=None, read=read)
    next(iter(stream))
    assert set(threading.enumerate()) > before
    stream.close()
    stream.close()
    assert set(threading.enumerate()) == before


def test_close_drops_what_is_planned(corpus: Path) -> None:
    class GatedStorage(LocalStorage):
        """Lets three clips through, and the rest once the gate is open."""

        def __init__(self) -> None:
            super().__init__(corpus, "gated")
            self.free_reads, self.gate = threading.Semaphore(6), threading.Event()

        def read_into(
            self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
        ) -> None:
            self.free_reads.acquire(blocking=False) or self.gate.wait(30)
            super().read_into(name, start, out, stop)

    storage = GatedStorage()
    stream = open_stream(FrameTable.open(storage), global_batch_size=3, read=ReadConfig(threads=1))
    next(iter(stream))
    threading.Timer(0.5, storage.gate.set).start()
    stream.close()  # waits for the read under way, and for no other
    assert stream.counters.chunks_read == 4


@pytest.mark.parametrize("plan_ahead", [False, True])
def test_close_ends_an_iteration_on_another_thread(corpus: Path, plan_ahead: bool) -> None:
    table = FrameTable.open(JitteryStorage(corpus, "jittery"))
    stream = open_stream(table, stop=None, read=ReadConfig(plan_ahead=plan_ahead))
    ended = threading.Event()

    def consume() -> None:
        with pytest.raises((CancelledError, RuntimeError)):
            deque(stream, maxlen=0)
        ended.set()

    thread = threading.Thread(target=consume)
    thread.start()
    while stream.counters.chunks_read < 50:
        time.sleep(0.001)
    stream.close()
    thread.join(10)
    assert ended.is_set()


def test_an_error_of_planning_is_raised_where_its_step_was_due(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    plan = ClipStream._plan

    def fail_at_the_third(stream: ClipStream, draws: Any, held: Any) -> Any:
        if draws.number[0] == 24:
            raise ManifestError("no such clip")
        return plan(stream, draws, held)

    monkeypatch.setattr(ClipStream, "_plan", fail_at_the_third)
    with open_stream(table, read=ReadConfig(prefetch_steps=0, plan_ahead=True)) as stream:
        batches = iter(stream)
        assert len(list(islice(batches, 8))) == 8
        with pytest.raises(ManifestError, match="no such clip"):
            next(batches)


def test_an_error_on_a_thread_reaches_the_consumer(tmp_path: Path) -> None:
    path = tmp_path / write_corpus(tmp_path).shards[1].name
    table = FrameTable.open(open_storage(str(tmp_path)))
    path.unlink()
    with pytest.raises(StorageError, match=r"cataract-000001\.tar is missing"):
        collect(table)


def test_a_file_system_that_fails_for_a_while_changes_nothing(
    corpus: Path, expected: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(corpus, "flaky", RetryConfig(first_delay_seconds=0.001))
    table = FrameTable.open(storage)
    luck = random.Random(3)
    FailingCalls(monkeypatch, corpus).at_random(errno.ESTALE, lambda: luck.random() < 0.1)
    assert sorted(clip for micro_batch in collect(table) for clip in micro_batch) == expected
    assert storage.retries["ESTALE"] > 20


@pytest.fixture(params=["folder", "s3"])
def rewritten(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, Callable[[str], None]]]:
    """A corpus, and what another process does that packs it again in place."""
    folder = tmp_path / "corpus"
    names = [shard.name for shard in write_corpus(folder).shards]

    def pack_again(uri: str) -> None:
        store = open_storage(uri)
        for name in names:
            store.write(name, (folder / name).read_bytes()[::-1])

    if request.param == "folder":
        yield str(folder), pack_again
        return
    with s3_bucket("rewritten") as bucket:
        for path in folder.rglob("*.*"):
            open_storage(bucket).write(path.relative_to(folder).as_posix(), path.read_bytes())
        yield bucket, pack_again


@pytest.mark.slow
@pytest.mark.parametrize("is_cached", [False, True])
def test_a_corpus_that_is_packed_again_under_a_run_ends_it(
    rewritten: tuple[str, Callable[[str], None]], is_cached: bool, tmp_path: Path
) -> None:
    """The cache hides it only as long as it has all that is read."""
    uri, pack_again = rewritten
    table = FrameTable.open(open_storage(uri))
    cache = ChunkCache(tmp_path / "cache", 30_000, table.sha256) if is_cached else None
    with open_stream(table, stop=None, read=ReadConfig(prefetch_steps=2), cache=cache) as stream:
        batches = iter(stream)
        deque(islice(batches, 40), maxlen=0)
        pack_again(uri)
        with pytest.raises(
            StorageError, match=r"\.tar.* was replaced while the run read it .* another corpus now"
        ):
            deque(batches, maxlen=0)
    assert not stream.bad_clips


def test_another_corpus_than_the_orders_is_refused(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    cataract, knee = table.sizes()
    other = Order.create([cataract, DatasetSize("knee", knee.specialty, 12)], 5, CONFIG)
    with pytest.raises(ManifestError, match="expected dataset knee of 12 clips of knee surgery"):
        open_stream(table, other)
    open_stream(table, Order.create([cataract], 5, CONFIG)).close()


def test_a_batch_or_a_stop_that_does_not_fit_is_refused(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    with pytest.raises(
        ConfigError, match=r"global_batch_size: expected a multiple of .* = 3 x 3 = 9, got 12"
    ):
        open_stream(table, world_size=3)
    for stop in (-12, 13):
        with pytest.raises(
            ValueError, match=f"stop: expected 0 plus whole steps of 12, got {stop}"
        ):
            open_stream(table, stop=stop)


def test_the_configuration_says_all_that_is_wrong() -> None:
    with pytest.raises(ConfigError) as error:
        build(ReadConfig, {"threads": 0, "prefetch_steps": -1, "range_bytes": 0}, where="x")
    assert all(
        f"{name}: expected " in str(error.value)
        for name in ("threads", "prefetch_steps", "range_bytes")
    )


def test_chunks_that_do_not_fit_in_memory_are_refused(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    message = (
        r"read\.buffer_bytes: the order keeps 6 chunks open, about .* MB on each of 2 ranks; expected at least .*; "
        r"set data\.read\.buffer_bytes=(\d+), or train on more ranks"
    )
    with pytest.raises(ConfigError, match=message) as error:
        open_stream(table, micro_batch_size=3, world_size=2, read=ReadConfig(buffer_bytes=1000))

    said = re.search(message, str(error.value))
    assert said
    told = ReadConfig(buffer_bytes=int(said[1]))
    with open_stream(table, micro_batch_size=3, world_size=2, read=told):
        pass


def test_reading_ahead_waits_for_memory_and_changes_nothing(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    generous = ReadConfig(prefetch_steps=30)
    with open_stream(table, read=generous) as stream:
        next(iter(stream))
        deadline = time.monotonic() + 30
        while stream.counters.chunks_read <= 30 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert stream.counters.chunks_read > 30, "without the bound much more is read at once"
    report = Order.create(table.sizes(), 5, CONFIG).report()
    needed = sum(
        part.lanes * (part.chunk_clips + 9) * table.mean_clip_bytes(part.name) for part in report
    )
    tight = ReadConfig(prefetch_steps=30, buffer_bytes=math.ceil(needed))
    most = 0
    with open_stream(table, read=tight) as stream:
        for _ in stream:
            most = max(most, stream.counters.buffer_bytes)
    assert collect(table, read=tight) == collect(table, read=generous)
    assert most < 2 * needed


def test_a_thread_that_waits_says_what_for(corpus: Path) -> None:
    class Silent(LocalStorage):
        gate = threading.Event()

        def read_into(
            self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
        ) -> None:
            if name.endswith(".tar"):
                self.gate.wait(30)
            super().read_into(name, start, out, stop)

    storage = Silent(corpus, str(corpus))
    stream = open_stream(FrameTable.open(storage), read=ReadConfig(threads=2))
    consumer = threading.Thread(target=lambda: next(iter(stream)))
    consumer.start()
    while stream.activities.report().count(".tar,") < 2:
        time.sleep(0.001)
    assert re.search(
        r"read-chunks_\d+: reads \w+/\w+-\d{6}\.tar, bytes \d+ to \d+ for \d",
        stream.activities.report(),
    )
    storage.gate.set()
    consumer.join()
    stream.close()
    assert stream.activities.report() == "no reader is active"
