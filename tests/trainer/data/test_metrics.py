"""What two ranks tell of their reading, as one."""

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig
from surgstream.shards.reading.buffers import new_buffer
from surgstream.shards.reading.chunks import BadFrame
from surgstream.shards.reading.clips import BadClip, BadClipLimits
from surgstream.shards.reading.counters import ReadCounters
from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.slow


def bad(g: int) -> BadClip:
    return BadClip(
        g,
        "knee",
        "a",
        4,
        "b",
        9,
        BadFrame("knee/knee-000000.tar", "a", 3, "expected CRC-32 1, got 2"),
    )


def report_twice(out: str) -> None:
    """On each rank: a report of 2 steps of 2 micro-batches, one of a step more, and one of more damage than allowed."""
    from surgstream.trainer.data.metrics import LoaderMetrics
    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    rank = rank_info.rank
    counters, retries, bad_clips = ReadCounters(), Counter[str](), list[BadClip]()
    stream = SimpleNamespace(counters=counters, retries=retries, bad_clips=bad_clips)
    loader: Any = SimpleNamespace(
        stream=stream, waits=list[float](), decode_seconds=0.0, num_ready=1 + rank
    )
    sizes = [DatasetSize("hip", "orthopaedics", 10), DatasetSize("knee", "orthopaedics", 30)]
    order = Order.create(sizes, 0, OrderConfig())
    watch = LoaderMetrics(
        loader, order, rank_info, BadClipLimits(in_all=3), Path(out), batches_per_step=2
    )

    loader.waits += [[1.0, 2.0, 3.0, 4.0, 20.0], [10.0, 0.0, 0.0, 10.0, 20.0]][rank]
    loader.decode_seconds += [3.0, 5.0][rank]
    counters.add(
        requests=3,
        bytes_read=100 + rank,
        bytes_used=50,
        chunks_read=2,
        read_again=rank,
        open_chunks=4 + rank,
    )
    retries["timeout"] += 1 + rank
    bad_clips += [[bad(7)], [bad(5)]][rank]
    reports = [watch.report(40)]
    loader.waits += [1.0, 5.0]
    counters.add(requests=4, bytes_read=10, chunks_read=1)
    counters.hold(chunk := new_buffer(8))
    bad_clips += [[], [bad(50)]][rank]
    reports.append(watch.report(80))
    del chunk
    loader.waits += [1.0]
    bad_clips += [[bad(90)], []][rank]
    with pytest.raises(CorruptSampleError) as raised:
        watch.report(120)
    (Path(out) / f"rank{rank}.json").write_text(
        json.dumps([*reports, str(raised.value)], default=list)
    )
    leave()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watch")
    assert finish(start_ranks(report_twice, 2, (str(folder),))) == [0, 0]
    return folder


def test_a_report_is_of_all_ranks_and_of_what_is_new(out: Path) -> None:
    first, second, _ = json.loads((out / "rank0.json").read_text())
    assert json.loads((out / "rank1.json").read_text())[:2] == [first, second]
    assert first == {
        # Steps waited 3 s and 7 s on rank 0, 10 s and 10 s on rank 1; a micro-batch of the next step is left.
        "data/wait_p50_seconds": 8.5, "data/wait_p99_seconds": 10.0, "data/wait_max_seconds": 10.0,
        "data/slowest_rank": 1.0, "data/decode_seconds": 2.0,
        "data/batches_ready": 1.5, "data/requests": 6.0, "data/bytes_read": 201.0,
        "data/bytes_used": 100.0, "data/chunks_read": 4.0, "data/read_again": 1.0, "data/open_chunks": 9.0,
        "data/buffer_bytes": 0.0, "data/retries_timeout": 3.0, "data/bytes_read_per_byte_used": 2.01,
        "data/bad_clips": 2.0, "data_share/hip": 0.25, "data_share/knee": 0.75, "data_weight/hip": 0.25,
        "data_weight/knee": 0.75, "data/wait_histogram_seconds": [3.0, 7.0, 10.0, 10.0],
        "data_repeats/hip": 1.0, "data_repeats/knee": 1.0,
        **{f"data/cache_{name}": 0.0 for name in ("hits", "misses", "bytes", "damaged")},
    }  # fmt: skip
    changed = {key: value for key, value in second.items() if value != first.get(key)}
    assert changed == {
        "data/wait_histogram_seconds": [21.0, 21.0],
        "data/wait_p50_seconds": 21.0, "data/wait_p99_seconds": 21.0, "data/wait_max_seconds": 21.0,
        "data/slowest_rank": 0.0, "data/decode_seconds": 0.0,
        "data/requests": 8.0, "data/bytes_read": 20.0, "data/bytes_used": 0.0,
        "data/chunks_read": 2.0, "data/read_again": 0.0, "data/buffer_bytes": 16.0, "data/retries_timeout": 0.0,
        "data/bad_clips": 3.0, "data_repeats/hip": 2.0, "data_repeats/knee": 2.0,
    }  # fmt: skip


def test_damaged_clips_are_listed_once_by_draw_and_too_many_end_every_rank(out: Path) -> None:
    lines = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert [line["g"] for line in lines] == [5, 7, 50, 90]
    cause = {
        "shard": "knee/knee-000000.tar",
        "video": "a",
        "frame": 3,
        "reason": "expected CRC-32 1, got 2",
    }
    assert lines[0] == {
        "g": 5, "dataset": "knee", "video": "a", "anchor_frame": 4, "used_video": "b", "used_anchor_frame": 9,
        "cause": cause,
    }  # fmt: skip
    for rank in (0, 1):
        *_, message = json.loads((out / f"rank{rank}.json").read_text())
        assert message.startswith(
            "4 clips were damaged on all ranks together, expected at most 3; "
        )
        assert str(out / "quarantine.jsonl") in message
