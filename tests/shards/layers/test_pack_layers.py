"""Packed layers: each frame has the picture that was drawn for it, at its crop and size, or none."""

import io
import json
import tarfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.format.index import ROW
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.format.names import layer_shard_name
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack as main
from tests.helpers.layers import (
    distances,
    layers_of,
    pictures_in,
    write_gray_video,
    write_sources,
)
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video
from tests.shards.layers.packed import MASKS, check_numbers, frames_in

pytestmark = pytest.mark.usefixtures("here")


def test_pictures_land_on_the_rows_of_their_frames(tmp_path: Path) -> None:
    write_sources(tmp_path, "a", "b")
    corpus, out = (
        write_corpus(tmp_path, layers_of(), fps=5, short_side=24, shard_bytes=1),
        tmp_path / "out",
    )
    assert main([corpus, str(out)]) == 0
    assert check_numbers(out, "mask") == 20
    depth = pictures_in(out, "depth")
    # Frame k shows picture 5 k, and every tenth picture has depth.
    assert [key[2] for key, picture in depth.items() if picture is not None] == [0, 2, 4, 6, 8] * 2
    for (_, _, frame), picture in depth.items():
        if picture is not None:
            assert (picture == distances(5 * frame, (64, 48))[::2, 1::2]).all()

    manifest = ManifestFile.load(open_storage(str(out)))
    for name in ("mask", "depth"):
        layer = LayerManifest.load(open_storage(str(out)), name)
        assert layer.corpus == manifest.sha256
        assert [shard.shard for shard in layer.shards] == [s.name for s in manifest.shards()]
        assert [shard.num_frames for shard in layer.shards] == [10, 10]


