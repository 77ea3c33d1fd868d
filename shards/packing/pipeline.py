"""What `surgstream pack` does: it plans, packs what is missing, and publishes; or many do it, a share each."""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.file import CorpusConfig, PackConfig
from surgstream.shards.corpus.sources import Source, find_sources
from surgstream.shards.errors import OwnedError
from surgstream.shards.format.manifest import Manifest, packed_shards
from surgstream.shards.format.names import (
    MANIFEST_NAME,
    PLAN_NAME,
    QUARANTINE_NAME,
    READINGS_NAME,
    index_name,
    is_shard_name,
    receipt_name,
)
from surgstream.shards.format.outside import check_outside
from surgstream.shards.format.records import Reading
from surgstream.shards.packing.outcome import Packed
from surgstream.shards.packing.plan import Plan, earlier_plan, make_plan, plan_options
from surgstream.shards.packing.plan_records import PlannedShard, PlannedVideo
from surgstream.shards.packing.publishing import publish
from surgstream.shards.packing.shard import PackTask, Receipt, pack_shard
from surgstream.shards.packing.shares import Share
from surgstream.shards.screening.screener import KINDS, obstacles
from surgstream.shards.storage.owner import Owner, owning
from surgstream.shards.storage.stores import Storage, Stores
from surgstream.shards.video.container.files import check_gpu
from surgstream.shards.workers import cores, run_all

log = logging.getLogger(__name__)

RECEIPTS_IN_FLIGHT = 16

MOST_THREADS = 16
"""That one video is decoded with, where there are more cores than shards."""

UNFINISHED = (
    "an earlier packing did not finish, another version of surgstream packed it, or the corpus "
    "file describes the dataset anew"
)

Receipts = dict[str, Receipt | None]
"""By the names of planned shards; None where one is still to be packed."""


def pack(corpus: CorpusConfig, root: Path | str, storage: Storage) -> Packed:
    """Plan, pack what is not packed yet, and publish the manifest.

    Args:
        corpus: The corpus file.
        root: Where its relative paths start: a folder or `s3://BUCKET/PREFIX`.
        storage: Where the shards go.

    Returns:
        What the corpus now holds.

    Raises:
        ConfigError: The corpus file fits neither the sources nor what `storage` already holds, or what is to be left
            out cannot be looked for here.
        ShardError: A store fails, a worker is killed, or not one video can be packed.
    """
    sources = _find_sources(corpus, root, storage)
    with owning(storage, "packing") as owner:
        plan, before = _prepare(corpus, sources, storage)
        published, began = storage.version(MANIFEST_NAME), time.monotonic()
        try:
            receipts = _pack_missing(storage, owner, plan, before, corpus.pack.workers)
        except OwnedError:  # what lies there is another's now
            raise
        except BaseException:
            _sweep(storage, corpus)
            raise
        finished = [receipt for receipt in receipts.values() if receipt is not None]
        took = time.monotonic() - began
        packed = publish(storage, sources, plan, finished, published)

    new = [
        receipt
        for name, receipt in receipts.items()
        if receipt is not None and before[name] is None
    ]
    _tell_unjudged(corpus.pack, packed.readings)
    fps = corpus.pack.fps
    kept = [
        (shard.dataset, len(shard.videos), shard.num_frames / fps)
        for shard in packed.manifest.shards
    ]
    # The expected hours have what is dropped as well; its videos are counted already.
    dropped = [
        (each.dataset, 0, each.dropped_seconds) for each in packed.readings if not each.too_short
    ]
    _compare(corpus, [*kept, *dropped])
    return replace(packed, new_seconds=_seconds(new, fps), took_seconds=took)


def _seconds(receipts: Sequence[Receipt], fps: float) -> float:
    """How much video was read for some shards, as far as it could be."""
    frames = sum(receipt.shard.num_frames for receipt in receipts if receipt.shard is not None)
    return frames / fps + sum(
        reading.dropped_seconds for receipt in receipts for reading in receipt.readings
    )


def prepare(corpus: CorpusConfig, root: Path | str, storage: Storage) -> Receipts:
    """Do what comes before packing, and save the plan. Takes and raises what `pack` does."""
    sources = _find_sources(corpus, root, storage)
    with owning(storage, "packing"):
        plan, receipts = _prepare(corpus, sources, storage)
    fps = corpus.pack.fps
    long = [
        (shard, each)
        for shard, each in _videos(plan)
        if not shard.is_too_short(each.predicted_frames, fps)
    ]
    _compare(corpus, [(shard.dataset, 1, each.predicted_frames / fps) for shard, each in long])
    return receipts


