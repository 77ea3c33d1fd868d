"""A still image is a film of one frame, at any rate."""

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores, open_storage
from surgstream.shards.video.folders import ImageFolder
from surgstream.shards.video.frames import JpegFrames
from surgstream.shards.video.sources import find_film
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import number_in, picture_of


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("fps", [Fraction(1, 10), Fraction(1), Fraction(25)])
def test_it_has_one_frame_at_any_rate(tmp_path: Path, suffix: str, fps: Fraction) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture_of(77)).save(path)
    film = find_film(str(path), Stores(), still=True)
    ((number, jpeg),) = JpegFrames(film, fps=fps, short_side=24, quality=90)
    assert (number, number_in(jpeg)) == (0, 77)
    assert [(k, second) for k, second, _ in film.timed(fps)] == [(0, 0)]
    assert len(list(film.samples(5))) == 1 and film.lost == []
    assert (film.header().width, film.header().height, film.header().seconds) == (64, 48, 0)


def test_glimpses_of_it(tmp_path: Path) -> None:
    Image.fromarray(picture_of(7)).save(tmp_path / "a.png")
    film = find_film(str(tmp_path / "a.png"), Stores(), still=True)
    windows = [(Fraction(0), Fraction(1)), (Fraction(1), Fraction(2))]
    first, second = film.glimpses(windows)
    assert first is not None and first[0] == 0 and second is None


def test_it_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = Image.fromarray(picture_of(7))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    film = find_film(str(tmp_path / "a.jpg"), Stores(), still=True)
    assert (film.header().width, film.header().height) == (48, 64)


@pytest.mark.parametrize("data", [b"", b"no image" * 50, None])
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "a.png").write_bytes(data)
    film = find_film(str(tmp_path / "a.png"), Stores(), still=True)
    reason = "is missing" if data is None else "cannot be read as an image"
    with pytest.raises(VideoError, match=reason):
        film.header()
    with pytest.raises(VideoError, match=reason):
        list(film.picked(Fraction(1)))


def test_it_may_lie_on_s3(tmp_path: Path) -> None:
    Image.fromarray(picture_of(9)).save(tmp_path / "a.png")
    with s3_bucket("stills") as bucket:
        open_storage(bucket).write("x/a.png", (tmp_path / "a.png").read_bytes())
        film = find_film(f"{bucket}/x/a.png", Stores(), still=True)
        ((_, jpeg),) = JpegFrames(film, fps=Fraction(1), short_side=24, quality=90)
    assert number_in(jpeg) == 9


def test_images_of_a_folder_are_chosen_by_a_glob(tmp_path: Path) -> None:
    """Where depth lies beside the frames, under the same numbers."""
    for number in range(4):
        Image.fromarray(picture_of(number)).save(tmp_path / f"{number:04d}_color.png")
        Image.fromarray(picture_of(99)).save(tmp_path / f"{number:04d}_depth.tiff")
    film = ImageFolder(str(tmp_path), Stores(), Fraction(1), "*_color.png")
    frames = dict(JpegFrames(film, fps=Fraction(1), short_side=24, quality=90))
    assert {k: number_in(jpeg) for k, jpeg in frames.items()} == {0: 0, 1: 1, 2: 2, 3: 3}
    assert film.first_number == 0
    with pytest.raises(VideoError, match="expected one image of number 0, got two"):
        ImageFolder(str(tmp_path), Stores(), Fraction(1)).header()


def test_times_of_pictures(tmp_path: Path) -> None:
    """An image stays until the next one, and its time is when it came."""
    for number in (10, 12, 14, 18):
        Image.fromarray(picture_of(number)).save(tmp_path / f"{number}.png")
    film = ImageFolder(str(tmp_path), Stores(), Fraction(4))
    assert [(k, second) for k, second, _ in film.timed(Fraction(4))] == [
        (0, 0),
        (1, 0),
        (2, Fraction(1, 2)),
        (3, Fraction(1, 2)),
        (4, 1),
        (5, 1),
        (8, 2),
        (9, 2),
    ]
