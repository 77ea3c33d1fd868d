"""What `surgstream pack` does: it plans, packs what is missing, and publishes; or many do it, a share each."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import ConfigError
from configs.loading import to_tree
from shards.corpus import CorpusConfig, PackConfig
from shards.errors import ShardError
from shards.manifest import Manifest, Reviewed
from shards.packed import Reading
from shards.packer import PackTask, Receipt, pack_shard
from shards.plan import Plan, earlier_plan, make_plan, packed_shards, plan_options, says, write_if_other
from shards.planned import PlannedShard, Quarantined
from shards.processes import cores, run_all
from shards.schema import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    PLAN_NAME,
    QUARANTINE_NAME,
    READINGS_NAME,
    index_name,
    is_shard_name,
    receipt_name,
)
from shards.sealed import seal
from shards.shares import Share
from shards.sources import Source, find_sources
from shards.storage import Storage, Stores
from shards.video.files import check_gpu

logger = logging.getLogger(__name__)

RECEIPTS_IN_FLIGHT = 16

MOST_THREADS = 16
"""That one video is decoded with, where there are more cores than shards."""

UNFINISHED = "an earlier packing did not finish, or the corpus file describes the dataset anew"

Receipts = dict[str, Receipt | None]
"""By the names of planned shards; None where one is still to be packed."""


@dataclass(frozen=True)
class Packed:
    """A finished packing."""

    manifest: Manifest
    quarantine: tuple[Quarantined, ...]
    readings: tuple[Reading, ...]

    def table(self) -> str:
        """One line a dataset, then their sum."""
        names = sorted({shard.dataset for shard in self.manifest.shards} | {video.dataset for video in self.quarantine})
        width = max(len(name) for name in (*names, "dataset"))
        columns = (
            f"{'videos':>8} {'frames':>12} {'hours':>9} {'MB':>12} {'quarantined':>12} {'lost_s':>9} {'dropped_s':>10}"
        )
        lines = [f"{'dataset':<{width}} {columns}"]
        lines += [self._line(name, width, {name}) for name in names]
        lines += [self._line("total", width, set(names))] if len(names) > 1 else []
        return "\n".join(lines) + "\n"

    def _line(self, title: str, width: int, datasets: set[str]) -> str:
        shards = [shard for shard in self.manifest.shards if shard.dataset in datasets]
        videos = [video for shard in shards for video in shard.videos]
        frames = sum(video.num_frames for video in videos)
        hours = sum(video.num_frames / video.fps for video in videos) / 3600
        megabytes = sum(shard.num_bytes for shard in shards) / 1e6
        quarantined = sum(video.dataset in datasets for video in self.quarantine)
        readings = [reading for reading in self.readings if reading.dataset in datasets]
        lost = sum(reading.lost_seconds for reading in readings)
        dropped = sum(reading.dropped_seconds for reading in readings)
        counts = f"{len(videos):>8} {frames:>12} {hours:>9.2f} {megabytes:>12.1f} {quarantined:>12}"
        return f"{title:<{width}} {counts} {lost:>9.1f} {dropped:>10.1f}"


def pack(corpus: CorpusConfig, root: Path | str, storage: Storage) -> Packed:
    """Plan, pack what is not packed yet, and publish the manifest.

    Args:
        corpus: The corpus file.
        root: Where its relative paths start: a folder or `s3://BUCKET/PREFIX`.
        storage: Where the shards go.

    Returns:
        What the corpus now holds.

    Raises:
        ConfigError: The corpus file fits neither the sources nor what `storage` already holds.
        ShardError: A store fails, a worker is killed, or not one video can be packed.
    """
    sources = find_sources(corpus, root, Stores())
    with storage.locked():
        plan, receipts = _prepare(corpus, sources, storage)
        published = storage.version(MANIFEST_NAME)
        try:
            receipts = _pack_missing(storage, plan, receipts, corpus.pack.workers)
        except BaseException:
            _sweep(storage, corpus)
            raise
        finished = [receipt for receipt in receipts.values() if receipt is not None]
        packed = _publish(storage, sources, plan, finished, published)
    fps = corpus.pack.fps
    kept = [(shard.dataset, len(shard.videos), shard.num_frames / fps) for shard in packed.manifest.shards]
    _compare(corpus, [*kept, *((each.dataset, 0, each.dropped_seconds) for each in packed.readings)])
    return packed


def prepare(corpus: CorpusConfig, root: Path | str, storage: Storage) -> Receipts:
    """Do what comes before packing, and save the plan. Takes and raises what `pack` does."""
    sources = find_sources(corpus, root, Stores())
    with storage.locked():
        plan, receipts = _prepare(corpus, sources, storage)
    fps = corpus.pack.fps
    _compare(corpus, [(shard.dataset, len(shard.videos), shard.predicted_frames / fps) for shard in plan.shards])
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
        ConfigError: There is no plan, or another one than the corpus file and the sources give now.
        ShardError: A store fails, or a worker is killed.
    """
    sources = find_sources(corpus, root, Stores())
    with storage.locked(shared=True):
        plan = _saved_plan(corpus, sources, storage)
        mine = share.of([shard.predicted_frames for shard in plan.shards])
        before = _receipts(storage, plan, [plan.shards[number] for number in mine])
        _pack_missing(storage, plan, before, corpus.pack.workers)
        return before


