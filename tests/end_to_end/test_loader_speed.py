"""The loader alone, on ranks as a launcher starts them."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from surgstream.launch.scaling import read_results, table
from surgstream.shards.reading.counters import ReadCounters
from surgstream.trainer.commands.loader import _count, rates
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import log, words
from tests.helpers.ranks import finish, start

WINDOW = ("--seconds", "1", "--warm-up", "0.2")


def measure(corpora: Corpora, folder: Path, world_size: int, *more: str) -> dict[str, Any]:
    """Run the command; returns what it wrote."""
    out, run_dir = folder / "results" / "loader.json", folder / "run"
    command = ["loader", *words(corpora, run_dir), *WINDOW, "--out", str(out), *more]
    assert finish(start(command, world_size, run_dir.with_suffix(".log"))) == [0] * world_size, log(
        run_dir
    )
    assert not run_dir.exists()
    return json.loads(out.read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("decode", [True, False])
def test_ranks_are_measured_together(
    corpora: Corpora, tmp_path: Path, decode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "node7")
    found = measure(corpora, tmp_path, 2, *([] if decode else ["--no-decode"]))
    assert [rank["rank"] for rank in found["ranks"]] == [0, 1]
    assert (found["world_size"], found["num_nodes"], found["decode"]) == (2, 1, decode)
    assert found["config"]["num_frames"] == 4 and found["config"]["data"]["corpus"] == str(
        corpora.train
    )
    assert len(found["corpus"]["sha256"]) == 64 and found["environment"]["packages"]["numpy"]
    for rank in found["ranks"]:
        assert rank["clips"] > 0 and rank["clips"] % 8 == 0 and rank["seconds"] > 0
        assert rank["counts"]["bytes_used"] > 0
    speeds = [rank["clips"] / rank["seconds"] for rank in found["ranks"]]
    assert found["total"]["clips_per_second"] == pytest.approx(sum(speeds))
    assert found["total"]["slowest_rank_clips_per_second"] == pytest.approx(min(speeds))
    (node,) = found["nodes"]
    assert node["host"] == "node7" and node["ranks"] == 2 and node["cpus"] > 0
    assert node["clips_per_second"] == found["total"]["clips_per_second"]

    page = log(tmp_path / "run")
    assert f"clips {'read and decoded' if decode else 'read, not decoded'} in 1 s" in page
    assert ["node7", "2", f"{sum(speeds):,.1f}"] in [line.split()[:3] for line in page.splitlines()]
    assert "efficiency" in table(read_results(tmp_path / "results"))


def test_one_process_alone_is_measured_too(corpora: Corpora, tmp_path: Path) -> None:
    found = measure(corpora, tmp_path, 1, "--start", "160")
    assert (found["start"], found["world_size"]) == (160, 1) and found["total"][
        "clips_per_second"
    ] > 0


def test_a_batch_that_cannot_be_dealt_is_refused(corpora: Corpora, tmp_path: Path) -> None:
    command = ["loader", *words(corpora, tmp_path / "run", "micro_batch_size=16")]
    assert 0 not in finish(start(command, 2, tmp_path / "run.log"))
    assert "global_batch_size" in log(tmp_path / "run") and "Traceback" not in log(tmp_path / "run")


def test_what_came_before_the_window_does_not_count() -> None:
    counters, taken = ReadCounters(), [0]
    feed: Any = SimpleNamespace(counters=counters, retries={}, bad_clips=[])

    def sizes() -> Iterator[int]:
        counters.add(requests=1_000_000)
        yield 4_000_000
        while True:
            counters.add(requests=1)
            taken[0] += 4
            yield 4

    own = _count(feed, sizes(), warm_up=0.05, seconds=0.1)
    assert 0 < own["clips"] <= taken[0]
    assert abs(own["clips"] - 4 * own["counts"]["requests"]) <= 4, (
        "at most the batch that is on its way"
    )


def rank(clips: int, **counts: int) -> dict[str, Any]:
    return {"clips": clips, "seconds": 2.0, "cpu_seconds": 1.0, "wait_seconds": 0.5, "bad_clips": 1,
            "first_batch_seconds": 0.1 * clips, "counts": counts}  # fmt: skip


def test_rates_of_several_ranks_are_their_sums() -> None:
    first = rank(10, bytes_read=4_000_000_000, requests=6, retries_throttled=1, retries_timeout=0)
    found = rates([first, rank(30, bytes_read=0, requests=2, retries_throttled=2, cache_hits=5)])
    assert found == {
        "ranks": 2, "clips_per_second": 20.0, "slowest_rank_clips_per_second": 5.0, "gigabytes_per_second": 2.0,
        "requests_per_second": 4.0, "bytes_read_per_clip": 1e8, "retries": {"throttled": 3}, "cache_hits": 5,
        "cache_misses": 0, "cache_gigabytes_per_second": 0.0, "bad_clips": 2, "wait_share": 0.25, "cores_busy": 1.0,
        "first_batch_seconds": 3.0,
    }  # fmt: skip
