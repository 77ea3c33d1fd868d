"""The parts of `croissant.json` that say how the files of a corpus are read: sets of files, and records in them."""

from collections.abc import Mapping, Sequence
from typing import Any

Tree = dict[str, Any]

_NUMBER = "[0-9]" * 6
"""The digits of a shard's name, which set it apart from the shards of a layer."""

_SEGMENT_FIELDS = {
    "dataset": ("sc:Text", "The dataset."),
    "specialty": ("sc:Text", "Its specialty."),
    "procedure": ("sc:Text", "Its procedure."),
    "licence": ("sc:Text", "Its licence, as an SPDX identifier where it has one."),
    "video": ("sc:Text", "The id of the video, unique in its dataset."),
    "first_frame": ("sc:Integer", "The number of the first frame in the video, counted from 0."),
    "num_frames": ("sc:Integer", "The number of frames."),
    "fps": ("sc:Float", "Frames a second: frame k is shown k / fps seconds after the first."),
    "width": ("sc:Integer", "The width of the frames in pixels."),
    "height": ("sc:Integer", "The height of the frames in pixels."),
}
"""What a segment's JSON has, with its type."""

_DATASET_FIELDS = {
    "name": ("sc:Text", "The name of the dataset."),
    "specialty": ("sc:Text", "Its specialty."),
    "procedure": ("sc:Text", "Its procedure."),
    "licence": ("sc:Text", "Its licence, as an SPDX identifier where it has one."),
    "videos": ("sc:Integer", "Its videos in this corpus."),
    "hours": ("sc:Float", "Their length as packed, in hours."),
    "frames": ("sc:Integer", "Their frames."),
}

_SPLITS = {"train": "cr:TrainingSplit", "held_out": "cr:ValidationSplit"}
"""What Croissant calls the splits that are packed apart; held-out videos watch the loss of training."""


def file_sets(names: Sequence[str], layers: Sequence[str]) -> list[Tree]:
    """The shards of each dataset and layer, and the files in the shards of all datasets.

    Args:
        names: The datasets.
        layers: The layers.
    """
    sets = []
    for name in names:
        pattern = f"{name}/{name}-{_NUMBER}.tar"
        sets.append(_file_set(f"shards-{name}", f"The shards of {name}.", "tar", pattern))
    for layer in layers:
        pattern = f"*/*-{_NUMBER}.{layer}.tar"
        what = f"The shards of the layer {layer}: lossless pictures of the same frames."
        sets.append(_file_set(f"layer-{layer}", what, "tar", pattern))

    inside = [{"@id": f"shards-{name}"} for name in names]
    segments = _file_set("segment-files", "A description of each segment.", "json", "*.json")
    frames = _file_set("frame-files", "The frames.", "jpeg", "*.jpg")
    return [*sets, {**segments, "containedIn": inside}, {**frames, "containedIn": inside}]


def datasets(rows: Sequence[Mapping[str, Any]]) -> Tree:
    """What the corpus has of each dataset, in the file itself.

    Args:
        rows: The values of each, by the names of fields.
    """
    fields = []
    for name, (kind, description) in _DATASET_FIELDS.items():
        fields.append(_field(f"datasets/{name}", kind, description))
    data = [{f"datasets/{name}": row[name] for name in _DATASET_FIELDS} for row in rows]
    return {
        **_record_set("datasets", "What the corpus has of each dataset.", "name", fields),
        "data": data,
    }


def splits(split: str) -> list[Tree]:
    """The split that the corpus is; none where it holds all videos, which samples do not tell apart."""
    if split not in _SPLITS:
        return []

    fields = [
        _field("splits/name", "sc:Text", "The split of all videos of this corpus."),
        _field("splits/url", "sc:URL", "What Croissant calls it."),
    ]
    return [
        {
            **_record_set("splits", "The only split here.", "name", fields),
            "dataType": "cr:Split",
            "data": [{"splits/name": split, "splits/url": _SPLITS[split]}],
        }
    ]


def segments() -> Tree:
    """The runs of frames that are a sample each."""
    key = _from_file("segment-files", "filename") | {"transform": {"regex": r"^(.*)\.json$"}}
    fields = [_field("segments/key", "sc:Text", "The key of the sample.", key)]
    for name, (kind, description) in _SEGMENT_FIELDS.items():
        source = {
            "fileSet": {"@id": "segment-files"},
            "extract": {"jsonPath": f"$.{name}"},
        }
        fields.append(_field(f"segments/{name}", kind, description, source))

    what = "Runs of frames of a video, each stored as one sample of WebDataset."
    return _record_set("segments", what, "key", fields)


def frames() -> Tree:
    """The frames, each with its segment."""
    in_file = _from_file("frame-files", "filename")
    segment = _field(
        "frames/segment",
        "sc:Text",
        "The sample that has it.",
        in_file | {"transform": {"regex": r"^(.*)\.[0-9]{4}\.jpg$"}},
    )
    fields = [
        _field("frames/name", "sc:Text", "The name of its file in the shard.", in_file),
        {**segment, "references": {"field": {"@id": "segments/key"}}},
        _field(
            "frames/image", "sc:ImageObject", "The frame.", _from_file("frame-files", "content")
        ),
    ]
    return _record_set("frames", "The frames of all segments.", "name", fields)


def _file_set(id: str, description: str, kind: str, pattern: str) -> Tree:
    formats = {"tar": "application/x-tar", "json": "application/json", "jpeg": "image/jpeg"}
    return {
        "@type": "cr:FileSet",
        "@id": id,
        "name": id,
        "description": description,
        "encodingFormat": formats[kind],
        "includes": pattern,
    }


def _record_set(id: str, description: str, key: str, fields: Sequence[Tree]) -> Tree:
    return {
        "@type": "cr:RecordSet",
        "@id": id,
        "name": id,
        "description": description,
        "key": {"@id": f"{id}/{key}"},
        "field": list(fields),
    }


def _field(id: str, kind: str, description: str, source: Tree | None = None) -> Tree:
    field = {
        "@type": "cr:Field",
        "@id": id,
        "name": id.rpartition("/")[2],
        "description": description,
        "dataType": kind,
    }
    return field if source is None else {**field, "source": source}


def _from_file(file_set: str, what: str) -> Tree:
    return {"fileSet": {"@id": file_set}, "extract": {"fileProperty": what}}
