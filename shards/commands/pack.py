"""`surgstream pack`: from a corpus file to shards, in a folder or on S3."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, load, to_yaml
from surgstream.shards.corpus.file import CorpusConfig, find_corpus, is_folder
from surgstream.shards.corpus.folder import describe_folder
from surgstream.shards.corpus.locations import located
from surgstream.shards.corpus.overlaps import told_overlaps
from surgstream.shards.format.names import QUARANTINE_NAME, READINGS_NAME, layer_manifest_name
from surgstream.shards.format.outside import check_outside
from surgstream.shards.inspection.report import write_report
from surgstream.shards.packing.pipeline import pack, pack_share, prepare
from surgstream.shards.storage.stores import open_storage

QUARANTINE_STATUS = 3


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream pack`."""
    text, corpus, root = _corpus(words)
    if words.print_corpus:
        sys.stdout.write(text)
        return 0
    if is_folder(words.corpus):
        sys.stdout.write(f"packs by this corpus file, which --print-corpus prints:\n\n{text}\n")
        sys.stdout.flush()

    storage = open_storage(words.out)
    if words.report is not None:
        check_outside("--report", words.report, storage.uri)

    for line in told_overlaps(corpus):
        sys.stdout.write(f"{line}\n")

    # Shards that are still to be packed have None for a receipt.
    if words.plan_only:
        receipts = list(prepare(corpus, root, storage).values())
        sys.stdout.write(
            f"{receipts.count(None)} of {len(receipts)} shards are still to be packed\n"
        )
        return 0
    if words.part is not None:
        before = list(pack_share(corpus, root, storage, words.part).values())
        packed_now = f"packed {before.count(None)} of the {len(before)} shards of this part"
        sys.stdout.write(f"{packed_now}; the rest was already there\n")
        return 0

    packed = pack(corpus, root, storage)
    sys.stdout.write(packed.table() + packed.found() + packed.left_out())
    sys.stdout.write(packed.layered() + packed.speed())
    if words.report is not None:
        sys.stdout.write(f"report: {write_report(storage, words.report, packed.films())}\n")

    uri = storage.uri.rstrip("/")
    incomplete = sum(bool(reading.lost) for reading in packed.readings)
    if incomplete:
        details = f"{uri}/{READINGS_NAME}"
        sys.stdout.write(f"damaged videos: {incomplete}; what they have lost: {details}\n")
    if packed.quarantine:
        details = f"{uri}/{QUARANTINE_NAME}"
        sys.stdout.write(f"in quarantine: {len(packed.quarantine)}, with reasons: {details}\n")
    damaged_layers = [layer.layer for layer in packed.layers if layer.quarantine]
    for name in damaged_layers:
        details = f"{uri}/{layer_manifest_name(name)}"
        sys.stdout.write(f"layer {name} has damaged videos, with reasons: {details}\n")
    has_quarantine = packed.quarantine or damaged_layers
    return QUARANTINE_STATUS if has_quarantine and words.strict else 0


def _corpus(words: argparse.Namespace) -> tuple[str, CorpusConfig, str]:
    """Load the corpus file, or describe a folder of videos.

    Returns:
        The text of the corpus file, the configuration, and the root of its relative paths.
    """
    if is_folder(words.corpus):
        tree = describe_folder(words.corpus, words.options, hold_out=words.hold_out)
        text = to_yaml(tree)
        corpus = build(CorpusConfig, tree, where=words.corpus)
        folder = Path()
        root = words.corpus
    else:
        path, root = find_corpus(words.corpus)
        if os.path.isdir(words.corpus):
            sys.stderr.write(
                f"takes the preset {words.corpus}; the folder here is ./{words.corpus}\n"
            )
        if words.hold_out:
            raise ConfigError(
                f"--hold-out: expected a folder of videos, got {path}; set `hold_out` of its "
                "datasets"
            )
        corpus = load(CorpusConfig, path, [f"pack.{word}" for word in words.options])
        text = path.read_text(encoding="utf-8")
        folder = path.parent

    # The command line comes first, then the file, whose paths are relative to it.
    review = words.review or (corpus.review and located(corpus.review, str(folder)))
    pseudonyms = words.pseudonyms or (corpus.pseudonyms and located(corpus.pseudonyms, str(folder)))
    corpus = replace(
        corpus.part(words.subset, words.datasets), review=review, pseudonyms=pseudonyms
    )
    return text, corpus, words.root or root
