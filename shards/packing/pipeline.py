"""The work of `surgstream pack`: plan, pack what is missing, publish. Many jobs can pack a share each."""

import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.file import CorpusConfig, PackConfig
from surgstream.shards.corpus.sources import Source, find_sources
from surgstream.shards.errors import OwnedError
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import MANIFEST_NAME, PLAN_NAME
from surgstream.shards.format.outside import check_outside
from surgstream.shards.layers.publishing import publish_layers
from surgstream.shards.layers.work import PackedShard, check_sources, pack_layers, withdraw_layers
from surgstream.shards.packing.discrepancies import (
    packed_footage,
    planned_footage,
    warn_of_other_counts,
    warn_of_short_videos,
    warn_of_unjudged,
)
from surgstream.shards.packing.outcome import Packed
from surgstream.shards.packing.plan import PackingPlan, earlier_plan, make_plan, plan_options
from surgstream.shards.packing.plan_records import PlannedShard
from surgstream.shards.packing.publishing import publish, publish_croissant
from surgstream.shards.packing.removal import sweep, withdraw
from surgstream.shards.packing.shard import PackTask, Receipt, pack_shard
from surgstream.shards.packing.shares import PackingShare
from surgstream.shards.screening.screener import KINDS, obstacles
from surgstream.shards.storage.owner import Owner, owning
from surgstream.shards.storage.stores import Storage, Stores
from surgstream.shards.video.container.files import check_gpu
from surgstream.shards.workers import cores, run_all

log = logging.getLogger(__name__)

RECEIPTS_IN_FLIGHT = 16

MAX_THREADS = 16
"""Decoding threads of one video, where there are more cores than shards."""

Receipts = dict[str, Receipt | None]
"""Receipts by the names of planned shards; None where a shard is still to be packed."""


def pack(corpus: CorpusConfig, root: Path | str, storage: Storage) -> Packed:
    """Plan, pack what is not packed yet, and publish the manifest.

    Args:
        corpus: The corpus file.
        root: Where its relative paths start: a folder or `s3://BUCKET/PREFIX`.
        storage: Where the shards go.

    Returns:
        The outcome, with what the corpus now holds.

    Raises:
        ConfigError: The corpus file fits neither the sources nor what `storage` already holds, or what is to be left
            out cannot be looked for here.
        ShardError: A store fails, a worker is killed, or not one video can be packed.
    """
    sources = _find_sources(corpus, root, storage)
    with owning(storage, "packing") as owner:
        plan, before = _prepare(corpus, sources, storage)
        published = storage.version(MANIFEST_NAME)

        began = time.monotonic()
        with _swept(storage, corpus):
            receipts = _pack_missing(storage, owner, plan, before, corpus.pack.workers)
        took_seconds = time.monotonic() - began

        finished = [receipt for receipt in receipts.values() if receipt is not None]
        packed = publish(storage, sources, plan, finished, published)
        with _swept(storage, corpus):
            layers = pack_layers(corpus, sources, _with_shards(finished), storage, owner)
        packed = replace(packed, layers=publish_layers(storage, layers, corpus, packed.manifest))
        publish_croissant(storage, packed, plan, corpus.about)

    fps = corpus.pack.fps
    warn_of_unjudged(corpus.pack, packed.readings)
    warn_of_other_counts(corpus, packed_footage(packed, fps))

    new = [
        receipt
        for name, receipt in receipts.items()
        if receipt is not None and before[name] is None
    ]
    return replace(packed, new_seconds=_seconds(new, fps), took_seconds=took_seconds)


def prepare(corpus: CorpusConfig, root: Path | str, storage: Storage) -> Receipts:
    """Do what comes before packing, and save the plan. Takes and raises what `pack` does."""
    sources = _find_sources(corpus, root, storage)
    with owning(storage, "packing"):
        plan, receipts = _prepare(corpus, sources, storage)

    warn_of_other_counts(corpus, planned_footage(plan))
    return receipts


def pack_share(
    corpus: CorpusConfig, root: Path | str, storage: Storage, share: PackingShare
) -> Receipts:
    """Pack the missing shards of one share of the saved plan, while others pack theirs. Publishes nothing.

    Leftovers of a killed process stay until `prepare` or `pack`: another process may be writing them.

    Args:
        corpus: The corpus file.
        root: Where its relative paths start: a folder or `s3://BUCKET/PREFIX`.
        storage: Where the shards go.
        share: The share of the plan's shards.

    Returns:
        The receipts that the share had before; those that were None are there now.

    Raises:
        ConfigError: There is no plan, or another one than the corpus file and the sources give now, or what is to be
            left out cannot be looked for here.
        ShardError: A store fails, or a worker is killed.
    """
    sources = _find_sources(corpus, root, storage, extend=False)
    with owning(storage, "packing", shared=True) as owner:
        plan = _saved_plan(corpus, sources, storage)
        mine = share.of([shard.predicted_frames for shard in plan.shards])
        before = _receipts(storage, plan, [plan.shards[number] for number in mine])

        _check_unpublished(storage, [name for name, receipt in before.items() if receipt is None])
        receipts = _pack_missing(storage, owner, plan, before, corpus.pack.workers)
        finished = [receipt for receipt in receipts.values() if receipt is not None]
        pack_layers(corpus, sources, _with_shards(finished), storage, owner)
        return before


def _find_sources(
    corpus: CorpusConfig, root: Path | str, storage: Storage, *, extend: bool = True
) -> list[Source]:
    """Find all videos to pack, once it is clear that what is to be dropped can be looked for here."""
    _check_kinds(corpus.pack)
    if corpus.pseudonyms is not None:
        check_outside("pseudonyms", corpus.pseudonyms, storage.uri)
    return find_sources(corpus, root, Stores(), extend=extend)


