"""`surgstream pack`: from a corpus file to shards, in a folder or on S3."""

import argparse
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from configs.loading import load, to_tree
from shards.corpus import CorpusConfig, PackConfig, Source, find_sources
from shards.errors import ShardError
from shards.manifest import Manifest
from shards.packer import PackTask, Receipt, pack_shard
from shards.plan import Plan, Quarantined, earlier_plan, make_plan, packed_shards, write_if_other
from shards.processes import cores, run_all
from shards.schema import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    PLAN_NAME,
    QUARANTINE_NAME,
    index_name,
    is_shard_name,
    receipt_name,
)
from shards.sealed import seal
from shards.storage import Storage, Stores, open_storage

logger = logging.getLogger(__name__)

QUARANTINE_STATUS = 3

RECEIPTS_IN_FLIGHT = 16

DESCRIPTION = """\
Pack videos into WebDataset shards: JPEG frames at a steady rate, in tar files of about 1 GB with an index beside each.

CORPUS.yaml lists the datasets; paths in it are relative to it:

  datasets:
    - name: cholec80
      specialty: laparoscopic_cholecystectomy
      procedure: cholecystectomy
      videos: "videos/*.mp4"                 # or a list of globs, files and s3:// addresses
      hold_out: [video41, video42]           # optional: ids never packed for training, or a file with one a line
      labels: {phase: "labels/{video}.csv"}  # optional: CSV with the columns `second` and `phase`
      licence: CC-BY-NC-SA-4.0               # optional

OUT is a folder or s3://BUCKET/PREFIX. Packing again does only what is missing: what is new, what has changed (by size
and time, or ETag), and what an interruption left undone. Other options change every frame, so they pack every shard
again; shards that are packed again or removed are told on stderr, with the reason. OUT may not hold shards of anything
else. One packing at a time works in OUT: a folder is locked meanwhile, S3 cannot be.

Frame k is what the video shows k / fps seconds after its first frame. A video's frames are held in memory until its
last one is decoded, and in the temporary folder (TMPDIR, else /tmp) where they exceed 256 MiB: about 4 hours at 1
frame a second, each worker for itself.
"""

EPILOG = """\
options, with their defaults; they may also stand under `pack:` in the corpus file:
  split=train           what is not held out; split=held_out packs only that
  fps=1.0               frames a second of video, 0.001 to 1000
  short_side=256        shorter side of a frame in pixels; a smaller source keeps its size
  jpeg_quality=85       1 to 100
  segment_frames=64     most frames in a WebDataset sample
  shard_bytes=1000000000  what a shard should come to; a video is never split over two
  workers=null          packing processes; one a core when null

examples:
  surgstream pack corpus.yaml shards
  surgstream pack corpus.yaml s3://bucket/corpus fps=5 short_side=224 workers=16
  surgstream pack corpus.yaml held_out split=held_out     # only the held-out videos, to watch the loss on them

exit status: 0 all packed; 3 packed, except for the videos that OUT/quarantine.jsonl names with the reason;
1 not packed; 2 wrong arguments or corpus file.
"""


def main(argv: Sequence[str]) -> int:
    """Run `surgstream pack`.

    Args:
        argv: The words after `pack`.

    Returns:
        The exit status.
    """
    arguments = _parser().parse_args(argv)
    path = Path(arguments.corpus)
    corpus = load(CorpusConfig, path, [f"pack.{word}" for word in arguments.options])
    storage = open_storage(arguments.out)
    packed = pack(corpus, path.parent, storage)
    sys.stdout.write(packed.table())
    if packed.quarantine:
        sys.stdout.write(f"in quarantine, with reasons: {storage.uri.rstrip('/')}/{QUARANTINE_NAME}\n")
        return QUARANTINE_STATUS
    return 0


@dataclass(frozen=True)
class Packed:
    """A finished packing."""

    manifest: Manifest
    quarantine: tuple[Quarantined, ...]

    def table(self) -> str:
        """One line a dataset, then their sum."""
        names = sorted({shard.dataset for shard in self.manifest.shards} | {video.dataset for video in self.quarantine})
        width = max(len(name) for name in (*names, "dataset"))
        lines = [f"{'dataset':<{width}} {'videos':>8} {'frames':>12} {'hours':>9} {'MB':>12} {'quarantined':>12}"]
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
        return f"{title:<{width}} {len(videos):>8} {frames:>12} {hours:>9.2f} {megabytes:>12.1f} {quarantined:>12}"


