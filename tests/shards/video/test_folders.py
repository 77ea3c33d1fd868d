"""Folders of numbered images are films as well."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores, open_storage
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import find_film
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import number_in, picture_of


def write_images(folder: Path, names: dict[str, int]) -> Path:
    """Images by their names, each showing its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in names.items():
        Image.fromarray(picture_of(number)).save(folder / name)
    return folder


def shown(
    location: object, image_fps: float, fps: object = 1
) -> tuple[dict[int, int], list[tuple[float, float | None]]]:
    """The numbers of the frames, and what is lost."""
    film = find_film(str(location), Stores(), image_fps=image_fps)
    frames = JpegFrames(film, fps=Fraction(str(fps)), short_side=48, quality=90)
    numbers = {k: number_in(jpeg) for k, jpeg in frames}
    return numbers, [(span.start, span.stop) for span in film.lost]


def names(numbers: Iterable[int], form: str = "{:05d}.png") -> dict[str, int]:
    return {form.format(number): number for number in numbers}


def test_one_image_a_second(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "video07", names(range(1, 8)))
    assert shown(folder, 1) == ({k: k + 1 for k in range(7)}, [])
    header = find_film(str(folder), Stores(), image_fps=1).header()
    assert (header.kind, header.codec, header.seconds, header.rate) == ("images", "png", 7, 1)
    assert (header.width, header.height) == (64, 48)


def test_images_that_kept_the_numbers_of_the_videos_pictures(tmp_path: Path) -> None:
    """Cholec80's frames as most unpack them: every twenty-fifth of 25 a second."""
    folder = write_images(tmp_path, names(range(0, 200, 25), "video01_{:06d}.jpg"))
    assert shown(folder, 25) == ({k: 25 * k for k in range(8)}, [])


def test_numbers_need_no_zeros_before_them_and_other_files_do_not_count(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "v", names(range(8, 13), "frame{}.png"))
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "notes_1.txt").write_text("x")
    write_images(folder / "more", names([99]))
    assert shown(folder, 1)[0] == {k: k + 8 for k in range(5)}


def test_another_rate(tmp_path: Path) -> None:
    folder = write_images(tmp_path, names(range(10)))
    assert shown(folder, 5)[0] == {0: 0, 1: 5}
    assert shown(folder, 1, fps=2)[0] == {k: k // 2 for k in range(20)}


def test_missing_and_unreadable_images_are_lost(tmp_path: Path) -> None:
    folder = write_images(tmp_path, names([*range(4), *range(6, 12)]))
    (folder / "00002.png").write_bytes(b"\x89PNG but no more")
    (folder / "00008.png").write_bytes((folder / "00008.png").read_bytes()[:60])
    (folder / "00010.png").write_bytes(b"")
    numbers, lost = shown(folder, 1)
    assert numbers == {k: k for k in (0, 1, 3, 6, 7, 9, 11)}
    assert lost == [(2, 3), (4, 6), (8, 9), (10, 11)]


def test_an_image_is_turned_as_its_camera_was(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture_of(5)).save(tmp_path / "1.jpg", exif=exif)
    frames = JpegFrames(
        find_film(str(tmp_path), Stores(), image_fps=1), fps=Fraction(1), short_side=48, quality=90
    )
    assert len(dict(frames)) == 1 and (frames.width, frames.height) == (48, 64)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_any_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(picture_of(37)).convert(mode).save(tmp_path / "000.tif")
    assert shown(tmp_path, 1)[0] == {0: 37}


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="has no numbered images"):
        shown(tmp_path, 1)
    write_images(tmp_path, {"a.png": 1})
    with pytest.raises(VideoError, match="has no numbered images"):
        shown(tmp_path, 1)
    write_images(tmp_path, {"7.png": 7, "07.jpg": 7})
    with pytest.raises(
        VideoError, match=r"expected one image of number 7, got .*07\.jpg and .*7\.png"
    ):
        shown(tmp_path, 1)
    (tmp_path / "7.png").write_bytes(b"")
    os.unlink(tmp_path / "07.jpg")
    with pytest.raises(VideoError, match="not one image in it can be read"):
        shown(tmp_path, 1)


@pytest.mark.slow
def test_a_folder_on_s3_gives_the_same_frames(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "v", names(range(4)))
    with s3_bucket("images") as bucket:
        for path in folder.iterdir():
            open_storage(bucket).write(f"sets/v/{path.name}", path.read_bytes())
        open_storage(bucket).write("sets/v2/00000.png", (folder / "00000.png").read_bytes())
        assert shown(f"{bucket}/sets/v", 1) == shown(folder, 1)
