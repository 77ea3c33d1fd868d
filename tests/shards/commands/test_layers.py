"""`verify`, `stage` and `inspect` of a corpus with layers."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.commands import verify as verifying
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.inspection.overlay import with_classes, with_depth
from surgstream.shards.inspection.sheet import CELL_HEIGHT
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import inspect, stage, verify
from tests.helpers.commands import pack as pack_corpus
from tests.helpers.layers import layers_of, run_here, write_sources
from tests.helpers.packing import contents, write_corpus

FILES = [
    "layer.mask.json",
    "layer.depth.json",
    *(
        f"d/d-00000{n}.{layer}.{kind}"
        for n in "01"
        for layer in ("mask", "depth")
        for kind in ("tar", "idx", "json")
    ),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards with masks and depth, of one of which the depth is damaged."""
    folder = tmp_path_factory.mktemp("layered")
    write_sources(folder, "a", "b", count=20)
    (folder / "depth" / "b" / "00000.png").write_bytes(b"no image")
    corpus = write_corpus(
        folder, layers_of(), fps=5, short_side=16, segment_frames=3, shard_bytes=1
    )
    with pytest.MonkeyPatch.context() as patch:
        for room in ("packing.pipeline", "layers.work"):
            patch.setattr(f"surgstream.shards.{room}.run_all", run_here)
        assert pack_corpus([corpus, str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def corpus(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "out"))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "run_all", run_here)


def findings(corpus: Path) -> list[str]:
    storage = open_storage(str(corpus))
    return list(verifying.verify(Manifest.load(storage), storage, workers=1))


def test_a_sound_corpus(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(packed) == []
    assert verify([str(packed)]) == 0
    assert capsys.readouterr().out.startswith("2 shards, 2 videos, 8 frames, ")


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(
    derandomize=True,
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_flipped_bit_anywhere_is_found_and_its_file_named(
    corpus: Path, name: str, data: st.DataObject
) -> None:
    whole = (corpus / name).read_bytes()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (corpus / name).write_bytes(changed)
    found = findings(corpus)
    (corpus / name).write_bytes(whole)
    assert len(found) == 1 and name in found[0], found


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_or_missing_is_named(corpus: Path, name: str) -> None:
    os.truncate(corpus / name, (corpus / name).stat().st_size // 2)
    (cut,) = findings(corpus)
    (corpus / name).unlink()
    (gone,) = findings(corpus)
    assert name in cut and name in gone and "missing" in gone


def test_layers_of_another_version_of_the_corpus_are_told(corpus: Path, packed: Path) -> None:
    """As where a packing was killed between the frames and their layers."""
    manifest = Manifest.load(open_storage(str(corpus)))
    (corpus / "manifest.json").write_bytes(
        Manifest(
            format_version=manifest.format_version,
            packing={**manifest.packing, "pillow": "0"},
            shards=manifest.shards,
        ).to_bytes()
    )
    found = findings(corpus)
    assert found == [
        f"layer.{layer}.json: is of another version of the corpus; run `surgstream pack` again"
        for layer in ("depth", "mask")
    ]


def to_read(corpus: Path) -> dict[str, bytes]:
    """What is read of a corpus, other than by packing."""
    kinds = (".tar", ".idx", "manifest.json", "croissant.json")
    files = contents(corpus)
    return {n: files[n] for n in files if n.endswith(kinds) or n.startswith("layer.")}


def test_a_staged_corpus_has_its_layers(packed: Path, tmp_path: Path) -> None:
    target = tmp_path / "staged"
    assert stage([str(packed), str(target)]) == 0
    assert {n: d for n, d in contents(target).items() if ".owner" not in n} == to_read(packed)
    assert findings(target) == []

    inodes = {path: path.stat().st_ino for path in target.rglob("*.*")}
    assert stage([str(packed), str(target)]) == 0
    assert all(
        path.stat().st_ino == inode for path, inode in inodes.items() if ".owner" not in str(path)
    )


def test_a_staged_layer_follows_its_source(packed: Path, corpus: Path, tmp_path: Path) -> None:
    """A manifest that differs makes its files be compared; layers that are gone from the source go."""
    target = tmp_path / "staged"
    assert stage([str(corpus), str(target)]) == 0
    tar = target / "d" / "d-000000.mask.tar"
    tar.write_bytes(bytes(tar.stat().st_size))
    (target / "layer.mask.json").unlink()
    assert stage([str(corpus), str(target)]) == 0
    assert to_read(target) == to_read(packed)

    for path in corpus.rglob("*depth*"):
        path.unlink()
    assert stage([str(corpus), str(target)]) == 0
    assert to_read(target) == {n: d for n, d in to_read(packed).items() if "depth" not in n}


def test_a_layer_of_another_version_is_not_staged(corpus: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(open_storage(str(corpus)))
    (corpus / "manifest.json").write_bytes(
        Manifest(
            format_version=manifest.format_version, packing={}, shards=manifest.shards
        ).to_bytes()
    )
    with pytest.raises(
        ManifestError, match=r"layer\.depth\.json: expected a layer of this version"
    ):
        stage([str(corpus), str(tmp_path / "staged")])


def test_inspect_counts_pictures(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect([str(packed)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "layer depth: 2 pictures of 8 frames, 0.0 MB, distances in 1/100 mm; 0 of 2 videos have none; damaged: 1, "
        "such as d/b",
        "layer mask: 8 pictures of 8 frames, 0.0 MB, numbers of classes; 0 of 2 videos have none",
    ]
    assert inspect([str(packed), "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [(layer["name"], layer["values"], layer["num_pictures"]) for layer in layers] == [
        ("depth", "depth", {"d": 2}),
        ("mask", "classes", {"d": 8}),
    ]


def test_the_sheet_shows_layers_over_frames(packed: Path, tmp_path: Path) -> None:
    """A row of frames for each video, and one for each layer that it has."""
    assert inspect([str(packed), "--grid", "--out", str(tmp_path)]) == 0
    with Image.open(tmp_path / "d.png") as sheet:
        height = sheet.height
    line = CELL_HEIGHT + 2 * 18 + 4
    # Frames, depth and masks of a, frames and masks of b, whose depth is damaged.
    assert height == 5 * line + 4


def test_classes_are_tinted_and_depth_is_gray() -> None:
    image = Image.new("RGB", (4, 1), (100, 100, 100))
    mask = np.array([[0, 1, 1, 2]], np.uint8)
    tinted = np.asarray(with_classes(image, mask))[0].tolist()
    assert tinted[0] == [100, 100, 100]
    assert tinted[1] == tinted[2] != tinted[3] and tinted[3] != tinted[0] != tinted[1]

    depth = np.array([[0, 1000, 2000, 3000]], np.uint16)
    gray = np.asarray(with_depth(image, depth))[0]
    assert gray[0].tolist() == [100, 100, 100]
    assert [int(value) for value in gray[1:, 0]] == sorted(gray[1:, 0].tolist(), reverse=True)
    assert gray[1, 0] == 255 and (gray[..., 0] == gray[..., 2]).all()
