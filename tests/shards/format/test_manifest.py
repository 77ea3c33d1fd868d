"""The manifest says what was packed, and believes nothing else."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.loading import to_tree
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.manifest import Manifest, ManifestFile, encode
from surgstream.shards.format.names import shard_name
from surgstream.shards.format.records import PackedVideo, Part, Shard, segments
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage


@st.composite
def part_lists(draw: st.DrawFn) -> tuple[Part, ...]:
    parts, frame = [], 0
    for gap, length in draw(
        st.lists(st.tuples(st.integers(0, 5), st.integers(1, 300)), min_size=1, max_size=4)
    ):
        parts.append(Part(first_frame=frame + gap, num_frames=length))
        frame += gap + length
    return tuple(parts)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    shards = []
    for dataset in draw(
        st.lists(st.text("abc_-", min_size=1, max_size=3), min_size=1, max_size=3, unique=True)
    ):
        for number in range(draw(st.integers(1, 3))):
            row, videos = 0, []
            for name in range(draw(st.integers(1, 3))):
                video = PackedVideo(
                    id=f"v{number}_{name}",
                    source=draw(st.text(max_size=10)),
                    parts=draw(part_lists()),
                    first_row=row,
                    fps=draw(st.floats(0.1, 60)),
                    width=455,
                    height=256,
                )
                videos.append(video)
                row += video.num_frames
            shards.append(
                Shard(
                    name=shard_name(dataset, number),
                    num_bytes=10**9,
                    sha256="ab" * 32,
                    index_sha256="cd" * 32,
                    dataset=dataset,
                    specialty="laparoscopy",
                    procedure=draw(st.text(max_size=5)),
                    videos=tuple(videos),
                )
            )
    packing: dict[str, bool | str | int | float] = {
        "fps": 1.0,
        "segment_frames": 64,
        "split": "train",
    }
    return Manifest(
        format_version=1,
        packing=packing,
        shards=tuple(sorted(shards, key=lambda shard: shard.name)),
    )


def small() -> Manifest:
    video = PackedVideo(
        id="v",
        source="v.mp4",
        parts=(Part(first_frame=0, num_frames=9),),
        first_row=0,
        fps=1.0,
        width=4,
        height=3,
    )
    shard = Shard(
        name="d/d-000000.tar",
        num_bytes=10240,
        sha256="ab" * 32,
        index_sha256="cd" * 32,
        dataset="d",
        specialty="s",
        procedure="p",
        videos=(video,),
    )
    return Manifest(format_version=1, packing={"fps": 1.0}, shards=(shard,))


def from_bytes(data: bytes) -> Manifest:
    return ManifestFile(data, where="here").parse()


@pytest.mark.slow
@given(manifests())
@settings(derandomize=True, max_examples=50)
def test_a_manifest_comes_back(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    back = from_bytes(data)
    assert back == manifest and back.to_bytes() == data
    assert ManifestFile(data, where="here").sha256 == hashlib.sha256(data).hexdigest()


def test_stills_are_told_of_shards_that_have_them_alone() -> None:
    """So a corpus of videos has the bytes, and the name, that it had before there were stills."""
    videos = small()
    assert b"stills" not in videos.to_bytes()
    stills = dataclasses.replace(
        videos, shards=(dataclasses.replace(videos.shards[0], stills=True),)
    )
    assert b'"stills":true' in stills.to_bytes()
    assert from_bytes(stills.to_bytes()) == stills
    assert from_bytes(videos.to_bytes()) == videos


def test_loading_from_a_store(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    with pytest.raises(ManifestError, match=r"manifest\.json is missing; .*surgstream pack"):
        Manifest.load(storage)
    storage.write("manifest.json", small().to_bytes())
    assert Manifest.load(storage) == small()


@given(st.data())
@settings(derandomize=True, max_examples=200)
def test_a_flipped_bit_is_noticed(data: st.DataObject) -> None:
    damaged = bytearray(small().to_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ManifestError, match="here"):
        from_bytes(bytes(damaged))


def test_a_file_cut_short_or_continued_is_damage() -> None:
    data = small().to_bytes()
    for damaged in (*(data[:length] for length in range(len(data))), data + b"\n", data * 2):
        with pytest.raises(ManifestError, match="here: checksum mismatch"):
            from_bytes(damaged)


@pytest.mark.parametrize(
    "line", [b"[" * 10**5, b"", b"{", b'{"a":' + b"9" * 10**5 + b"}", b"\xff", b'{"videos":[']
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_line_that_cannot_be_read_is_damage_whatever_its_checksum_says(
    line: bytes, number: int
) -> None:
    lines = small().to_bytes().splitlines(keepends=True)[:2]
    lines[number] = line + b"\n"
    with pytest.raises(ManifestError, match="here: "):
        from_bytes(closed(b"".join(lines)))


def closed(body: bytes) -> bytes:
    """A file that begins so, with its checksum."""
    return body + b'],"checksum":"%b"}\n' % hashlib.sha256(body).hexdigest().encode()


def change(tree: dict[str, Any], path: str, value: Any) -> None:
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        tree = tree[step]
    tree[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format_version", 2, "expected format version 1, got 2"),
        ("shards", [], "the corpus is empty"),
        ("shards.0.videos", [], "expected frames, it has none"),
        ("shards.0.name", "../d-000000.tar", r"expected a shard DATASET/DATASET-000000\.tar"),
        ("shards.0.name", "/etc/passwd", r"expected a shard DATASET/DATASET-000000\.tar"),
        ("shards.0.dataset", "e", r"expected a shard DATASET/DATASET-000000\.tar"),
        (
            "shards.0.num_bytes",
            "many",
            r"shards\[0\]: .*\n  num_bytes: expected a whole number, got 'many'",
        ),
        ("shards.0.num_bytes", 10240.0, r"num_bytes: expected a whole number, got 10240\.0"),
        ("shards.0.num_bytes", True, "num_bytes: expected a whole number, got True"),
        (
            "shards.0.num_bytes",
            2**63,
            r"d-000000\.tar: expected less than 2\^63 bytes in all shards up to it",
        ),
        (
            "shards.0.num_bytes",
            9 * 1024 - 1,
            r"d-000000\.tar: expected at least 9216 bytes for 9 frames, got 9215",
        ),
        ("shards.0", ["name"], r"(?s)shards\[0\]: .*expected keys and values, got a list"),
        ("shards.0.videos", {}, r"shards\[0\]: .*\n  videos: expected a list"),
        (
            "shards.0.videos.0.parts.0",
            5,
            r"shards\[0\]: .*\n  videos\[0\]\.parts\[0\]: expected keys and values",
        ),
        ("packing", [], "packing: expected keys and values"),
        (
            "shards.0.videos.0.width",
            2**16,
            "video 'v': expected frames of up to 8K, got 65536x3 pixels",
        ),
        ("shards.0.videos.0.height", 0, "video 'v': expected frames of up to 8K, got 4x0 pixels"),
        (
            "shards.0.videos.0.fps",
            float("nan"),
            "video 'v': expected a finite fps above 0, got nan",
        ),
        ("shards.0.videos.0.fps", -1.0, "video 'v': expected a finite fps above 0, got -1.0"),
        ("shards.0.videos.0.parts.0.first_frame", 2**63, r"video 'v': .* before frame 2\^63"),
        ("shards.0.videos.0.parts", [], "video 'v': expected parts that end after frame 0"),
        ("shards.0.extra", 1, "unknown key"),
        ("shards.0.videos.0.id", "a.b", "expected an id"),
        (
            "shards.0.videos.0.parts.0.num_frames",
            11,
            "expected at least 11264 bytes for 11 frames, got 10240",
        ),
        ("shards.0.videos.0.first_row", 1, "expected first_row 0, got 1"),
        ("shards.0.videos.0.parts.0.num_frames", 0, "expected parts with frames"),
        ("shards.0.videos.0.parts", [{"first_frame": 5, "num_frames": 2}] * 2, "do not overlap"),
    ],
)
def test_what_cannot_be_is_refused(path: str, value: Any, message: str) -> None:
    tree = to_tree(small())
    change(tree, path, value)
    with pytest.raises(ManifestError, match=message):
        from_bytes(encode(tree))


def test_shards_are_sorted_videos_stand_once_and_datasets_have_one_specialty() -> None:
    manifest = small()
    second = dataclasses.replace(manifest.shards[0], name="d/d-000001.tar")
    for shards, message in (
        ((second, manifest.shards[0]), "sorted by name"),
        ((manifest.shards[0], second), "video 'v' stands twice in dataset 'd'"),
        (
            (manifest.shards[0], dataclasses.replace(second, specialty="t", videos=())),
            "d-000001.tar: expected specialty 's', as in the other shards of its dataset, got 't'",
        ),
    ):
        with pytest.raises(ManifestError, match=message):
            from_bytes(dataclasses.replace(manifest, shards=shards).to_bytes())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([2**63, -(2**70)]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.slow
@given(
    manifests(),
    st.lists(st.tuples(st.randoms(use_true_random=False), JSON), min_size=1, max_size=3),
)
@settings(derandomize=True, max_examples=200)
def test_anything_anywhere_is_read_or_refused(
    manifest: Manifest, changes: list[tuple[Any, Any]]
) -> None:
    tree = json.loads(manifest.to_bytes())
    del tree["checksum"]
    for random, value in changes:
        place = tree["shards"]
        while isinstance(place, dict | list) and place:
            key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if random.random() < 0.2 or not isinstance(place[key], dict | list):
                place[key] = value
                break
            place = place[key]
    try:
        back = from_bytes(encode(tree))
    except ManifestError as error:
        assert str(error).startswith("here: ")
    else:
        FrameTable(open_storage("."), back.shards, "").sizes()


def test_it_is_json_that_others_can_read() -> None:
    tree = json.loads(small().to_bytes())
    assert tree["shards"][0]["videos"][0]["parts"] == [{"first_frame": 0, "num_frames": 9}]


@given(part_lists(), st.integers(1, 100))
@settings(derandomize=True, max_examples=50)
def test_segments_hold_every_frame_once_and_stay_inside_parts(
    parts: tuple[Part, ...], most: int
) -> None:
    cut = list(segments(parts, most))
    frames = [segment.first_frame + n for segment in cut for n in range(segment.num_frames)]
    assert frames == [part.first_frame + n for part in parts for n in range(part.num_frames)]
    assert all(1 <= segment.num_frames <= most for segment in cut)
    assert len(cut) == sum(-(-part.num_frames // most) for part in parts)
