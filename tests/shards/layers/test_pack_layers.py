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

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import LayerError
from surgstream.shards.format.index import ROW
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.format.names import layer_shard_name
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack as main
from tests.helpers.layers import (
    distances,
    layers_of,
    numbered,
    pictures_in,
    write_gray_video,
    write_images,
    write_sources,
)
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video, number_in, picture_of

pytestmark = pytest.mark.usefixtures("here")

MASKS = {"name": "d", "videos": "videos/*.mp4", "layers": {"mask": "masks/{video}.mkv"}}


def frames_in(corpus: Path) -> dict[tuple[str, str, int], bytes]:
    """Every frame by dataset, video and number."""
    found = {}
    for shard in load(corpus).shards:
        rows = np.frombuffer((corpus / shard.index_name).read_bytes(), ROW)
        tar = (corpus / shard.name).read_bytes()
        row = 0
        for video in shard.videos:
            for part in video.parts:
                for frame in range(part.first_frame, part.first_frame + part.num_frames):
                    offset, size, _ = rows[row].tolist()
                    found[shard.dataset, video.id, frame] = tar[offset : offset + size]
                    row += 1
    return found


def check_numbers(corpus: Path, layer: str) -> int:
    """Compare the numbers that pictures of a layer and their frames were drawn with; returns how many there are."""
    frames = frames_in(corpus)
    pictures = pictures_in(corpus, layer)
    assert pictures.keys() == frames.keys()
    for key, picture in pictures.items():
        if picture is not None:
            assert set(np.unique(picture)) == {number_in(frames[key]) % 255 + 1}, key
            assert picture.shape == Image.open(io.BytesIO(frames[key])).size[::-1]
    return sum(picture is not None for picture in pictures.values())


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


@pytest.mark.parametrize(
    ("layer", "numbers", "shown"),
    [
        ({}, [0, 5, 20], [0, 1, 4]),
        ({"first": 1}, [1, 6, 20], [0, 1]),
        ({"image_fps": 25}, [0, 5, 20], [0, 1, 4]),
        ({"image_fps": 1}, [0, 1], [0, 5]),
        ({"image_fps": 2.5}, [0, 1, 2], [0, 2, 4]),
    ],
)
def test_numbers_of_images(
    tmp_path: Path, layer: dict[str, Any], numbers: list[int], shown: list[int]
) -> None:
    """A video of 25 pictures a second, of which frame k shows picture 5 k."""
    make_video(tmp_path / "videos" / "a.mp4", 50)
    write_images(tmp_path / "masks" / "a", numbers)
    dataset = {**MASKS, "layers": {"mask": {"path": "masks/{video}", **layer}}}
    assert main([write_corpus(tmp_path, dataset, fps=5), str(tmp_path / "out")]) == 0
    found = {
        key[2]: int(picture[0, 0])
        for key, picture in pictures_in(tmp_path / "out", "mask").items()
        if picture is not None
    }
    assert list(found) == shown
    assert list(found.values()) == [number + 1 for number in numbers[: len(shown)]]