def _prepare(corpus: CorpusConfig, sources: Sequence[Source], storage: Storage) -> tuple[Plan, Receipts]:
    previous = earlier_plan(corpus, storage)
    plan = make_plan(corpus, sources, previous)
    _sweep(storage, corpus)
    receipts = _receipts(storage, plan, plan.shards)
    _withdraw(storage, previous, plan, {name for name, receipt in receipts.items() if receipt is None})
    plan.save(storage)
    return plan, receipts


def _saved_plan(corpus: CorpusConfig, sources: Sequence[Source], storage: Storage) -> Plan:
    """The plan that shares are of, with the sources where they lie now, if it still is what would be planned."""
    saved, options = earlier_plan(corpus, storage), plan_options(corpus)
    if saved is None:
        raise ConfigError(f"{storage.uri}: expected a {PLAN_NAME} to pack a part of; run with --plan-only first")
    now = make_plan(corpus, sources, saved) if saved.options == options else replace(saved, options=options)
    was, would_be = ([shard.fingerprint(plan.options) for shard in plan.shards] for plan in (saved, now))
    if was == would_be:
        return now
    reasons = [saved.difference(now, dataset) for dataset in sorted({shard.dataset for shard in saved.shards})]
    reason = next(filter(None, reasons), "there are new videos, or a dataset is described anew")
    raise ConfigError(
        f"{storage.uri}: {PLAN_NAME} does not fit the corpus file and the options any more: {reason}; "
        "run with --plan-only again once no other part is at work"
    )


def _receipts(storage: Storage, plan: Plan, shards: Sequence[PlannedShard]) -> Receipts:
    with ThreadPoolExecutor(RECEIPTS_IN_FLIGHT) as pool:
        receipts = pool.map(lambda shard: Receipt.load(storage, shard, plan.options), shards)
        return {shard.name: receipt for shard, receipt in zip(shards, receipts, strict=True)}


def _pack_missing(storage: Storage, plan: Plan, receipts: Receipts, workers: int | None) -> Receipts:
    missing = [shard for shard in plan.shards if shard.name in receipts and receipts[shard.name] is None]
    if missing and plan.options.decode == "nvdec":
        check_gpu()
    workers = workers or cores()
    threads = min(MOST_THREADS, max(1, cores() // max(1, min(workers, len(missing)))))
    tasks = [PackTask(shard, plan.options, storage.uri, threads) for shard in missing]
    expected = [task.planned.predicted_frames for task in tasks]
    hour = 3600 * plan.options.fps
    done = run_all(pack_shard, tasks, expected, workers=workers, label="pack", frames_an_hour=hour, pinned=True)
    return {**receipts, **{task.planned.name: receipt for task, receipt in done}}


def _compare(corpus: CorpusConfig, pieces: Sequence[tuple[str, int, float]]) -> None:
    """Warn of datasets that are not as large as expected; `pieces` are of a dataset, so many videos and seconds."""
    for dataset in corpus.datasets if corpus.pack.split == "train" else ():
        videos = sum(count for name, count, _ in pieces if name == dataset.name)
        seconds = sum(length for name, _, length in pieces if name == dataset.name)
        for difference in dataset.expected.differences(videos, seconds):
            logger.warning("datasets: %s: %s", dataset.name, difference)


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
    again, gone = present & missing, present - {shard.name for shard in plan.shards}
    if again or gone:
        storage.delete(MANIFEST_NAME)
    for dataset in sorted({name.partition("/")[0] for name in again | gone}):
        counts = [sum(name.startswith(f"{dataset}/") for name in names) for names in (again, gone)]
        reason = previous.difference(plan, dataset) or UNFINISHED
        logger.warning("%s: %s: packs %d shards again and removes %d: %s", storage.uri, dataset, *counts, reason)
    for name in sorted(gone):
        for stale in (name, index_name(name), receipt_name(name)):
            storage.delete(stale)


def _publish(
    storage: Storage, sources: Sequence[Source], plan: Plan, receipts: Sequence[Receipt], published: str | None
) -> Packed:
    """Write the reports, and then the manifest in place of the version that was there before packing."""
    quarantine = (*plan.quarantine, *(video for receipt in receipts for video in receipt.quarantine))
    readings = tuple(reading for receipt in receipts for reading in receipt.readings)
    for name, lines in ((QUARANTINE_NAME, quarantine), (READINGS_NAME, readings)):
        if lines:
            write_if_other(storage, name, b"".join(seal(to_tree(line)) for line in lines))
        else:
            storage.delete(name)
    shards = tuple(receipt.shard for receipt in receipts if receipt.shard is not None)
    if not shards:
        storage.delete(MANIFEST_NAME)
        raise ShardError(f"{storage.uri}: not one video could be packed; {QUARANTINE_NAME} there says why")
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        packing={**_options(plan.options), **_software(receipts)},
        shards=shards,
        review=tuple(
            Reviewed(dataset=source.dataset, video=source.id, **vars(decision))
            for source in sources
            for decision in source.review
        ),
    )
    if not says(storage, MANIFEST_NAME, manifest.to_bytes()):
        storage.replace(MANIFEST_NAME, manifest.to_bytes(), published)
    return Packed(manifest, quarantine, readings)


def _options(options: PackConfig) -> dict[str, bool | str | int | float]:
    told = {name: value for name, value in to_tree(options).items() if value is not None}
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in told.items()}


def _software(receipts: Sequence[Receipt]) -> dict[str, str]:
    """Versions by library; more than one where shards were packed at different times."""
    libraries = sorted({library for receipt in receipts for library in receipt.software})
    return {
        library: ", ".join(sorted({receipt.software[library] for receipt in receipts if library in receipt.software}))
        for library in libraries
    }
