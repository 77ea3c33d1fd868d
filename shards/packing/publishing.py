"""The end of packing: the reports, and the manifest that makes a corpus of shards."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from surgstream.configs.loading import to_tree
from surgstream.shards.corpus.about import AboutConfig
from surgstream.shards.corpus.file import PackConfig, stored_options
from surgstream.shards.corpus.sources import Source
from surgstream.shards.croissant.describing import croissant
from surgstream.shards.croissant.packed import PackedCorpus
from surgstream.shards.errors import ShardError
from surgstream.shards.format.checksummed import dump_checksummed
from surgstream.shards.format.manifest import Manifest, Reviewed
from surgstream.shards.format.names import (
    CROISSANT_NAME,
    FORMAT_VERSION,
    MANIFEST_NAME,
    QUARANTINE_NAME,
    READINGS_NAME,
)
from surgstream.shards.format.records import VideoReport
from surgstream.shards.packing.outcome import Packed
from surgstream.shards.packing.plan import PackingPlan, says, write_if_other
from surgstream.shards.packing.shard import Receipt
from surgstream.shards.storage.stores import Storage


def publish(
    storage: Storage,
    sources: Sequence[Source],
    plan: PackingPlan,
    receipts: Sequence[Receipt],
    published: str | None,
) -> Packed:
    """Write the reports, and then the manifest in place of the version that was there before packing.

    Args:
        storage: Where the shards are.
        sources: The videos that they were packed from.
        plan: The plan that they were packed by.
        receipts: The receipts of all its shards.
        published: The manifest's version before packing; None if there was none.

    Returns:
        The outcome, with what the corpus now holds.

    Raises:
        ShardError: Not one video could be packed, a store fails, or another process has published since.
    """
    quarantine = list(plan.quarantine)
    readings: list[VideoReport] = []
    for receipt in receipts:
        quarantine += receipt.quarantine
        readings += receipt.readings

    for name, lines in ((QUARANTINE_NAME, quarantine), (READINGS_NAME, readings)):
        if lines:
            write_if_other(
                storage, name, b"".join(dump_checksummed(to_tree(line)) for line in lines)
            )
        else:
            # An earlier packing may have left one.
            storage.delete(name)

    shards = tuple(receipt.shard for receipt in receipts if receipt.shard is not None)
    if not shards:
        storage.delete(MANIFEST_NAME)
        storage.delete(CROISSANT_NAME)
        short = sum(reading.too_short for reading in readings)
        raise ShardError(
            f"{storage.uri}: not one video could be packed: {len(quarantine)} are in quarantine "
            f"({QUARANTINE_NAME} there says why), {short} are shorter than min_seconds "
            f"({READINGS_NAME})"
        )

    manifest = Manifest(
        format_version=FORMAT_VERSION,
        packing={**_options(plan.options), **_software(receipts)},
        shards=shards,
        review=tuple(_reviews(sources)),
    )
    if not says(storage, MANIFEST_NAME, manifest.to_bytes()):
        # It is of the corpus as it was.
        storage.delete(CROISSANT_NAME)
        storage.replace(MANIFEST_NAME, manifest.to_bytes(), published)

    return Packed(manifest, tuple(quarantine), tuple(readings), tuple(sources))


def publish_croissant(
    storage: Storage, packed: Packed, plan: PackingPlan, about: AboutConfig
) -> None:
    """Describe a published corpus to catalogues, unless that is done already.

    Args:
        storage: The corpus.
        packed: What was packed, with its layers.
        plan: The plan that it was packed by.
        about: What its corpus file tells beside.

    Raises:
        StorageError: The store fails.
    """
    corpus = PackedCorpus(
        manifest=packed.manifest,
        layers=packed.layers,
        options=plan.options,
        licences={shard.dataset: shard.licence for shard in plan.shards},
        has_pseudonyms=plan.has_pseudonyms,
        readings=packed.readings,
        quarantine=packed.quarantine,
    )
    write_if_other(storage, CROISSANT_NAME, croissant(corpus, about))


def _reviews(sources: Sequence[Source]) -> Iterator[Reviewed]:
    for source in sources:
        for decision in source.review:
            yield Reviewed(dataset=source.dataset, video=source.id, **vars(decision))


def _options(options: PackConfig) -> dict[str, bool | str | int | float]:
    """Flatten the options that are set."""
    flat = {}
    for name, value in stored_options(options).items():
        if value is not None:
            flat[name] = ", ".join(value) if isinstance(value, list) else value
    return flat


def _software(receipts: Sequence[Receipt]) -> dict[str, str]:
    """Collect versions by library; more than one where shards were packed at different times."""
    versions: dict[str, set[str]] = defaultdict(set)
    for receipt in receipts:
        for library, version in receipt.software.items():
            versions[library].add(version)
    return {library: ", ".join(sorted(versions[library])) for library in sorted(versions)}