def test_images_of_a_folder_of_images(tmp_path: Path) -> None:
    """Frames and depth of a video in one folder, told apart by a glob; numbers are those of the frames."""
    for number in range(3, 9):
        folder = tmp_path / "frames" / "a"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture_of(number)).save(folder / f"{number:04d}.png")
    for number in (3, 4, 7):
        (tmp_path / "truth" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(distances(number)).save(
            tmp_path / "truth" / "a" / f"{number:04d}_depth.tiff"
        )
        Image.fromarray(numbered(number)).save(tmp_path / "truth" / "a" / f"{number:04d}_mask.png")
    dataset = {
        "name": "d",
        "videos": "frames/*",
        "image_fps": 2,
        "layers": {
            "mask": "truth/{video}/*_mask.png",
            "depth": {"path": "truth/{video}/*_depth.tiff", "millimetres_per_unit": 0.1},
        },
    }
    assert main([write_corpus(tmp_path, dataset, fps=2), str(tmp_path / "out")]) == 0
    assert check_numbers(tmp_path / "out", "mask") == 3
    depth = pictures_in(tmp_path / "out", "depth")
    assert [key[2] for key, picture in depth.items() if picture is not None] == [0, 1, 4]
    assert (depth["d", "a", 4] == distances(7).astype(int) * 10).all()


def test_c3vd_has_everything_in_one_folder(tmp_path: Path) -> None:
    """Frames, depth and more of a sequence, told apart by the ends of their names, with numbers from 0 on."""
    folder = tmp_path / "cecum_t1_a"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(picture_of(number)).save(folder / f"{number:04d}_color.png")
        Image.fromarray(distances(number)).save(folder / f"{number:04d}_depth.tiff")
        Image.fromarray(numbered(number)).save(folder / f"{number:04d}_occlusion.png")
    (folder / "pose.txt").write_text("1 0 0 0")
    dataset = {
        "name": "c3vd",
        "videos": "*_t1_*",
        "image_fps": 1,
        "images": "*_color.png",
        "layers": {
            "depth": {"path": "{video}/*_depth.tiff", "millimetres_per_unit": 100 / 65535},
            "occlusion": "{video}/*_occlusion.png",
        },
    }
    out = tmp_path / "out"
    assert main([write_corpus(tmp_path, dataset), str(out)]) == 0
    assert check_numbers(out, "occlusion") == 4
    for (_, _, frame), picture in pictures_in(out, "depth").items():
        assert picture is not None
        millimetres = distances(frame) / 65535 * 100
        assert np.abs(picture / 100 - millimetres).max() <= 0.005 + 1e-9
    before = contents(out)
    assert main([write_corpus(tmp_path, dataset), str(out)]) == 0
    assert {n: d for n, d in contents(out).items() if ".owner" not in n} == {
        n: d for n, d in before.items() if ".owner" not in n
    }


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


def test_still_images(tmp_path: Path) -> None:
    """A dataset of images with masks of the same names, of which one is missing."""
    for number, name in enumerate(("1", "cju.2", "3")):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
        Image.fromarray(picture_of(number, 40 + number, 30)).save(
            tmp_path / "images" / f"{name}.png"
        )
        if name != "3":
            Image.fromarray(numbered(number, (40 + number, 30))).save(
                tmp_path / "masks" / f"{name}.png"
            )
    dataset = {
        "name": "polyps",
        "videos": "images/*.png",
        "stills": True,
        "layers": {"mask": "masks/{video}.png"},
    }
    out = tmp_path / "out"
    for fps in (1, 5):
        assert main([write_corpus(tmp_path, dataset, fps=fps), str(out)]) == 0
        (shard,) = load(out).shards
        assert [(video.num_frames, video.width) for video in shard.videos] == [
            (1, 40),
            (1, 42),
            (1, 41),
        ]
        assert check_numbers(out, "mask") == 2
        (own,) = LayerManifest.load(open_storage(str(out)), "mask").shards
        assert own.missing == ("3",)


def test_the_first_path_that_is_there_has_the_layer(tmp_path: Path) -> None:
    """Of each video by itself."""
    write_images(tmp_path / "images", range(3), lambda n, _: picture_of(n))
    for folder, numbers in (("one", [0, 1]), ("two", [1, 2])):
        added = 50 * (folder == "two")
        write_images(tmp_path / folder, [n + added for n in numbers], numbered)
        for n in numbers:
            (tmp_path / folder / f"{n + added:05d}.png").rename(tmp_path / folder / f"{n:05d}.png")
    dataset = {
        "name": "d",
        "videos": "images/*.png",
        "stills": True,
        "layers": {"mask": {"path": ["one/{stem}.png", "two/{video}.png"]}},
    }
    out = tmp_path / "out"
    assert main([write_corpus(tmp_path, dataset), str(out)]) == 0
    values = [picture.max() for picture in pictures_in(out, "mask").values() if picture is not None]
    assert values == [1, 2, 53]

    with pytest.raises(ConfigError, match=r"layers.mask.path: expected a path or a list of them"):
        main([write_corpus(tmp_path, {**dataset, "layers": {"mask": {"path": []}}}), str(out)])


def test_a_corpus_without_layers_is_packed_as_before(tmp_path: Path) -> None:
    """Every file is the same, but for those of layers beside it; and adding them packs no frame again."""
    write_sources(tmp_path, "a", "b")
    plain = write_corpus(tmp_path, {"name": "d", "videos": "videos/*.mp4"}, fps=5)
    out = tmp_path / "out"
    assert main([plain, str(out)]) == 0
    before = contents(out)
    times = {name: (out / name).stat().st_mtime_ns for name in before}
    assert not any("layer" in name or ".mask" in name for name in before)

    assert main([write_corpus(tmp_path, layers_of(), fps=5), str(out)]) == 0
    after = contents(out)
    assert {name: after[name] for name in before if ".owner" not in name} == {
        name: data for name, data in before.items() if ".owner" not in name
    }
    assert all(
        (out / name).stat().st_mtime_ns == times[name] for name in before if ".owner" not in name
    )
    assert check_numbers(out, "mask") == 20
    layers = {
        name: data for name, data in after.items() if name not in before and ".owner" not in name
    }
    assert sorted(layers) == [
        *(
            f"d/d-000000.{layer}.{kind}"
            for layer in ("depth", "mask")
            for kind in ("idx", "json", "tar")
        ),
        "layer.depth.json",
        "layer.mask.json",
    ]

    # Without them in the corpus file they go, and frames stay.
    assert (
        main([write_corpus(tmp_path, {"name": "d", "videos": "videos/*.mp4"}, fps=5), str(out)])
        == 0
    )
    assert {name for name in contents(out) if ".owner" not in name} == {
        name for name in before if ".owner" not in name
    }


def test_only_what_has_changed_is_packed_again(tmp_path: Path) -> None:
    write_sources(tmp_path, "a", "b")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5, shard_bytes=1), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    inodes = {path: path.stat().st_ino for path in out.rglob("*-0*")}
    assert main([corpus, str(out)]) == 0
    assert {path: path.stat().st_ino for path in out.rglob("*-0*")} == inodes

    write_images(tmp_path / "depth" / "b", [5], distances)
    (out / "d" / "d-000000.mask.idx").unlink()
    assert main([corpus, str(out)]) == 0
    again = {path.name for path in inodes if path.stat().st_ino != inodes[path]}
    assert again == {
        *(f"d-000000.mask.{kind}" for kind in ("tar", "idx", "json")),
        *(f"d-000001.depth.{kind}" for kind in ("tar", "idx", "json")),
    }
    assert pictures_in(out, "depth")["d", "b", 1] is not None


