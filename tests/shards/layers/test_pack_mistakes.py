"""Layers that are missing, damaged or of another video, and mistakes of the corpus file: what is said."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import LayerError
from surgstream.shards.format.layers import LayerManifest
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
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video
from tests.shards.layers.packed import MASKS, check_numbers

pytestmark = pytest.mark.usefixtures("here")


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
