"""`surgstream loader`: measures the rate of a recipe's clips, without a model."""

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
from typing import Any

from surgstream.configs.files import write_atomically
from surgstream.configs.loading import to_tree
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.feed import ClipFeed
from surgstream.shards.reading.locations import ClipTable, SizedTable
from surgstream.trainer.assembly import clip_source, training_corpus
from surgstream.trainer.clip_tables import training_clips
from surgstream.trainer.commands.loader_table import table
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.data.metrics import totals
from surgstream.trainer.data.source import ByteSource
from surgstream.trainer.device import check_own_gpu
from surgstream.trainer.distributed import (
    RankInfo,
    all_gather,
    alone_when_failing,
    barrier,
    from_main,
    leave,
    rank_info_from_environment,
)
from surgstream.trainer.host.names import node_name
from surgstream.trainer.joining import join
from surgstream.trainer.session.directory import environment
from surgstream.trainer.session.log import configure_logging

log = logging.getLogger(__name__)

_FORMAT = 1


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream loader`."""
    rank_info = rank_info_from_environment(os.environ)
    configure_logging(rank_info)
    with alone_when_failing(rank_info):
        config = load_recipe(words.config, words.overrides)
        config.grad_accum_steps(rank_info.world_size)  # raises before ranks wait for each other
        check_own_gpu(rank_info)
        join(rank_info, config.parallel.timeout_seconds)
        # The folder is made before anything is measured, so that a bad path costs no result.
        if words.out:
            from_main(lambda: words.out.parent.mkdir(parents=True, exist_ok=True))

        result = measure(
            config,
            rank_info,
            start=words.start,
            warm_up=words.warm_up,
            seconds=words.seconds,
            decode=not words.no_decode,
        )

        if rank_info.is_main:
            sys.stdout.write(table(result) + "\n")
            if words.out:
                write_atomically(words.out, json.dumps(result, indent=1) + "\n")

    leave()
    return 0


def measure(
    config: TrainConfig,
    rank_info: RankInfo,
    *,
    start: int,
    warm_up: float,
    seconds: float,
    decode: bool,
) -> dict[str, Any]:
    """Measure on all ranks, which call it together.

    Args:
        config: The recipe.
        rank_info: This rank's place.
        start: First draw.
        warm_up: Seconds from the common start to the measured window.
        seconds: Length of the window.
        decode: Whether to decode the clips.

    Returns:
        The same JSON tree on every rank: `total`, each of `nodes` and each of `ranks`, and the conditions.

    Raises:
        SurgstreamError: The corpus cannot be read or decoded, or its batches cannot be divided among the ranks.
    """
    corpus = training_corpus(config.data)
    clips: SizedTable = corpus
    if config.task:
        config, clips = training_clips(config, check=False)
    with _batches(config, rank_info, clips, start=start, decode=decode) as (feed, sizes):
        own = _count(feed, sizes, warm_up=warm_up, seconds=seconds)

    where = environment(rank_info)
    host = node_name()
    ranks = all_gather({"rank": rank_info.rank, "host": host, **own})
    hardware = all_gather({"host": host, "device": where["device"], "cpus": where["cpus"]})
    nodes = _nodes(ranks, hardware)

    return {
        "format": _FORMAT,
        "time": time.time(),
        "num_nodes": len(nodes),
        "world_size": rank_info.world_size,
        "decode": decode,
        "start": start,
        "warm_up_seconds": warm_up,
        "seconds": seconds,
        "total": rates(ranks),
        "nodes": nodes,
        "ranks": ranks,
        "corpus": {
            "sha256": corpus.sha256,
            "clips": sum(size.num_clips for size in clips.sizes()),
        },
        "config": _conditions(config),
        "environment": where,
    }


def _nodes(
    ranks: Sequence[Mapping[str, Any]], hardware: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Sum up each node's ranks, in the order of their first ranks."""
    nodes = []
    # One entry a node: its ranks see the same hardware.
    for host, seen in {of_rank["host"]: of_rank for of_rank in hardware}.items():
        of_node = [rank for rank in ranks if rank["host"] == host]
        nodes.append({**seen, **rates(of_node)})
    return nodes


def _conditions(config: TrainConfig) -> dict[str, Any]:
    encoder = config.objective.encoder
    return {
        "seed": config.seed,
        "global_batch_size": config.global_batch_size,
        "micro_batch_size": config.micro_batch_size,
        "num_frames": encoder.num_frames,
        "image_size": encoder.image_size,
        "data": to_tree(config.data),
    }


def rates(ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up what some ranks did.

    Args:
        ranks: The counts of each in its window.

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

    clip_rates = [rank["clips"] / rank["seconds"] for rank in ranks]
    wait_shares = [min(1.0, rank["wait_seconds"] / rank["seconds"]) for rank in ranks]
    retries = {
        name.removeprefix("retries_"): count
        for name, count in sorted(counts.items())
        if name.startswith("retries_") and count
    }

    return {
        "ranks": len(ranks),
        "clips_per_second": sum(clip_rates),
        "slowest_rank_clips_per_second": min(clip_rates),
        "gigabytes_per_second": per_second("bytes_read") / 1e9,
        "requests_per_second": per_second("requests"),
        "bytes_read_per_clip": counts["bytes_read"] / clips if clips else None,
        "retries": retries,
        "cache_hits": counts["cache_hits"],
        "cache_misses": counts["cache_misses"],
        "cache_gigabytes_per_second": per_second("cache_bytes") / 1e9,
        "bad_clips": sum(rank["bad_clips"] for rank in ranks),
        "wait_share": statistics.fmean(wait_shares),
        "cores_busy": sum(rank["cpu_seconds"] / rank["seconds"] for rank in ranks),
        "first_batch_seconds": max(rank["first_batch_seconds"] for rank in ranks),
    }


@contextmanager
def _batches(
    config: TrainConfig, rank_info: RankInfo, corpus: ClipTable, *, start: int, decode: bool
) -> Iterator[tuple[ClipFeed, Iterator[int]]]:
    """Begin to read on all ranks at once; yields the feed, and the sizes of its batches as they come."""
    order = Order.create(corpus.sizes(), config.seed, config.data.order)
    batch = config.global_batch_size

    if decode:
        clips = clip_source(config, rank_info, corpus, config.data.augment)
        # Decoders take a different time to build on each rank; none reads before all are ready.
        barrier()
        with clips.open(order, global_batch_size=batch, start=start) as loader:
            yield loader.stream, (len(clips.draws) for clips in loader)
    else:
        source = ByteSource(
            config.data,
            corpus,
            num_frames=config.objective.encoder.num_frames,
            micro_batch_size=config.micro_batch_size,
            rank_info=rank_info,
        )
        barrier()
        with source.stream(order, global_batch_size=batch, start=start) as stream:
            yield stream, map(len, stream)


def _count(
    feed: ClipFeed, sizes: Iterator[int], *, warm_up: float, seconds: float
) -> dict[str, Any]:
    """Take batches until the window closes; another thread opens and closes it, so that a stall does not stretch it."""
    began = time.perf_counter()
    clips = 0
    seen: list[dict[str, Any]] = []
    closed = threading.Event()

    def look() -> None:
        for end in (warm_up, warm_up + seconds):
            time.sleep(max(0.0, began + end - time.perf_counter()))
            # The main thread goes on: `clips` lacks at most the batch that it waits for.
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