@pytest.mark.parametrize("lost", ["d-000000.mask.*", "d-000000.*", "../layer.mask.json"])
def test_what_was_lost_is_packed_again(tmp_path: Path, lost: str) -> None:
    """Whatever files somebody has deleted, frames among them."""
    write_sources(tmp_path, "a", "b")
    corpus, out = (
        write_corpus(tmp_path, layers_of(), fps=5, shard_bytes=1),
        tmp_path / "out",
    )
    assert main([corpus, str(out)]) == 0
    before = {name: data for name, data in contents(out).items() if ".owner" not in name}
    for path in list((out / "d").glob(lost)):
        path.unlink()
    assert main([corpus, str(out)]) == 0
    assert {n: d for n, d in contents(out).items() if ".owner" not in n} == before


def test_a_damaged_manifest_of_a_layer_is_written_again(tmp_path: Path) -> None:
    write_sources(tmp_path, "a")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    whole = (out / "layer.mask.json").read_bytes()
    (out / "layer.mask.json").write_bytes(whole[:-9])
    assert main([corpus, str(out)]) == 0
    assert (out / "layer.mask.json").read_bytes() == whole


def test_a_video_that_is_removed_leaves_no_picture(tmp_path: Path) -> None:
    write_sources(tmp_path, "a", "b", "c")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5, shard_bytes=1), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    assert (
        main(
            [write_corpus(tmp_path, layers_of({"hold_out": ["a"]}), fps=5, shard_bytes=1), str(out)]
        )
        == 0
    )
    assert not list(out.rglob("d-000000.*"))
    assert {key[1] for key in pictures_in(out, "mask")} == {"b", "c"}
    assert [shard.shard for shard in LayerManifest.load(open_storage(str(out)), "mask").shards] == [
        "d/d-000001.tar",
        "d/d-000002.tar",
    ]


