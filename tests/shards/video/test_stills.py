"""Single pictures of a film, found by their time."""

import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.errors import VideoError
from surgstream.shards.storage.stores import Stores, open_storage
from surgstream.shards.video import stills as module
from surgstream.shards.video.picture import Framing, to_image, to_jpeg
from surgstream.shards.video.sources import find_film
from surgstream.shards.video.stills import Window
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video, number_in, picture_of, spoil

RATE, COUNT = 5, 250
"""Pictures a second, and in all: each carries its number."""

KINDS = (("plain.mp4", 10), ("long.mp4", 250), ("late.mkv", 40), ("tape.ts", 30), ("old.avi", 25))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glimpsed")
    for name, gop in KINDS:
        first = 500 if name.startswith("late") else 0
        pts = range(first, first + COUNT)
        make_video(folder / name, pts, time_base=Fraction(1, RATE), gop=gop)
    return folder


def seen(
    location: object, windows: list[Window], image_fps: float | None = None
) -> list[tuple[Fraction, int] | None]:
    """The second and the number of what is found in each window."""
    film, framing = (
        find_film(str(location), Stores(), image_fps=image_fps),
        Framing((64, 48), (0, 0, 64, 48), None, (64, 48)),
    )
    found = film.glimpses(windows)
    return [
        each and (each[0], number_in(to_jpeg(to_image(each[1], framing), 90))) for each in found
    ]


SECONDS = st.fractions(0, COUNT // RATE - 1, max_denominator=20)
WINDOWS = st.lists(
    st.tuples(SECONDS, st.fractions(Fraction(1, 20), 20, max_denominator=20)), max_size=8
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gop"), KINDS)
@given(windows=WINDOWS)
@settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_picture_is_the_one_of_its_time(
    films: Path, name: str, gop: int, windows: list[Window]
) -> None:
    windows = [(low, low + length) for low, length in sorted(windows)]
    for (low, high), found in zip(windows, seen(films / name, windows), strict=True):
        assert found is not None
        second, number = found
        assert low <= second < high and number == int(second * RATE)
        on_the_screen = number == int(low * RATE)
        assert on_the_screen or number % gop == 0, "a key frame in the window is as good"


def test_hardly_anything_else_is_decoded(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0

    def counted(packet: object) -> list[object]:
        nonlocal decoded
        pictures = original(packet)
        decoded += len(pictures)
        return pictures

    original = module._decoded
    monkeypatch.setattr(module, "_decoded", counted)
    windows = [(Fraction(second), Fraction(second + 10)) for second in range(0, 50, 10)]
    assert [each and each[1] for each in seen(films / "plain.mp4", windows)] == [
        40,
        90,
        140,
        190,
        240,
    ]
    assert decoded <= 8 * len(windows), "of 250"


def test_what_is_not_there_is_not_found(films: Path, tmp_path: Path) -> None:
    beyond = [(Fraction(1), Fraction(2)), (Fraction(10**4), Fraction(10**4 + 1))]
    assert seen(films / "plain.mp4", beyond)[0] is not None
    assert seen(spoil(make_video(tmp_path / "spoilt.mp4", 50)), beyond) == [None, None]
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(VideoError):
        seen(tmp_path / "no.mp4", beyond)


def test_damage_is_passed_over(films: Path, tmp_path: Path) -> None:
    data = bytearray((films / "plain.mp4").read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 200] = os.urandom(200)
    (tmp_path / "damaged.mp4").write_bytes(data)
    windows = [(Fraction(second), Fraction(second + 5)) for second in range(0, 50, 5)]
    found = seen(tmp_path / "damaged.mp4", windows)
    assert sum(each is not None and each[1] == int(each[0] * RATE) for each in found) >= 8


def test_folders_of_images(tmp_path: Path) -> None:
    for number in (0, 10, 20, 30, 70, 80):
        Image.fromarray(picture_of(number)).save(tmp_path / f"{number:03}.png")
    windows = [
        (Fraction(low), Fraction(high))
        for low, high in ((0, 1), ("0.5", 3), ("4.5", 6), ("5.5", 9), (9, 99))
    ]
    found = seen(tmp_path, windows, image_fps=10)
    assert found == [(0, 0), (Fraction("0.5"), 0), None, (7, 70), None]


def test_on_s3(films: Path) -> None:
    with s3_bucket("glimpsed") as bucket:
        open_storage(bucket).write("v.mp4", (films / "plain.mp4").read_bytes())
        found = seen(f"{bucket}/v.mp4", [(Fraction(20), Fraction(21))])
    assert found == seen(films / "plain.mp4", [(Fraction(20), Fraction(21))]) == [(20, 100)]