def test_rows_are_those_of_the_frames(tmp_path: Path) -> None:
    """Of each row the picture lies where the index says, by a reader of its own; an empty one takes no bytes."""
    write_sources(tmp_path, "a", "b")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5, segment_frames=4), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    (shard,) = load(out).shards
    for name, num_pictures in (("mask", 20), ("depth", 10)):
        path = out / layer_shard_name(shard.name, name)
        rows = np.frombuffer(path.with_suffix(".idx").read_bytes(), ROW)
        assert len(rows) == shard.num_frames == 20
        with tarfile.open(path) as tar:
            members = [(m.offset_data, m.size, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
        there = [tuple(row) for row in rows.tolist() if row[1]]
        assert there == [(offset, size, zlib.crc32(data)) for offset, size, data in members]
        assert len(there) == num_pictures
        assert all(crc32 == 0 for _, size, crc32 in rows.tolist() if not size)
        assert (np.diff(rows["offset"].astype(np.int64)) >= 0).all()


@pytest.mark.parametrize(
    ("suffix", "rate", "fps"),
    [
        ("mkv", Fraction(30), 30),
        ("mkv", Fraction(30000, 1001), 5),
        ("mp4", Fraction(30000, 1001), 30),
        ("mp4", Fraction(50), 7),
        ("avi", Fraction(25), 25),
        ("ts", Fraction(30), 30),
    ],
)
def test_containers_that_round_times_differently_agree(
    tmp_path: Path, suffix: str, rate: Fraction, fps: int
) -> None:
    """Matroska rounds to milliseconds, so pictures of one time may be shown at two."""
    make_video(tmp_path / "videos" / f"a.{suffix}", 60, time_base=1 / rate)
    write_gray_video(tmp_path / "masks" / "a.mkv", 60, time_base=1 / rate)
    dataset = {**MASKS, "videos": f"videos/*.{suffix}"}
    assert (
        main([write_corpus(tmp_path, dataset, fps=fps, short_side=24), str(tmp_path / "out")]) == 0
    )
    assert check_numbers(tmp_path / "out", "mask") == len(frames_in(tmp_path / "out"))


@pytest.mark.slow
@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=12)
def test_pictures_at_any_times(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Pictures of a video that stay for any time, with those of its layer at the same times in another container."""
    folder = tmp_path_factory.mktemp("times")
    steps = data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=12))
    stamps = np.cumsum([data.draw(st.integers(0, 30)), *steps]).tolist()
    make_video(folder / "videos" / "a.mp4", stamps, time_base=Fraction(1, 30))
    write_gray_video(
        folder / "masks" / "a.mkv", [s - stamps[0] for s in stamps], time_base=Fraction(1, 30)
    )
    fps = data.draw(st.sampled_from([3, 5, 10, 30]))
    assert main([write_corpus(folder, MASKS, fps=fps, short_side=24), str(folder / "out")]) == 0
    assert check_numbers(folder / "out", "mask") == len(frames_in(folder / "out"))


def test_crops_and_what_is_left_out(tmp_path: Path) -> None:
    """The border of the video is cut off its masks, and a dropped stretch has no rows."""
    make_bordered(tmp_path / "videos" / "a.mkv")
    write_gray_video(tmp_path / "masks" / "a.mkv", 40, corner, size=(96, 64))
    (tmp_path / "review.csv").write_text("dataset,video,start,stop,decision\nd,a,0.4,0.8,drop\n")
    dataset = {**MASKS, "videos": "videos/*.mkv"}
    corpus = write_corpus(tmp_path, dataset, fps=5, short_side=32, crop_borders=True)
    out = tmp_path / "out"
    assert main([corpus, str(out), "--review", str(tmp_path / "review.csv")]) == 0
    (video,) = load(out).shards[0].videos
    assert [part.first_frame for part in video.parts] == [0, 4]

    (reading,) = map(json.loads, (out / "readings.jsonl").read_text().splitlines())
    box = reading["crop"]
    assert 10 < box["left"] < 22 and 70 < box["right"] < 90
    frames, pictures = frames_in(out), pictures_in(out, "mask")
    assert [key[2] for key in pictures] == [0, 1, 4, 5, 6, 7]
    for key, picture in pictures.items():
        assert picture is not None and picture.shape == (video.height, video.width)
        # The bright quarter of the frame is where its mask has its class.
        gray = np.asarray(Image.open(io.BytesIO(frames[key])).convert("L")).astype(int)
        assert ((gray > 160) == (picture == 7)).mean() > 0.97


def bordered(number: int, size: tuple[int, int]) -> Any:
    """A screen with something bright in one quarter of it, and black on both sides."""
    picture = np.zeros((size[1], size[0]), np.uint8)
    picture[:, 16:80] = 90 + number
    picture[10:40, 20:44] = 230
    return picture


def corner(number: int, size: tuple[int, int]) -> Any:
    """Class 7 where `bordered` is bright."""
    return np.where(bordered(0, size) == 230, 7, 0).astype(np.uint8)


def make_bordered(path: Path) -> Path:
    return write_gray_video(path, 40, bordered, size=(96, 64))


@pytest.mark.slow
def test_layers_on_s3(tmp_path: Path) -> None:
    """Sources and corpus in a bucket give what a folder does."""
    write_sources(tmp_path / "in", "a", count=20)
    assert main([write_corpus(tmp_path / "in", layers_of(), fps=5), str(tmp_path / "out")]) == 0
    with s3_bucket("layered") as bucket:
        storage = open_storage(bucket)
        for path in (tmp_path / "in").rglob("*.*"):
            storage.write(f"in/{path.relative_to(tmp_path / 'in')}", path.read_bytes())
        corpus = write_corpus(tmp_path, layers_of(), fps=5)
        assert main([corpus, f"{bucket}/out", "--root", f"{bucket}/in"]) == 0
        there = open_storage(f"{bucket}/out")
        for name, data in contents(tmp_path / "out").items():
            if name.endswith((".tar", ".idx", "manifest.json")) or name.startswith("layer."):
                assert there.read(name) == data, name


def test_pseudonyms_hide_the_files_of_layers(tmp_path: Path) -> None:
    write_sources(tmp_path, "DOE_JANE", "ROE_JOHN")
    (tmp_path / "depth" / "DOE_JANE" / "00010.png").write_bytes(b"no image")
    (tmp_path / "masks" / "ROE_JOHN.mkv").write_bytes(b"no video")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(out), "--pseudonyms", str(tmp_path / "names.csv")]) == 0
    assert len(LayerManifest.load(open_storage(str(out)), "mask").quarantine) == 1
    for name, data in contents(out).items():
        if ".owner" not in name:
            assert b"DOE" not in data and b"ROE" not in data and "DOE" not in name, name
