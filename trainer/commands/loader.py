"""`surgstream loader`: how fast a recipe's clips come, without a model."""

import argparse
import json
import logging
import os
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surgstream.configs.loading import load, to_tree
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.feed import ClipFeed
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.assembly import clip_source, open_corpus
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.metrics import totals
from surgstream.trainer.data.source import ByteSource
from surgstream.trainer.distributed import (
    Topology,
    all_gather,
    alone_when_failing,
    barrier,
    configure_logging,
    from_main,
    leave,
    topology_from_environment,
)
from surgstream.trainer.joining import join
from surgstream.trainer.preflight.rendezvous import node_name
from surgstream.trainer.run_directory import environment

log = logging.getLogger(__name__)

_FORMAT = 1


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream loader`."""
    topology = topology_from_environment(os.environ)
    configure_logging(topology)
    with alone_when_failing(topology):
        config = load(TrainConfig, words.config, words.overrides)
        config.grad_accum_steps(topology.world_size)  # refused before ranks wait for each other
        join(topology, config.parallel.timeout_seconds)
        # Made before anything is measured, so that a bad path costs no result.
        if words.out:
            from_main(lambda: words.out.parent.mkdir(parents=True, exist_ok=True))

        result = measure(
            config,
            topology,
            start=words.start,
            warm_up=words.warm_up,
            seconds=words.seconds,
            decode=not words.no_decode,
        )

        if topology.is_main:
            sys.stdout.write(table(result) + "\n")
            if words.out:
                _write(words.out, result)

    leave()
    return 0


def measure(
    config: TrainConfig,
    topology: Topology,
    *,
    start: int,
    warm_up: float,
    seconds: float,
    decode: bool,
) -> dict[str, Any]:
    """Measure on all ranks, which call it together.

    Args:
        config: The recipe.
        topology: This rank's place.
        start: First draw.
        warm_up: Seconds from the common start to the window.
        seconds: Length of the window.
        decode: Whether to decode what is read.

    Returns:
        The same JSON tree on every rank: `total`, each of `nodes` and each of `ranks`, and the conditions.

    Raises:
        SurgstreamError: The corpus cannot be read or decoded, or its batches cannot be dealt to the ranks.
    """
    corpus = open_corpus(config.data.corpus, config.data)
    with _batches(config, topology, corpus, start=start, decode=decode) as (feed, sizes):
        own = _count(feed, sizes, warm_up=warm_up, seconds=seconds)

    where = environment(topology)
    host = node_name(os.environ)
    ranks = all_gather({"rank": topology.rank, "host": host, **own})
    # One entry a node: its ranks see the same hardware.
    hardware = {
        seen["host"]: seen
        for seen in all_gather({"host": host, **{k: where[k] for k in ("device", "cpus")}})
    }
    nodes = [
        {**hardware[host], **rates([rank for rank in ranks if rank["host"] == host])}
        for host in dict.fromkeys(rank["host"] for rank in ranks)
    ]

    return {
        "format": _FORMAT,
        "time": time.time(),
        "num_nodes": len(nodes),
        "world_size": topology.world_size,
        "decode": decode,
        "start": start,
        "warm_up_seconds": warm_up,
        "seconds": seconds,
        "total": rates(ranks),
        "nodes": nodes,
        "ranks": ranks,
        "corpus": {
            "sha256": corpus.sha256,
            "clips": sum(size.num_clips for size in corpus.sizes()),
        },
        "config": {
            "seed": config.seed,
            "global_batch_size": config.global_batch_size,
            "micro_batch_size": config.micro_batch_size,
            "num_frames": config.objective.encoder.num_frames,
            "image_size": config.objective.encoder.image_size,
            "data": to_tree(config.data),
        },
        "environment": where,
    }


def rates(ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What some ranks did together.

    Args:
        ranks: What each counted in the window.

    Returns:
        Rates and `cores_busy` are sums over ranks, `wait_share` is their mean; GB are 10^9 bytes.
    """
    counts = Counter[str]()
    for rank in ranks:
        counts.update(rank["counts"])
    clips = sum(rank["clips"] for rank in ranks)

    # Each rank has timed its own window, so rates are added up, not counts.
    def per_second(name: str) -> float:
        return float(sum(rank["counts"].get(name, 0) / rank["seconds"] for rank in ranks))

    return {
        "ranks": len(ranks),
        "clips_per_second": sum(rank["clips"] / rank["seconds"] for rank in ranks),
        "slowest_rank_clips_per_second": min(rank["clips"] / rank["seconds"] for rank in ranks),
        "gigabytes_per_second": per_second("bytes_read") / 1e9,
        "requests_per_second": per_second("requests"),
        "bytes_read_per_clip": counts["bytes_read"] / clips if clips else None,
        "retries": {
            name.removeprefix("retries_"): n
            for name, n in sorted(counts.items())
            if name.startswith("retries_") and n
        },
        "cache_hits": counts["cache_hits"],
        "cache_misses": counts["cache_misses"],
        "cache_gigabytes_per_second": per_second("cache_bytes") / 1e9,
        "bad_clips": sum(rank["bad_clips"] for rank in ranks),
        "wait_share": statistics.fmean(
            min(1.0, rank["wait_seconds"] / rank["seconds"]) for rank in ranks
        ),
        "cores_busy": sum(rank["cpu_seconds"] / rank["seconds"] for rank in ranks),
        "first_batch_seconds": max(rank["first_batch_seconds"] for rank in ranks),
    }


def table(result: Mapping[str, Any]) -> str:
    """The numbers of each node and of all, and the slowest rank, for a terminal."""
    work = "read and decoded" if result["decode"] else "read, not decoded"
    lines = [
        f"clips {work} in {result['seconds']:g} s, after {result['warm_up_seconds']:g} s to warm up",
        "",
    ]

    rows = [("node", "ranks", "clips/s", "GB/s", "GETs/s", "retries", "waits")]
    for name, group in [
        *((node["host"], node) for node in result["nodes"]),
        ("all", result["total"]),
    ]:
        rates = (f"{group['clips_per_second']:,.1f}", f"{group['gigabytes_per_second']:.3f}")
        costs = (f"{group['requests_per_second']:,.1f}", f"{sum(group['retries'].values()):,}")
        rows.append(
            (name, f"{group['ranks']}", *rates, *costs, f"{100 * group['wait_share']:.0f} %")
        )

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        aligned = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:<{widths[0]}}", *aligned]))

    # In training every step waits for the slowest rank, so all go at its pace.
    slowest = min(result["ranks"], key=lambda rank: rank["clips"] / rank["seconds"])
    speed, ranks = result["total"]["slowest_rank_clips_per_second"], result["world_size"]
    return "\n".join(
        [
            *lines,
            "",
            f"slowest rank: {slowest['rank']} on {slowest['host']}, {speed:,.1f} clips/s; "
            f"all in step with it, as in training: {speed * ranks:,.1f}",
            f"every rank had its first batch after {result['total']['first_batch_seconds']:.1f} s",
        ]
    )


@contextmanager
def _batches(
    config: TrainConfig, topology: Topology, corpus: FrameTable, *, start: int, decode: bool
) -> Iterator[tuple[ClipFeed, Iterator[int]]]:
    """Begin to read on all ranks at once; gives what is read from, and the sizes of the batches as they come."""
    order, batch = (
        Order.create(corpus.sizes(), config.seed, config.data.order),
        config.global_batch_size,
    )

    if decode:
        clips = clip_source(config, topology, corpus, config.data.crop)
        # Decoders take a different time to build on each rank: none reads before all are ready.
        barrier()
        with clips.open(order, global_batch_size=batch, start=start) as loader:
            yield loader.stream, (len(clips.g) for clips in loader)
    else:
        source = ByteSource(
            config.data,
            corpus,
            num_frames=config.objective.encoder.num_frames,
            micro_batch_size=config.micro_batch_size,
            topology=topology,
        )
        barrier()
        with source.stream(order, global_batch_size=batch, start=start) as stream:
            yield stream, map(len, stream)


def _count(
    feed: ClipFeed, sizes: Iterator[int], *, warm_up: float, seconds: float
) -> dict[str, Any]:
    """Take batches until the window has closed; another thread opens and closes it, so a stall does not stretch it."""
    began = time.perf_counter()
    clips = 0
    seen: list[dict[str, Any]] = []
    closed = threading.Event()

    def look() -> None:
        for end in (warm_up, warm_up + seconds):
            time.sleep(max(0.0, began + end - time.perf_counter()))
            # The main thread goes on meanwhile: `clips` lacks at most the batch that it waits for.
            seen.append(
                {
                    "seconds": time.perf_counter() - began,
                    "cpu_seconds": time.process_time(),
                    "clips": clips,
                    "wait_seconds": feed.counters.wait_seconds,
                    "bad_clips": len(feed.bad_clips),
                    "counts": totals(feed),
                }
            )
        closed.set()

    threading.Thread(target=look, name="window", daemon=True).start()
    first_batch_seconds = 0.0
    while not closed.is_set():
        clips += next(sizes)
        first_batch_seconds = first_batch_seconds or time.perf_counter() - began

    if first_batch_seconds > warm_up:
        log.warning(
            "the first batch came after %.1f s, when the window was open; raise --warm-up",
            first_batch_seconds,
        )

    opened, closing = seen
    news = {name: closing[name] - opened[name] for name in opened if name != "counts"}
    counts = {name: count - opened["counts"][name] for name, count in closing["counts"].items()}
    return {**news, "counts": counts, "first_batch_seconds": first_batch_seconds}


def _write(path: Path, result: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