def _check_kinds(options: PackConfig) -> None:
    """Refuse to drop what cannot be looked for on this machine; warn of the other kinds that are not looked for."""
    for kind, reason in obstacles(KINDS).items():
        if kind in options.drop:
            raise ConfigError(f"drop: {kind} is to be left out and cannot be looked for: {reason}")
        log.warning("%s is not looked for in any video: %s", kind, reason)


def _prepare(
    corpus: CorpusConfig, sources: Sequence[Source], storage: Storage
) -> tuple[PackingPlan, Receipts]:
    check_sources(sources)
    previous = earlier_plan(corpus, storage)
    if previous is not None and previous.has_pseudonyms and corpus.pseudonyms is None:
        raise ConfigError(
            f"{storage.uri}: expected --pseudonyms, since its videos have such names, got none; "
            "give the file, or pack into another folder"
        )

    plan = make_plan(corpus, sources, previous)
    warn_of_short_videos(plan)

    sweep(storage, corpus)
    receipts = _receipts(storage, plan, plan.shards)
    missing = {name for name, receipt in receipts.items() if receipt is None}

    # Before the new plan is saved: only the previous one tells which files have to go.
    withdraw(storage, previous, plan, missing)
    finished = [receipt for receipt in receipts.values() if receipt is not None]
    withdraw_layers(corpus, sources, _with_shards(finished), storage)
    plan.save(storage)
    return plan, receipts


@contextlib.contextmanager
def _swept(storage: Storage, corpus: CorpusConfig) -> Iterator[None]:
    """Remove unfinished files where the block fails, unless another packing owns the store now, and the files in it."""
    try:
        yield
    except OwnedError:
        raise
    except BaseException:
        sweep(storage, corpus)
        raise


def _with_shards(receipts: Sequence[Receipt]) -> list[PackedShard]:
    """The shards of those receipts that have one, with the reports on their videos."""
    return [
        PackedShard(receipt.shard, receipt.readings)
        for receipt in receipts
        if receipt.shard is not None
    ]


def _saved_plan(corpus: CorpusConfig, sources: Sequence[Source], storage: Storage) -> PackingPlan:
    """Load the plan that shares are of, with the current locations of the sources.

    Raises:
        ConfigError: There is no plan, or planning now would give other shards.
    """
    saved = earlier_plan(corpus, storage)
    if saved is None:
        raise ConfigError(
            f"{storage.uri}: expected a {PLAN_NAME} to pack a part of; run with --plan-only first"
        )

    now = replace(saved, options=plan_options(corpus))
    # Other options are refused below, so no source is opened for them.
    if saved.options == now.options:
        now = make_plan(corpus, sources, saved)
    if saved.fingerprints() == now.fingerprints():
        return now

    datasets = sorted({shard.dataset for shard in saved.shards})
    differences = (saved.difference(now, dataset) for dataset in datasets)
    reason = next(
        filter(None, differences), "there are new videos, or a dataset is described in another way"
    )
    raise ConfigError(
        f"{storage.uri}: {PLAN_NAME} does not fit the corpus file and the options any more: "
        f"{reason}; run with --plan-only again once no other part is at work"
    )


def _check_unpublished(storage: Storage, missing: Collection[str]) -> None:
    """Refuse to pack shards that a published manifest lists: `prepare` or `pack` must withdraw it first."""
    if not missing or storage.size(MANIFEST_NAME) is None:
        return

    listed = {shard.name for shard in Manifest.load(storage).shards}.intersection(missing)
    if listed:
        raise ConfigError(
            f"{storage.uri}: expected shards that nobody reads yet, got {len(listed)} of a "
            f"published corpus, such as {min(listed)}, to pack again, as after an update of "
            "surgstream; run with --plan-only first"
        )


def _receipts(storage: Storage, plan: PackingPlan, shards: Sequence[PlannedShard]) -> Receipts:
    with ThreadPoolExecutor(RECEIPTS_IN_FLIGHT) as pool:
        receipts = pool.map(lambda shard: Receipt.load(storage, shard, plan.options), shards)
        return {shard.name: receipt for shard, receipt in zip(shards, receipts, strict=True)}


def _pack_missing(
    storage: Storage, owner: Owner, plan: PackingPlan, receipts: Receipts, workers: int | None
) -> Receipts:
    """Pack the shards that have no receipt yet; stop as soon as another process takes the store over."""
    missing = [
        shard for shard in plan.shards if shard.name in receipts and receipts[shard.name] is None
    ]
    if missing and plan.options.decode == "nvdec":
        check_gpu()

    # Where there are fewer shards than cores, the other cores decode within them.
    workers = workers or cores()
    at_once = max(1, min(workers, len(missing)))
    threads = min(MAX_THREADS, max(1, cores() // at_once))

    tasks = [PackTask(shard, plan.options, storage.uri, threads) for shard in missing]
    done = run_all(
        pack_shard,
        tasks,
        [task.planned.predicted_frames for task in tasks],
        workers=workers,
        label="pack",
        frames_an_hour=3600 * plan.options.fps,
        pinned=True,
    )

    packed = dict(receipts)
    for task, receipt in done:
        owner.check()
        packed[task.planned.name] = receipt
    return packed


def _seconds(receipts: Sequence[Receipt], fps: float) -> float:
    """Add up the seconds of video that were decoded for some shards."""
    frames = sum(receipt.shard.num_frames for receipt in receipts if receipt.shard is not None)
    dropped = 0.0
    for receipt in receipts:
        dropped += sum(reading.dropped_seconds for reading in receipt.readings)
    return frames / fps + dropped
