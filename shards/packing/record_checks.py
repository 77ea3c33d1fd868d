"""Checks of a corpus's plan, receipts and reports; each check yields one sentence for each thing that is wrong."""

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.checksummed import dump_checksummed, load_checksummed
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import (
    PLAN_NAME,
    QUARANTINE_NAME,
    READINGS_NAME,
    is_receipt_name,
    receipt_name,
)
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import VideoReport
from surgstream.shards.packing.plan import PackingPlan
from surgstream.shards.packing.shard import Receipt
from surgstream.shards.storage.stores import Storage

RECORDS_IN_FLIGHT = 16

_OF_REPORTS = (".html", ".jpg", ".jpeg", ".png")

T = TypeVar("T", covariant=True)


class Parse(Protocol[T]):
    """Reads a record from the bytes of its file."""

    def __call__(self, data: bytes, *, where: str) -> T:
        """Return the record; ManifestError or ConfigError where the bytes are others."""


def find_pictures(storage: Storage) -> list[str]:
    """Find the files next to shards that show what was found, dropped or not.

    Earlier versions kept small pictures in their records, and let a report be written there.

    Raises:
        StorageError: The store fails.
    """
    there = list(storage.sizes())
    names = list(filter(_is_record, there))
    with ThreadPoolExecutor(RECORDS_IN_FLIGHT) as pool:
        held = pool.map(lambda name: b'"thumbnail":"' in storage.read(name), names)
        records = [name for name, holds in zip(names, held, strict=True) if holds]

    return records + [name for name in there if name.lower().endswith(_OF_REPORTS)]


def _is_record(name: str) -> bool:
    return name == READINGS_NAME or is_receipt_name(name)


def check_records(
    manifest: Manifest, storage: Storage, known: Collection[str] = ()
) -> Iterator[str]:
    """Check the plan, the receipts, and the reports on quarantined and packed videos.

    A corpus that was staged has none of them. A planned shard has a receipt even where not one of its videos could be
    packed. The reports repeat what the others say, so they are compared with them once all of them are sound.

    Args:
        manifest: The corpus's own.
        storage: The corpus.
        known: Files of an earlier version, found by `find_pictures`, which are skipped.

    Yields:
        What is wrong.

    Raises:
        StorageError: The store fails.
    """
    packed = {shard.name: shard for shard in manifest.shards}
    if not {PLAN_NAME, *map(receipt_name, packed)} & storage.sizes().keys():
        return

    plan = _load(PackingPlan.parse, PLAN_NAME, storage)
    planned = set() if isinstance(plan, str) else {shard.name for shard in plan.shards}
    names = sorted(name for name in planned | set(packed) if receipt_name(name) not in known)
    with ThreadPoolExecutor(RECORDS_IN_FLIGHT) as pool:
        receipts = list(
            pool.map(lambda name: _load(Receipt.parse, receipt_name(name), storage), names)
        )

    yield from (damage for damage in (plan, *receipts) if isinstance(damage, str))
    for name, receipt in zip(names, receipts, strict=True):
        if isinstance(receipt, Receipt) and receipt.shard != packed.get(name):
            yield f"{receipt_name(name)}: describes another shard than the manifest does"

    # The content of the reports is known only where all records are sound and none was skipped.
    sound = [receipt for receipt in receipts if isinstance(receipt, Receipt)]
    if (
        isinstance(plan, PackingPlan)
        and len(sound) == len(receipts)
        and not any(map(_is_record, known))
    ):
        yield from _check_reports(plan, sound, storage)


def _load(parse: Parse[T], name: str, storage: Storage) -> T | str:
    """Load a record, or say what is wrong with it."""
    if storage.size(name) is None:
        return f"{name}: is missing; run `surgstream pack` again"
    try:
        return parse(storage.read(name), where=name)
    except (ManifestError, ConfigError) as error:
        return str(error)


def _check_reports(
    plan: PackingPlan, receipts: Iterable[Receipt], storage: Storage
) -> Iterator[str]:
    quarantine = list(plan.quarantine)
    readings: list[VideoReport] = []
    for receipt in receipts:
        quarantine += receipt.quarantine
        readings += receipt.readings

    yield from _check_report(Quarantined, QUARANTINE_NAME, quarantine, storage)
    yield from _check_report(VideoReport, READINGS_NAME, readings, storage)


def _check_report(
    kind: type[object], name: str, records: Iterable[object], storage: Storage
) -> Iterator[str]:
    expected = {dump_checksummed(to_tree(record)) for record in records}
    report = b"" if storage.size(name) is None else storage.read(name)
    lines = [_as_written_now(kind, line) for line in report.splitlines(keepends=True)]
    if sorted(lines) != sorted(expected):
        yield (
            f"{name}: expected the {len(expected)} lines that {PLAN_NAME} and the receipts call "
            f"for, got {len(expected.intersection(lines))} of them in {len(lines)} lines"
        )


def _as_written_now(kind: type[object], line: bytes) -> bytes:
    """Rewrite a line of an earlier version, which knew fewer fields. A damaged line stays as it is."""
    try:
        return dump_checksummed(to_tree(build(kind, load_checksummed(line, where=""), where="")))
    except (ManifestError, ConfigError):
        return line