def pack_share(corpus: CorpusConfig, root: Path | str, storage: Storage, share: Share) -> Receipts:
    """Pack what is missing of a share of the saved plan, beside others who do the same, and publish nothing.

    What a killed one leaves stays until `prepare` or `pack`: it may be what another one is writing.

    Args:
        corpus: The corpus file.
        root: Where its relative paths start: a folder or `s3://BUCKET/PREFIX`.
        storage: Where the shards go.
        share: Which of them.

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
        _pack_missing(storage, owner, plan, before, corpus.pack.workers)
        return before


def _check_unpublished(storage: Storage, missing: Collection[str]) -> None:
    """Refuse to pack shards that a published corpus lists: only a packing that takes its manifest back may."""
    if not missing or storage.size(MANIFEST_NAME) is None:
        return
    listed = {shard.name for shard in Manifest.load(storage).shards}.intersection(missing)
    if listed:
        raise ConfigError(
            f"{storage.uri}: expected shards that nobody reads yet, got {len(listed)} of a "
            f"published corpus, such as {min(listed)}, to pack again, as after an update of "
            "surgstream; run with --plan-only first"
        )


def _find_sources(
    corpus: CorpusConfig, root: Path | str, storage: Storage, *, extend: bool = True
) -> list[Source]:
    """All that is to be packed, if what is to be left out of it can be looked for here."""
    _check_kinds(corpus.pack)
    if corpus.pseudonyms is not None:
        check_outside("pseudonyms", corpus.pseudonyms, storage.uri)
    return find_sources(corpus, root, Stores(), extend=extend)


def _check_kinds(options: PackConfig) -> None:
    """Refuse to leave out what cannot be looked for on this machine, and warn of what is not looked for at all."""
    for kind, reason in obstacles(KINDS).items():
        if kind in options.drop:
            raise ConfigError(f"drop: {kind} is to be left out and cannot be looked for: {reason}")
        log.warning("%s is not looked for in any video: %s", kind, reason)


def _tell_unjudged(options: PackConfig, readings: Sequence[Reading]) -> None:
    """Warn of videos in which views from outside of the body were to be left out and could not be told from others."""
    unjudged = [reading for reading in readings if not reading.judged]
    if "outside" in options.drop and unjudged:
        log.warning(
            "outside was not looked for in %d videos, such as %s of %s, most of which has not "
            "the colours of tissue",
            len(unjudged),
            unjudged[0].video,
            unjudged[0].dataset,
        )


def _prepare(
    corpus: CorpusConfig, sources: Sequence[Source], storage: Storage
) -> tuple[Plan, Receipts]:
    previous = earlier_plan(corpus, storage)
    if previous is not None and previous.has_pseudonyms and corpus.pseudonyms is None:
        raise ConfigError(
            f"{storage.uri}: expected --pseudonyms, since its videos have such names, got none; "
            "give the file, or pack into another folder"
        )

    plan = make_plan(corpus, sources, previous)
    _tell_short(plan)
    _sweep(storage, corpus)
    receipts = _receipts(storage, plan, plan.shards)
    # Before the new plan is saved: only the previous one tells which files have to go.
    _withdraw(
        storage, previous, plan, {name for name, receipt in receipts.items() if receipt is None}
    )
    plan.save(storage)
    return plan, receipts


def _videos(plan: Plan) -> Iterator[tuple[PlannedShard, PlannedVideo]]:
    return ((shard, video) for shard in plan.shards for video in shard.videos)


def _tell_short(plan: Plan) -> None:
    """Warn of datasets with videos that seem to be too short; whether they are shows only when they are decoded."""
    fps = plan.options.fps
    short = Counter(
        shard.dataset
        for shard, each in _videos(plan)
        if shard.is_too_short(each.predicted_frames, fps)
    )
    for shard in {shard.dataset: shard for shard in plan.shards if shard.dataset in short}.values():
        log.warning(
            "datasets: %s: %d of %d videos are shorter than min_seconds=%g, by what their files "
            "declare: such are left out",
            shard.dataset,
            short[shard.dataset],
            sum(its.dataset == shard.dataset for its, _ in _videos(plan)),
            shard.min_seconds,
        )


def _saved_plan(corpus: CorpusConfig, sources: Sequence[Source], storage: Storage) -> Plan:
    """The plan that shares are of, with the sources where they lie now, if it still is what would be planned."""
    saved, options = earlier_plan(corpus, storage), plan_options(corpus)
    if saved is None:
        raise ConfigError(
            f"{storage.uri}: expected a {PLAN_NAME} to pack a part of; run with --plan-only first"
        )
    now = (
        make_plan(corpus, sources, saved)
        if saved.options == options
        else replace(saved, options=options)
    )
    was, would_be = (
        [shard.fingerprint(plan.options) for shard in plan.shards] for plan in (saved, now)
    )
    if was == would_be:
        return now

    reasons = [
        saved.difference(now, dataset)
        for dataset in sorted({shard.dataset for shard in saved.shards})
    ]
    reason = next(filter(None, reasons), "there are new videos, or a dataset is described anew")
    raise ConfigError(
        f"{storage.uri}: {PLAN_NAME} does not fit the corpus file and the options any more: "
        f"{reason}; run with --plan-only again once no other part is at work"
    )


def _receipts(storage: Storage, plan: Plan, shards: Sequence[PlannedShard]) -> Receipts:
    with ThreadPoolExecutor(RECEIPTS_IN_FLIGHT) as pool:
        receipts = pool.map(lambda shard: Receipt.load(storage, shard, plan.options), shards)
        return {shard.name: receipt for shard, receipt in zip(shards, receipts, strict=True)}


def _pack_missing(
    storage: Storage, owner: Owner, plan: Plan, receipts: Receipts, workers: int | None
) -> Receipts:
    """Pack the shards that have no receipt yet; ends as soon as somebody else has taken the store over."""
    missing = [
        shard for shard in plan.shards if shard.name in receipts and receipts[shard.name] is None
    ]
    if missing and plan.options.decode == "nvdec":
        check_gpu()
    workers = workers or cores()
    # Where there are fewer shards than cores, the other cores decode within them.
    threads = min(MOST_THREADS, max(1, cores() // max(1, min(workers, len(missing)))))
    tasks = [PackTask(shard, plan.options, storage.uri, threads) for shard in missing]
    expected = [task.planned.predicted_frames for task in tasks]
    hour = 3600 * plan.options.fps
    done = run_all(
        pack_shard, tasks, expected, workers=workers, label="pack", frames_an_hour=hour, pinned=True
    )
    packed = dict(receipts)
    for task, receipt in done:
        owner.check()
        packed[task.planned.name] = receipt
    return packed


def _compare(corpus: CorpusConfig, pieces: Sequence[tuple[str, int, float]]) -> None:
    """Warn of datasets that are not as large as expected; `pieces` are of a dataset, so many videos and seconds."""
    for dataset in corpus.datasets if corpus.pack.split == "train" else ():
        videos = sum(count for name, count, _ in pieces if name == dataset.name)
        seconds = sum(length for name, _, length in pieces if name == dataset.name)
        for difference in dataset.expected.differences(videos, seconds):
            log.warning("datasets: %s: %s", dataset.name, difference)


def _sweep(storage: Storage, corpus: CorpusConfig) -> None:
    """Remove what killed packings left of this corpus; whatever else lies in the store is not ours."""
    datasets = {dataset.name for dataset in corpus.datasets}

    def ours(name: str) -> bool:
        stem, kind = name.rpartition(".")[::2]
        if kind in ("tar", "idx", "json") and is_shard_name(f"{stem}.tar"):
            return name.partition("/")[0] in datasets
        return name in (PLAN_NAME, MANIFEST_NAME, QUARANTINE_NAME, READINGS_NAME)

    storage.sweep(ours)


def _withdraw(storage: Storage, previous: Plan | None, plan: Plan, missing: set[str]) -> None:
    """Take back what the corpus no longer says. A manifest goes before the first shard that it lists."""
    if previous is None:
        return  # nothing is packed yet
    present = packed_shards(storage)
    planned = {shard.name for shard in plan.shards}
    again, gone = present & missing, present - planned
    if again or gone:
        storage.delete(MANIFEST_NAME)
    for dataset in sorted({name.partition("/")[0] for name in again | gone}):
        counts = [sum(name.startswith(f"{dataset}/") for name in names) for names in (again, gone)]
        reason = previous.difference(plan, dataset) or UNFINISHED
        log.warning(
            "%s: %s: packs %d shards again and removes %d: %s",
            storage.uri,
            dataset,
            *counts,
            reason,
        )

    for name in sorted(gone | {shard.name for shard in previous.shards} - planned):
        for stale in (name, index_name(name), receipt_name(name)):
            storage.delete(stale)
