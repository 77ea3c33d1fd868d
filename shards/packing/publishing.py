"""The end of packing: reports and manifest, by which a corpus is one."""

from collections.abc import Sequence

from surgstream.configs.loading import to_tree
from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.corpus.sources import Source
from surgstream.shards.errors import ShardError
from surgstream.shards.format.checksummed import seal
from surgstream.shards.format.manifest import Manifest, Reviewed
from surgstream.shards.format.names import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    QUARANTINE_NAME,
    READINGS_NAME,
)
from surgstream.shards.packing.outcome import Packed
from surgstream.shards.packing.plan import Plan, says, write_if_other
from surgstream.shards.packing.shard import Receipt
from surgstream.shards.storage.stores import Storage


def publish(
    storage: Storage,
    sources: Sequence[Source],
    plan: Plan,
    receipts: Sequence[Receipt],
    published: str | None,
) -> Packed:
    """Write the reports, and then the manifest in place of the version that was there before packing.

    Args:
        storage: Where the shards are.
        sources: What they were packed from.
        plan: By which plan.
        receipts: Of all its shards.
        published: The manifest's version before packing; None if there was none.

    Returns:
        What the corpus now holds.

    Raises:
        ShardError: Not one video could be packed, a store fails, or somebody else has published meanwhile.
    """
    quarantine = (
        *plan.quarantine,
        *(video for receipt in receipts for video in receipt.quarantine),
    )
    readings = tuple(reading for receipt in receipts for reading in receipt.readings)
    for name, lines in ((QUARANTINE_NAME, quarantine), (READINGS_NAME, readings)):
        if lines:
            write_if_other(storage, name, b"".join(seal(to_tree(line)) for line in lines))
        else:
            storage.delete(name)  # an earlier packing may have left one

    shards = tuple(receipt.shard for receipt in receipts if receipt.shard is not None)
    if not shards:
        storage.delete(MANIFEST_NAME)
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
        review=tuple(
            Reviewed(dataset=source.dataset, video=source.id, **vars(decision))
            for source in sources
            for decision in source.review
        ),
    )

    if not says(storage, MANIFEST_NAME, manifest.to_bytes()):
        storage.replace(MANIFEST_NAME, manifest.to_bytes(), published)
    return Packed(manifest, quarantine, readings, tuple(sources))


def _options(options: PackConfig) -> dict[str, bool | str | int | float]:
    told = {name: value for name, value in to_tree(options).items() if value is not None}
    return {
        name: ", ".join(value) if isinstance(value, list) else value for name, value in told.items()
    }


def _software(receipts: Sequence[Receipt]) -> dict[str, str]:
    """Versions by library; more than one where shards were packed at different times."""
    libraries = sorted({library for receipt in receipts for library in receipt.software})
    return {
        library: ", ".join(
            sorted(
                {receipt.software[library] for receipt in receipts if library in receipt.software}
            )
        )
        for library in libraries
    }