def test_layers_go_before_the_frames_of_a_removed_video_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails later must not leave them behind."""
    write_sources(tmp_path, "a", "b")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(out)]) == 0

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the machine is gone")

    monkeypatch.setattr("surgstream.shards.packing.pipeline.run_all", fail)
    with pytest.raises(RuntimeError, match="the machine is gone"):
        main([write_corpus(tmp_path, layers_of({"hold_out": ["a"]}), fps=5), str(out)])
    assert not [
        name for name in contents(out) if ".mask" in name or "depth" in name or "layer" in name
    ]


def test_a_missing_layer_is_told_and_a_damaged_one_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sources(tmp_path, "a", "b", "c")
    (tmp_path / "masks" / "b.mkv").unlink()
    whole = (tmp_path / "masks" / "c.mkv").read_bytes()
    (tmp_path / "masks" / "c.mkv").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "depth" / "a" / "00010.png").write_bytes(b"no image")
    corpus, out = write_corpus(tmp_path, layers_of(), fps=5), tmp_path / "out"
    assert main([corpus, str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("layer")] == [
        "layer depth: 10 pictures of 30 frames, 0.0 MB, distances in 1/100 mm; 0 of 3 videos have none; "
        "damaged: 1, such as d/a",
        "layer mask: 10 pictures of 30 frames, 0.0 MB, numbers of classes; 1 of 3 videos have none, such as "
        "d/b; damaged: 1, such as d/c",
        f"layer depth has damaged videos, with reasons: {out}/layer.depth.json",
        f"layer mask has damaged videos, with reasons: {out}/layer.mask.json",
    ]
    storage = open_storage(str(out))
    (spoiled,) = LayerManifest.load(storage, "depth").quarantine
    assert spoiled.video == "a" and "a/00010.png: cannot be read as an image" in spoiled.reason
    (cut,) = LayerManifest.load(storage, "mask").quarantine
    assert (cut.video, cut.source) == ("c", str(tmp_path / "videos" / "c.mp4"))
    assert {key[1] for key, picture in pictures_in(out, "mask").items() if picture is not None} == {
        "a"
    }
    assert main([corpus, str(out), "--strict"]) == 3

    (tmp_path / "masks" / "c.mkv").write_bytes(whole)
    write_images(tmp_path / "depth" / "a", [10], distances)
    assert main([corpus, str(out), "--strict"]) == 0
    assert check_numbers(out, "mask") == 20


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


def refused(folder: Path, dataset: dict[str, Any], kind: type[Exception] = LayerError) -> str:
    with pytest.raises(kind) as raised:
        main([write_corpus(folder, dataset, fps=5), str(folder / "out")])
    assert not (folder / "out" / "layer.mask.json").exists()
    return str(raised.value).replace(str(folder), "F")


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 50)
    write_gray_video(tmp_path / "masks" / "a.mkv", 50, size=(32, 24))
    assert refused(tmp_path, MASKS) == (
        "F/masks/a.mkv: expected 64x48 pixels, as the picture of its video has, got 32x24"
    )
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_masks_of_another_rate_are_refused(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 50)
    write_gray_video(tmp_path / "masks" / "a.mkv", 50, time_base=Fraction(1, 24))
    assert refused(tmp_path, MASKS).startswith(
        "F/masks/a.mkv: expected a picture at second 0.400, as its video has, got the nearest at 0.417;"
    )


def test_masks_that_end_too_early_are_refused(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 50)
    write_gray_video(tmp_path / "masks" / "a.mkv", 40)
    assert refused(tmp_path, MASKS).startswith(
        "F/masks/a.mkv: expected a picture at second 1.600, as its video has, got the nearest at 1.560;"
    )


def test_what_keeps_no_values_is_refused_before_frames_are_packed(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 50)
    (tmp_path / "masks").mkdir()
    make_video(tmp_path / "masks" / "a.mkv", 50)
    assert refused(tmp_path, MASKS) == (
        "F/masks/a.mkv: expected a video that keeps every value, such as FFV1, got h264"
    )
    write_gray_video(tmp_path / "masks" / "a.mkv", 50, pixel_format="yuv420p")
    assert refused(tmp_path, MASKS) == (
        "F/masks/a.mkv: expected gray pictures of 8 or 16 bits (gray, gray16le, gray16be), got yuv420p"
    )
    write_gray_video(tmp_path / "masks" / "a.mkv", 50, lambda n, size: distances(n + 1, size))
    assert refused(tmp_path, MASKS) == (
        "F/masks/a.mkv: expected numbers of classes, from 0 to 255, got 301 to 364; if they are distances, set "
        "millimetres_per_unit of the layer"
    )
    assert not list((tmp_path / "out").glob("d/*.tar"))


def test_a_layer_that_is_nowhere_is_a_mistake_of_the_corpus_file(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 50)
    assert refused(tmp_path, MASKS, ConfigError) == (
        "datasets: d: layers.mask: expected it to be there for at least one of 1 videos, got none, such as "
        "F/masks/a.mkv; correct the path, or leave the layer out"
    )


def test_one_image_for_a_video_is_refused(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 50)
    (tmp_path / "masks").mkdir()
    Image.fromarray(numbered(0)).save(tmp_path / "masks" / "a.png")
    dataset = {**MASKS, "layers": {"mask": "masks/{video}.png"}}
    assert "got one image for a video of several" in refused(tmp_path, dataset)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ({"Mask": "m"}, "layers: expected a name of 1 to 32 characters of a-z 0-9 _, got 'Mask'"),
        (
            {"depth": "m"},
            "layers.depth: expected millimetres_per_unit, what a value of 1 means, got none",
        ),
        (
            {"mask": {"path": "m", "millimetres_per_unit": 0}},
            "millimetres_per_unit: expected 1e-09 to 1000000, got 0.0",
        ),
    ],
)
def test_mistakes_of_a_corpus_file(tmp_path: Path, layers: dict[str, Any], reason: str) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 5)
    assert reason in refused(tmp_path, {**MASKS, "layers": layers}, ConfigError)


def test_a_layer_means_the_same_in_all_datasets(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a.mp4", 5)
    other = {**MASKS, "name": "e", "layers": {"mask": {"path": "m", "millimetres_per_unit": 1}}}
    with pytest.raises(
        ConfigError,
        match=r"layers\.mask: expected classes in all datasets, as in d, got depth in e",
    ):
        main([write_corpus(tmp_path, MASKS, other), str(tmp_path / "out")])
