"""Layers that are folders of images, beside videos and beside images: which picture is of which frame."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.checksummed import dump_checksummed, load_checksummed
from surgstream.shards.format.layers import LayerManifest
from surgstream.shards.format.names import receipt_name
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack as main
from tests.helpers.commands import verify
from tests.helpers.layers import (
    distances,
    numbered,
    pictures_in,
    write_images,
)
from tests.helpers.packing import contents, load, write_corpus
from tests.helpers.videos import make_video, picture_of
from tests.shards.layers.packed import MASKS, check_numbers

pytestmark = pytest.mark.usefixtures("here")


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


def test_images_in_a_tar_for_each_video(tmp_path: Path) -> None:
    """They may lie in no folder there. A video may have none, and a folder may be called as a tar."""
    for video in "abc":
        make_video(tmp_path / "videos" / f"{video}.mp4", 10)
    write_images(tmp_path / "masks" / "a", range(10))
    with tarfile.open(tmp_path / "masks" / "a.tar", "w") as tar:
        for image in sorted((tmp_path / "masks" / "a").iterdir()):
            tar.add(image, image.name)
    write_images(tmp_path / "masks" / "b.tar", range(10))

    dataset = {**MASKS, "layers": {"mask": "masks/{video}.tar/*.png"}}
    assert main([write_corpus(tmp_path, dataset, fps=5), str(tmp_path / "out")]) == 0
    found = pictures_in(tmp_path / "out", "mask")
    assert {key[1] for key, picture in found.items() if picture is not None} == {"a", "b"}
    assert all((found["d", "a", frame] == found["d", "b", frame]).all() for frame in (0, 1))


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
        assert shard.stills
        assert check_numbers(out, "mask") == 2
        (own,) = LayerManifest.load(open_storage(str(out)), "mask").shards
        assert own.missing == ("3",)


def test_stills_that_were_packed_before_manifests_told_are_packed_again(tmp_path: Path) -> None:
    """To the same bytes, of which the manifest then says what they are."""
    write_images(tmp_path / "images", range(3), lambda n, _: picture_of(n))
    words = [write_corpus(tmp_path, {"name": "d", "videos": "images/*.png", "stills": True})]
    words += [str(tmp_path / "out")]
    assert main(words) == 0
    (shard,) = load(tmp_path / "out").shards

    receipt = tmp_path / "out" / receipt_name(shard.name)
    tree = load_checksummed(receipt.read_bytes(), where="receipt")
    assert tree["shard"].pop("stills")
    receipt.write_bytes(dump_checksummed(tree))
    assert main(words) == 0
    assert load(tmp_path / "out").shards == (shard,)
    assert verify([str(tmp_path / "out")]) == 0


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
