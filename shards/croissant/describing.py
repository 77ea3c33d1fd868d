"""`croissant.json`: what a packed corpus is, in MLCommons' format Croissant 1.1, for catalogues and their readers.

It follows from manifest, layers, the records of packing and the corpus file alone, and has no time of its own: a corpus
that is packed again has the same. It names datasets, and no video, no file of a source and no place.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surgstream.shards.corpus.about import AboutConfig
from surgstream.shards.corpus.licences import spdx_page
from surgstream.shards.croissant import records
from surgstream.shards.croissant.packed import PackedCorpus
from surgstream.shards.croissant.sentences import responsible
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import MANIFEST_NAME, layer_manifest_name

UNKNOWN = "unknown"
"""The licence of a dataset whose description states none."""

_CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]

_TERMS = (
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
)
"""Croissant's terms that mean themselves; readers expect all of them."""

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}


@dataclass(frozen=True, kw_only=True)
class DatasetCounts:
    """What a corpus has of a dataset.

    Attributes:
        name: Its name.
        specialty: Its specialty.
        procedure: Its procedure.
        licence: Its licence, or `unknown`.
        videos: Its videos.
        hours: Their length as packed.
        frames: Their frames.
    """

    name: str
    specialty: str
    procedure: str
    licence: str
    videos: int
    hours: float
    frames: int


def croissant(corpus: PackedCorpus, about: AboutConfig) -> bytes:
    """The bytes of the file.

    Args:
        corpus: What was packed.
        about: What the corpus file tells beside; what it does not is left out.
    """
    text = json.dumps(describe_corpus(corpus, about), indent=1, ensure_ascii=False) + "\n"
    # Words of a corpus file may hold halves of characters, which UTF-8 has not.
    return text.encode("utf-8", "backslashreplace")


def describe_corpus(corpus: PackedCorpus, about: AboutConfig) -> dict[str, Any]:
    """The content of the file. Takes what `croissant` does."""
    datasets = count_datasets(corpus)
    names = [dataset.name for dataset in datasets]
    split = corpus.options.split

    tree: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS_TO,
        "name": about.name or _called(names),
        "description": about.description or _description(datasets, split),
        "license": _licences(datasets),
        "keywords": _keywords(datasets),
        **_told(about),
        **responsible(corpus, about),
        "distribution": [
            *_manifests(corpus.manifest, corpus.layers),
            *records.file_sets(names, [layer.layer for layer in corpus.layers]),
        ],
        "recordSet": [
            records.datasets([vars(dataset) for dataset in datasets]),
            *records.splits(split),
            records.segments(),
            records.frames(),
        ],
    }
    return tree


def count_datasets(corpus: PackedCorpus) -> list[DatasetCounts]:
    """Count what a corpus has of each dataset, sorted by name."""
    by_dataset = defaultdict(list)
    for shard in corpus.manifest.shards:
        by_dataset[shard.dataset].append(shard)

    counts = []
    for name, shards in sorted(by_dataset.items()):
        videos = [video for shard in shards for video in shard.videos]
        counts.append(
            DatasetCounts(
                name=name,
                specialty=shards[0].specialty,
                procedure=shards[0].procedure,
                licence=corpus.licences.get(name) or UNKNOWN,
                videos=len(videos),
                hours=round(sum(shard.seconds for shard in shards) / 3600, 4),
                frames=sum(video.num_frames for video in videos),
            )
        )
    return counts


def _called(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} datasets of surgical video"


def _description(datasets: Sequence[DatasetCounts], split: str) -> str:
    videos = sum(dataset.videos for dataset in datasets)
    hours = sum(dataset.hours for dataset in datasets)
    frames = sum(dataset.frames for dataset in datasets)
    which = {"train": "training videos", "held_out": "held-out videos", "all": "videos"}[split]
    return (
        f"Frames of surgical video, in shards of WebDataset: {videos:,} {which}, {hours:,.2f} hours, "
        f"{frames:,} frames, of {', '.join(dataset.name for dataset in datasets)}."
    )


def _licences(datasets: Sequence[DatasetCounts]) -> list[str]:
    """The licences of all datasets, each once; at SPDX, where they have a page there."""
    stated = sorted({dataset.licence for dataset in datasets})
    return [spdx_page(licence) or licence for licence in stated]


def _keywords(datasets: Sequence[DatasetCounts]) -> list[str]:
    shown = {dataset.specialty for dataset in datasets}
    shown |= {dataset.procedure for dataset in datasets}
    return ["surgery", "video", *sorted(shown - {"surgery", "video"})]


def _told(about: AboutConfig) -> Mapping[str, Any]:
    """What only the corpus file knows of the corpus as a whole."""
    creators = [{"@type": "sc:Organization", "name": name} for name in about.creators]
    told = {
        "url": about.url,
        "creator": creators,
        "datePublished": about.published,
        "version": about.version,
        "citeAs": about.citation,
    }
    return {name: value for name, value in told.items() if value}


def _manifests(manifest: Manifest, layers: Sequence[LayerManifest]) -> list[dict[str, Any]]:
    """The files that list all others, with their checksums."""
    files = [(MANIFEST_NAME, manifest.to_bytes(), "All shards, with their checksums and videos.")]
    for layer in layers:
        what = f"All shards of the layer {layer.layer}: {layer.values}."
        files.append((layer_manifest_name(layer.layer), layer.to_bytes(), what))

    return [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "description": description,
            "contentUrl": name,
            "contentSize": f"{len(data)} B",
            "encodingFormat": "application/json",
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data, description in files
    ]
