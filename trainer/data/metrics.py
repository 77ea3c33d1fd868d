"""Metrics of the loaders of all ranks: waits, traffic, retries, damaged clips, and shares of the datasets."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.files import naming
from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.clips import BadClipLimits
from surgstream.shards.reading.feed import ClipFeed
from surgstream.trainer.data.loader import ClipLoader
from surgstream.trainer.distributed import RankInfo, all_gather
from surgstream.trainer.runs.files import QUARANTINE

_COUNTERS = (
    "requests",
    "bytes_read",
    "bytes_used",
    "chunks_read",
    "read_again",
    "cache_hits",
    "cache_misses",
    "cache_bytes",
    "cache_damaged",
)
_GAUGES = ("open_chunks", "buffer_bytes")


Value = float | npt.NDArray[np.float64]


def totals(feed: ClipFeed) -> Counter[str]:
    """Total what this rank has read so far: counters by name, and retries as `retries_CAUSE`."""
    counts = Counter({name: getattr(feed.counters, name) for name in _COUNTERS})
    counts.update({f"retries_{cause}": count for cause, count in feed.retries.items()})
    return counts


class LoaderMetrics:
    """Reports on the loaders of all ranks since the last report, and keeps the list of damaged clips."""

    def __init__(
        self,
        loader: ClipLoader,
        order: Order,
        rank_info: RankInfo,
        limits: BadClipLimits,
        run_dir: Path,
        batches_per_step: int,
    ) -> None:
        """Watch this rank's loader.

        Args:
            loader: The loader of the training clips.
            order: The order of the draws.
            rank_info: This rank's place.
            limits: The most clips that may be damaged.
            run_dir: The run's directory, for `quarantine.jsonl`.
            batches_per_step: Micro-batches a rank and step.
        """
        self._loader = loader
        self._order = order
        self._rank_info = rank_info
        self._limits = limits
        self._quarantine = run_dir / QUARANTINE
        self._batches_per_step = batches_per_step

        # As of the last report.
        self._before: Counter[str] = Counter()
        self._decoded_before = 0.0
        self._num_bad = 0

    def report(self, clips_seen: int) -> dict[str, Value]:
        """Gather values from all ranks, which call it together.

        Args:
            clips_seen: Draws that the run has consumed.

        Returns:
            Values under `data/...`, the same on every rank. Seconds are of one step on one rank. For each dataset,
            `data_share/...` is its share of all draws so far, `data_weight/...` the share that the recipe now asks for,
            and `data_repeats/...` the mean number of draws of each of its clips.

        Raises:
            CorruptSampleError: More clips are damaged than the limits allow, over all ranks.
        """
        news = all_gather(self._news())
        values = {**_wait_values(news), **_read_values(news)}

        # Raises on every rank alike, since all count the same clips.
        self._quarantined(list(itertools.chain.from_iterable(rank["bad"] for rank in news)))
        values["data/bad_clips"] = float(self._num_bad)

        for size, drawn in self._order.drawn_before(clips_seen).items():
            values[f"data_share/{size.name}"] = drawn / clips_seen
            values[f"data_repeats/{size.name}"] = drawn / size.num_clips
        for part in self._order.report():
            values[f"data_weight/{part.name}"] = part.asked

        return values

    def _news(self) -> dict[str, Any]:
        """Take what happened on this rank since the last report."""
        loader = self._loader
        stream = loader.stream

        # Micro-batches of a step that is under way stay for the next report.
        num_steps = len(loader.waits) // self._batches_per_step
        num_waits = num_steps * self._batches_per_step
        waits = np.array(loader.waits[:num_waits]).reshape(num_steps, self._batches_per_step)
        del loader.waits[:num_waits]

        decoded = loader.decode_seconds
        decode_seconds = (decoded - self._decoded_before) / num_steps
        self._decoded_before = decoded

        now = totals(stream)
        counts = {name: now[name] - self._before[name] for name in now}
        self._before = now

        bad = [clip.as_json() for clip in stream.bad_clips]
        del stream.bad_clips[: len(bad)]  # decoding, on another thread, may have found more

        return {
            "waits": waits.sum(axis=1).tolist(),
            "decode": decode_seconds,
            "counts": counts,
            "gauges": {name: getattr(stream.counters, name) for name in _GAUGES},
            "ready": loader.num_ready,
            "bad": bad,
        }

    def _quarantined(self, clips: list[dict[str, Any]]) -> None:
        """Write damaged clips down, and end the run where there are too many.

        Raises:
            CorruptSampleError: More clips are damaged than the limits allow.
        """
        self._num_bad += len(clips)
        if clips and self._rank_info.is_main:
            by_draw = sorted(clips, key=lambda clip: int(clip["g"]))
            with naming(self._quarantine), self._quarantine.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(clip) + "\n" for clip in by_draw)

        if self._num_bad > self._limits.in_all:
            raise CorruptSampleError(
                f"{self._num_bad} clips were damaged on all ranks together, "
                f"expected at most {self._limits.in_all}; {self._quarantine} names them: "
                "run `surgstream verify`, then copy or pack those shards again"
            )


def _wait_values(news: list[dict[str, Any]]) -> dict[str, Value]:
    """Summarise the waits of all ranks for batches, and their decoding."""
    # (ranks, steps), in seconds.
    waits = np.array([rank["waits"] for rank in news])
    return {
        "data/wait_histogram_seconds": waits.ravel(),
        "data/wait_p50_seconds": float(np.percentile(waits, 50)),
        "data/wait_p99_seconds": float(np.percentile(waits, 99)),
        "data/wait_max_seconds": float(waits.max()),
        "data/slowest_rank": float(waits.sum(axis=1).argmax()),
        "data/decode_seconds": float(np.mean([rank["decode"] for rank in news])),
        "data/batches_ready": float(np.mean([rank["ready"] for rank in news])),
    }


def _read_values(news: list[dict[str, Any]]) -> dict[str, Value]:
    """Add up the reads and retries of all ranks."""
    counts = Counter[str]()
    for rank in news:
        counts.update(rank["counts"])

    values: dict[str, Value] = {}
    for name in _COUNTERS:
        values[f"data/{name}"] = float(counts[name])
    for name in _GAUGES:
        values[f"data/{name}"] = float(sum(rank["gauges"][name] for rank in news))
    for name in sorted(counts):
        if name.startswith("retries_"):
            values[f"data/{name}"] = float(counts[name])

    if counts["bytes_used"]:
        values["data/bytes_read_per_byte_used"] = counts["bytes_read"] / counts["bytes_used"]
    return values
