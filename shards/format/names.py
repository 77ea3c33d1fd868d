"""Names inside a corpus, and the version of the format.

A corpus is a folder or an S3 prefix: `manifest.json`, `DATASET/DATASET-000123.tar` and its index `.idx`. A tar holds
segments, runs of frames of one video: `VIDEO_00017.json`, then `VIDEO_00017.0000.jpg`, `VIDEO_00017.0001.jpg`, ...
"""

import hashlib
import re

FORMAT_VERSION = 1

CROISSANT_NAME = "croissant.json"
MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"
QUARANTINE_NAME = "quarantine.jsonl"
READINGS_NAME = "readings.jsonl"

FRAME_BYTES = 1024
"""The fewest bytes of a frame in a tar: its header, and one block of content."""

MAX_LABELS = 64 * 2**20
"""The most bytes of a file of labels; parsed, they take many times as much memory."""

LAYER_VERSION = 1

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_DIGESTED_ID = re.compile(r".*--[0-9a-f]{16}")
_SHARD = re.compile(r"(?P<dataset>[A-Za-z0-9_-]{1,80})/(?P=dataset)-(?P<number>[0-9]{6})\.tar")
_LAYER = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LAYER_FILE = re.compile(rf"(?P<stem>[^.]+)\.(?P<layer>{_LAYER.pattern})\.(?:tar|idx|json)")
_LAYER_MANIFEST = re.compile(rf"layer\.(?P<layer>{_LAYER.pattern})\.json")


def is_plain_id(text: str) -> bool:
    """Whether `text` can name a dataset or a video inside a shard: 1 to 80 characters of `[A-Za-z0-9_-]`."""
    return _PLAIN_ID.fullmatch(text) is not None


def encode_id(text: str) -> str:
    """Turn any name into a plain id; different names get different ids.

    WebDataset cuts a member's name at its first dot, and ustar ends it at 100 bytes. A plain name stays as it is. Any
    other keeps its readable characters and gains 64 bits of its SHA-256, and so does a name that already ends so.

    Args:
        text: The original name, such as a video file's name without its suffix.

    Returns:
        1 to 80 characters of `[A-Za-z0-9_-]`.
    """
    if is_plain_id(text) and not _DIGESTED_ID.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:62]
    return f"{readable}--{digest}"


def is_frame_size(width: int, height: int) -> bool:
    """Whether frames may have this size in pixels: any that JPEG can hold, up to 8K, since decoding takes memory."""
    fits_jpeg = min(width, height) > 0 and max(width, height) <= 65500
    return fits_jpeg and width * height <= 2**25


def shard_name(dataset: str, number: int) -> str:
    """The name of a dataset's shard in the corpus: `cholec80/cholec80-000007.tar`."""
    return f"{dataset}/{dataset}-{number:06d}.tar"


def is_shard_name(name: str) -> bool:
    """Whether `name` is one that `shard_name` gives; no such name leads out of the corpus."""
    return _SHARD.fullmatch(name) is not None


def is_shard_of(name: str, dataset: str) -> bool:
    """Whether `name` is one that `shard_name` gives for this dataset."""
    match = _SHARD.fullmatch(name)
    return match is not None and match["dataset"] == dataset


def shard_number(name: str) -> int:
    """The number that `shard_name` put into a name."""
    match = _SHARD.fullmatch(name)
    if match is None:
        raise ValueError(f"not the name of a shard: {name!r}")
    return int(match["number"])


def index_name(shard: str) -> str:
    """The name of the index beside a shard."""
    return shard.removesuffix(".tar") + ".idx"


def receipt_name(shard: str) -> str:
    """The name of the record, beside a shard, of how it was packed."""
    return shard.removesuffix(".tar") + ".json"


def is_receipt_name(name: str) -> bool:
    """Whether `name` is one that `receipt_name` gives."""
    return name.endswith(".json") and is_shard_name(f"{name.removesuffix('.json')}.tar")


def is_layer(text: str) -> bool:
    """Whether `text` can name a layer, such as `mask`: 1 to 32 characters of `[a-z0-9_]`, the first one a letter."""
    return _LAYER.fullmatch(text) is not None


def layer_shard_name(shard: str, layer: str) -> str:
    """The name of the tar with the pictures of a layer, beside that of the frames; its index and record follow it."""
    return f"{shard.removesuffix('.tar')}.{layer}.tar"


def layer_manifest_name(layer: str) -> str:
    """The name of the record of a whole layer."""
    return f"layer.{layer}.json"


def layer_of_file(name: str) -> tuple[str, str] | None:
    """The shard and the layer that a file beside the shard belongs to; None where it is no file of a layer."""
    match = _LAYER_FILE.fullmatch(name)
    if match is None or not is_shard_name(f"{match['stem']}.tar"):
        return None
    return f"{match['stem']}.tar", match["layer"]


def layer_of_manifest(name: str) -> str | None:
    """The layer that `layer_manifest_name` put into a name; None where it is another name."""
    match = _LAYER_MANIFEST.fullmatch(name)
    return None if match is None else match["layer"]


def segment_key(video: str, segment: int) -> str:
    """The WebDataset key of a video's segment: its members are named `KEY.json` and `KEY.0000.jpg` onwards."""
    return f"{video}_{segment:05d}"


def segment_member(key: str) -> str:
    """The tar member that describes a segment."""
    return f"{key}.json"


def frame_member(key: str, frame: int) -> str:
    """The tar member of frame `frame` of a segment, counted from 0."""
    return f"{key}.{frame:04d}.jpg"


def layer_member(key: str, frame: int) -> str:
    """The tar member of a layer's picture of frame `frame` of a segment."""
    return f"{key}.{frame:04d}.png"
