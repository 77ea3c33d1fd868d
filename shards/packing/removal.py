"""Removal of what a corpus no longer says: leftovers of killed packings, and shards that the plan lost."""

import logging

from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.format.manifest import packed_shards
from surgstream.shards.format.names import (
    CROISSANT_NAME,
    MANIFEST_NAME,
    PLAN_NAME,
    QUARANTINE_NAME,
    READINGS_NAME,
    index_name,
    is_shard_name,
    layer_of_file,
    layer_of_manifest,
    receipt_name,
)
from surgstream.shards.packing.plan import PackingPlan
from surgstream.shards.storage.stores import Storage

log = logging.getLogger(__name__)

UNFINISHED = (
    "an earlier packing did not finish, another version of surgstream packed it, or the corpus "
    "file describes the dataset in another way"
)


def sweep(storage: Storage, corpus: CorpusConfig) -> None:
    """Remove what killed packings left of a corpus; other files in the store stay."""
    datasets = {dataset.name for dataset in corpus.datasets}

    def ours(name: str) -> bool:
        layer = layer_of_file(name)
        if layer is not None:
            return layer[0].partition("/")[0] in datasets
        if layer_of_manifest(name) is not None:
            return True

        stem, _, kind = name.rpartition(".")
        if kind in ("tar", "idx", "json") and is_shard_name(f"{stem}.tar"):
            return name.partition("/")[0] in datasets
        return name in (PLAN_NAME, MANIFEST_NAME, CROISSANT_NAME, QUARANTINE_NAME, READINGS_NAME)

    storage.sweep(ours)


def withdraw(
    storage: Storage, previous: PackingPlan | None, plan: PackingPlan, missing: set[str]
) -> None:
    """Delete shards that a new plan does not have, and the manifest before the first shard that it lists.

    Args:
        storage: The corpus.
        previous: The plan that its shards were packed by; None if there are none yet.
        plan: The new plan, not yet saved.
        missing: Names of the shards of the new plan that are to be packed, again or for the first time.
    """
    if previous is None:
        return

    present = packed_shards(storage)
    planned = {shard.name for shard in plan.shards}
    again = present & missing
    gone = present - planned
    if again or gone:
        storage.delete(MANIFEST_NAME)
        storage.delete(CROISSANT_NAME)

    for dataset in sorted({name.partition("/")[0] for name in again | gone}):
        log.warning(
            "%s: %s: packs %d shards again and removes %d: %s",
            storage.uri,
            dataset,
            _count(again, dataset),
            _count(gone, dataset),
            previous.difference(plan, dataset) or UNFINISHED,
        )

    # An unfinished packing may have left an index or a receipt without its shard.
    formerly_planned = {shard.name for shard in previous.shards}
    for name in sorted(gone | formerly_planned - planned):
        for stale in (name, index_name(name), receipt_name(name)):
            storage.delete(stale)


def _count(names: set[str], dataset: str) -> int:
    return sum(name.startswith(f"{dataset}/") for name in names)
