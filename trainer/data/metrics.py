"""How reading goes, over all ranks: waits, traffic, retries, damaged clips, and each dataset's share of the draws."""

import json
from collections import Counter
from dataclasses import asdict
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
from surgstream.trainer.distributed import Topology, all_gather
from surgstream.trainer.runs.files import QUARANTINE

_COUNTERS = (
    *("requests", "bytes_read", "bytes_used", "chunks_read", "read_again"),
    *("cache_hits", "cache_misses", "cache_bytes", "cache_damaged"),
)
_GAUGES = ("open_chunks", "buffer_bytes")


Value = float | npt.NDArray[np.float64]


def totals(feed: ClipFeed) -> Counter[str]:
    """What this rank's reading has cost so far: counters by name, and retries as `retries_CAUSE`."""
    counts = Counter({name: getattr(feed.counters, name) for name in _COUNTERS})
    counts.update({f"retries_{cause}": count for cause, count in feed.retries.items()})
    return counts


class DataWatch:
    """Reports what all ranks' loaders did since the last report, and keeps the list of damaged clips."""

    def __init__(
        self,
        loader: ClipLoader,
        order: Order,
        topology: Topology,
        limits: BadClipLimits,
        run_dir: Path,
        batches_per_step: int,
    ) -> None:
        """Watch this rank's loader.

        Args:
            loader: Of the training clips.
            order: Which clip is drawn when.
            topology: This rank's place.
            limits: How many clips may be damaged.
            run_dir: Where `quarantine.jsonl` is written.
            batches_per_step: Micro-batches a rank and step.
        """
        self._loader, self._order, self._topology, self._limits = loader, order, topology, limits
        self._quarantine, self._batches_per_step = run_dir / QUARANTINE, batches_per_step
        self._before: Counter[str] = Counter()
        self._decoded_before = 0.0
        self._num_bad = 0

    def report(self, g: int) -> dict[str, Value]:
        """Gather from all ranks, which call it together.

        Args:
            g: Draws that the run has consumed.

        Returns:
            Values under `data/...`, the same on every rank. Seconds are of one step on one rank. `data_share/...` is
            each dataset's share of all draws so far, `data_weight/...` the one that it is to have from its last change
            on, `data_repeats/...` how often each of its clips was drawn.

        Raises:
            CorruptSampleError: More clips are damaged than the limits allow, over all ranks.
        """
        news = all_gather(self._news())
        # (ranks, steps), in seconds.
        waits = np.array([rank["waits"] for rank in news])
        counts = Counter[str]()
        for rank in news:
            counts.update(rank["counts"])

        values: dict[str, Value] = {
            "data/wait_histogram_seconds": waits.ravel(),
            "data/wait_p50_seconds": float(np.percentile(waits, 50)),
            "data/wait_p99_seconds": float(np.percentile(waits, 99)),
            "data/wait_max_seconds": float(waits.max()),
            "data/slowest_rank": float(waits.sum(axis=1).argmax()),
            "data/decode_seconds": float(np.mean([rank["decode"] for rank in news])),
            "data/batches_ready": float(np.mean([rank["ready"] for rank in news])),
            **{f"data/{name}": float(counts[name]) for name in _COUNTERS},
            **{
                f"data/{name}": float(sum(rank["gauges"][name] for rank in news))
                for name in _GAUGES
            },
            **{
                f"data/{name}": float(count)
                for name, count in sorted(counts.items())
                if name.startswith("retries_")
            },
        }
        if counts["bytes_used"]:
            values["data/bytes_read_per_byte_used"] = counts["bytes_read"] / counts["bytes_used"]

        # Raises on every rank alike, since all count the same clips.
        self._quarantined([bad for rank in news for bad in rank["bad"]])
        values["data/bad_clips"] = float(self._num_bad)

        for size, drawn in self._order.drawn_before(g).items():
            values[f"data_share/{size.name}"] = drawn / g
            values[f"data_repeats/{size.name}"] = drawn / size.num_clips
        for part in self._order.report():
            values[f"data_weight/{part.name}"] = part.asked

        return values

    def _news(self) -> dict[str, Any]:
        """What happened on this rank since the last report."""
        stream, step = self._loader.stream, self._batches_per_step

        # Micro-batches of a step that is under way stay for the next report.
        num_steps = len(self._loader.waits) // step
        waits = (
            np.array(self._loader.waits[: num_steps * step]).reshape(num_steps, step).sum(axis=1)
        )
        del self._loader.waits[: num_steps * step]

        now = totals(stream)
        decoded = self._loader.decode_seconds
        decode, self._decoded_before = (decoded - self._decoded_before) / num_steps, decoded
        counts, self._before = {name: now[name] - self._before[name] for name in now}, now
        bad, stream.bad_clips[:] = [asdict(clip) for clip in stream.bad_clips], []

        return {
            "waits": waits.tolist(),
            "decode": decode,
            "counts": counts,
            "gauges": {name: getattr(stream.counters, name) for name in _GAUGES},
            "ready": self._loader.num_ready,
            "bad": bad,
        }

    def _quarantined(self, clips: list[dict[str, Any]]) -> None:
        self._num_bad += len(clips)
        if clips and self._topology.is_main:
            with naming(self._quarantine), self._quarantine.open("a", encoding="utf-8") as file:
                file.writelines(
                    json.dumps(clip) + "\n" for clip in sorted(clips, key=lambda clip: clip["g"])
                )
        if self._num_bad > self._limits.in_all:
            raise CorruptSampleError(
                f"{self._num_bad} clips were damaged on all ranks together, expected at most {self._limits.in_all}; "
                f"{self._quarantine} names them: run `surgstream verify`, then copy or pack those shards again"
            )