def pack(corpus: CorpusConfig, folder: Path, storage: Storage) -> Packed:
    """Plan, pack what is not packed yet, and publish the manifest.

    Args:
        corpus: The corpus file.
        folder: Where its relative paths start.
        storage: Where the shards go.

    Returns:
        What the corpus now holds.

    Raises:
        ConfigError: The corpus file fits neither the sources nor what `storage` already holds.
        ShardError: A store fails, a worker is killed, or not one video can be packed.
    """
    sources = find_sources(corpus, folder, Stores())
    with storage.locked():
        return _pack(corpus, sources, storage)


def _pack(corpus: CorpusConfig, sources: Sequence[Source], storage: Storage) -> Packed:
    previous = earlier_plan(corpus, storage)
    plan = make_plan(corpus, sources, previous)
    _sweep(storage, corpus)
    with ThreadPoolExecutor(RECEIPTS_IN_FLIGHT) as pool:
        receipts = list(pool.map(lambda shard: Receipt.load(storage, shard, plan.options), plan.shards))
    missing = [number for number, receipt in enumerate(receipts) if receipt is None]
    _withdraw(storage, previous, plan, {plan.shards[number].name for number in missing})
    plan.save(storage)
    tasks = [PackTask(number, plan.shards[number], plan.options, storage.uri) for number in missing]
    expected = [task.planned.predicted_frames for task in tasks]
    try:
        for task, receipt in run_all(pack_shard, tasks, expected, workers=corpus.pack.workers or cores(), label="pack"):
            receipts[task.number] = receipt
    except BaseException:
        _sweep(storage, corpus)
        raise
    return _publish(storage, plan, [receipt for receipt in receipts if receipt is not None])


def _sweep(storage: Storage, corpus: CorpusConfig) -> None:
    """Remove what killed packings left of this corpus; whatever else lies in the store is not ours."""
    datasets = {dataset.name for dataset in corpus.datasets}

    def ours(name: str) -> bool:
        stem, kind = name.rpartition(".")[::2]
        if kind in ("tar", "idx", "json") and is_shard_name(f"{stem}.tar"):
            return name.partition("/")[0] in datasets
        return name in (PLAN_NAME, MANIFEST_NAME, QUARANTINE_NAME)

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
        reason = previous.difference(plan, dataset)
        logger.warning("%s: %s: packs %d shards again and removes %d: %s", storage.uri, dataset, *counts, reason)
    for name in sorted(gone):
        for stale in (name, index_name(name), receipt_name(name)):
            storage.delete(stale)


def _publish(storage: Storage, plan: Plan, receipts: Sequence[Receipt]) -> Packed:
    quarantine = (*plan.quarantine, *(video for receipt in receipts for video in receipt.quarantine))
    if quarantine:
        write_if_other(storage, QUARANTINE_NAME, b"".join(seal(to_tree(video)) for video in quarantine))
    else:
        storage.delete(QUARANTINE_NAME)
    shards = tuple(receipt.shard for receipt in receipts if receipt.shard is not None)
    if not shards:
        storage.delete(MANIFEST_NAME)
        raise ShardError(f"{storage.uri}: not one video could be packed; {QUARANTINE_NAME} there says why")
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        packing={**_options(plan.options), **_software(receipts)},
        shards=shards,
    )
    write_if_other(storage, MANIFEST_NAME, manifest.to_bytes())
    return Packed(manifest, quarantine)


def _options(options: PackConfig) -> dict[str, str | int | float]:
    return {name: value for name, value in to_tree(options).items() if value is not None}


def _software(receipts: Sequence[Receipt]) -> dict[str, str]:
    """Versions by library; more than one where shards were packed at different times."""
    libraries = sorted({library for receipt in receipts for library in receipt.software})
    return {
        library: ", ".join(sorted({receipt.software[library] for receipt in receipts if library in receipt.software}))
        for library in libraries
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="surgstream pack",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", metavar="CORPUS.yaml", help="the corpus file")
    parser.add_argument("out", metavar="OUT", help="a folder or s3://BUCKET/PREFIX")
    parser.add_argument(
        "options",
        metavar="key=value",
        nargs="*",
        help="how to pack; also understood under `pack:` in the corpus file",
    )
    return parser
