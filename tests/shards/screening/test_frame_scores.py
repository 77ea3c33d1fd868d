"""What the rules say of single frames."""

import io
import subprocess
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from surgstream.shards.screening.burnt_in_text import Overlay, strokes_in
from surgstream.shards.screening.frame_scores import Kind, kind_of, score_frame
from tests.helpers.scenes import Picture, in_disc, lumen, scene, written

CARDS = (
    "smptebars",
    "smptehdbars",
    "pal75bars",
    "pal100bars",
    "testsrc",
    "testsrc2",
    "colorspectrum",
)
"""FFmpeg's test cards that consist of upright bars."""

OTHER_CARDS = ("rgbtestsrc", "yuvtestsrc", "colorchart")
"""Those that do not."""


@cache
def card(name: str) -> Picture:
    """A test card, 456x256."""
    drawn = f"{name},scale=456:256,format=rgb24"
    command = [
        get_ffmpeg_exe(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        drawn,
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-",
    ]
    return np.frombuffer(
        subprocess.run(command, check=True, capture_output=True).stdout, np.uint8
    ).reshape(256, 456, 3)


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    return np.asarray(Image.fromarray(picture).resize(size))


def through_jpeg(picture: Picture, quality: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image)


def between_bars(picture: Picture, left: int = 0, top: int = 0) -> Picture:
    """With so much black on both sides."""
    return np.pad(picture, ((top, top), (left, left), (0, 0)))


def highlights(picture: Picture, seed: int, share: float = 0.02) -> Picture:
    """With white dots, as wet tissue has."""
    dots = np.random.default_rng(seed).random(picture.shape[:2]) < share
    return np.where(dots[..., None], 250, picture).astype(np.uint8)


@pytest.mark.parametrize("size", [(320, 180), (456, 256), (180, 320), (64, 48)])
@pytest.mark.parametrize("kind", ["black", "uniform", "test_card", "out_of_body"])
def test_each_kind_is_known(kind: str, size: tuple[int, int]) -> None:
    assert kind_of(score_frame(scene(kind, 3, size))) == kind


@pytest.mark.parametrize("size", [(320, 180), (456, 256), (256, 256)])
def test_a_slide_is_known_by_its_writing(size: tuple[int, int]) -> None:
    assert kind_of(score_frame(scene("text", 0, size))) is Kind.TEXT
    light = 255 - scene("text", 0, size)
    assert kind_of(score_frame(light)) is Kind.TEXT


def test_a_slide_may_have_any_colours() -> None:
    for paper in ((0, 0, 255), (0, 80, 40), (255, 255, 255)):
        for ink in ((255, 255, 0), (255, 0, 0), (0, 0, 0)):
            written_on = scene("text", 0).max(2, keepdims=True) > 128
            assert (
                kind_of(score_frame(np.where(written_on, ink, paper).astype(np.uint8))) is Kind.TEXT
            )


def test_writing_beside_a_small_disc_of_blood_makes_no_slide() -> None:
    tissue = (scene("tissue", 0) * np.array([1.2, 0.7, 0.8])).astype(np.uint8)
    frame = in_disc(tissue, (160, 90), 60)
    for height in (2, 160):
        frame = written("LAPAROSCOPY  12:30  ZOOM 1.2  IRIS", frame, (5, height))
    assert kind_of(score_frame(frame)) is None


@pytest.mark.parametrize("name", CARDS)
def test_bars_are_a_test_card_however_they_come(name: str) -> None:
    bars = card(name)
    noise = np.random.default_rng(0).normal(0, 20, bars.shape)
    for picture in (
        bars,
        resized(bars, (320, 240)),
        resized(bars, (640, 360)),
        between_bars(bars, left=100),
        between_bars(bars, top=100),
        through_jpeg(bars, 30),
        (bars + noise).clip(0, 255).astype(np.uint8),
    ):
        assert kind_of(score_frame(picture)) is Kind.TEST_CARD


@pytest.mark.parametrize("name", OTHER_CARDS)
def test_cards_of_other_shapes_are_at_least_no_tissue(name: str) -> None:
    assert kind_of(score_frame(card(name))) in (Kind.TEST_CARD, Kind.OUT_OF_BODY)


@pytest.mark.parametrize("pillar", [0, 20, 80, 160])
def test_a_bright_picture_between_black_pillars_is_no_test_card(pillar: int) -> None:
    for number in range(10):
        for picture in (lumen(number), scene("tissue", number, (320, 240))):
            assert kind_of(score_frame(between_bars(picture, left=pillar))) is None


@pytest.mark.slow
@pytest.mark.parametrize("size", [(320, 180), (456, 256), (1280, 720)])
@pytest.mark.parametrize("brightness", [0.3, 0.4, 0.6, 1])
def test_dark_tissue_with_highlights_is_no_slide(size: tuple[int, int], brightness: float) -> None:
    width, height = size
    for number in range(5):
        dim = (scene("tissue", number, size) * brightness).astype(np.uint8)
        lit = highlights(dim, number)
        disc = in_disc(lit, (width // 2, height // 2), height * 2 // 5)
        named = written("LAPAROSCOPY  12:30", disc, (5, 2))
        for picture in (
            lit,
            disc,
            named,
            between_bars(lit, left=width // 3),
            between_bars(lit, top=height // 2),
        ):
            assert kind_of(score_frame(picture)) is not Kind.TEXT


@pytest.mark.parametrize("size", [(320, 180), (456, 256), (1280, 720)])
@pytest.mark.parametrize("ink", [80, 120, 180, 255])
def test_white_on_black_is_a_slide(size: tuple[int, int], ink: int) -> None:
    slide = Image.new("RGB", size, (4, 4, 4))
    for line in range(2, 9, 2):
        slide = Image.fromarray(
            written("Robotic prostatectomy  No. 12", slide, (size[0] // 16, line * size[1] // 12))
        )
    dimmed = (np.asarray(slide).astype(np.float32) * ink / 255).astype(np.uint8)
    for picture in (dimmed, through_jpeg(dimmed, 60), between_bars(dimmed, left=size[0] // 6)):
        assert kind_of(score_frame(picture)) is Kind.TEXT


def test_warm_walls_and_cold_light_on_blood() -> None:
    """Wood and lamps lack blue rather than green; blood lacks green, also where the camera's white balance is blue."""
    light = scene("tissue", 3).max(2, keepdims=True).astype(np.float32)
    for colour in ([1, 0.94, 0.7], [1, 0.95, 0.5], [0.95, 1, 0.8], [0.9, 0.95, 1]):
        assert kind_of(score_frame((light * np.array(colour)).astype(np.uint8))) is Kind.OUT_OF_BODY
    for colour in ([1, 0.5, 0.4], [1, 0.7, 0.9], [1, 0.75, 1.05], [1, 0.85, 0.5]):
        assert kind_of(score_frame((light * np.array(colour)).astype(np.uint8))) is None


def test_tissue_is_none_of_them() -> None:
    for number in range(40):
        tissue = scene("tissue", number)
        assert kind_of(score_frame(tissue)) is None
        assert kind_of(score_frame((tissue * 0.3).astype(np.uint8))) is None, "in the dark"
        assert kind_of(score_frame(in_disc(tissue, (160, 90), 80))) is None, "in a disc"
        assert kind_of(score_frame(written("DOE, JANE 1962", tissue, (10, 10)))) is None, (
            "written on"
        )
        steel = tissue.copy()
        steel[:, :140] = 150
        assert kind_of(score_frame(steel)) is None, "with a grey instrument over two fifths of it"


@given(
    st.integers(1, 90),
    st.integers(1, 90) | st.just(2000),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 30, 256]),
)
def test_scores_are_scores(height: int, width: int, seed: int, levels: int) -> None:
    pixels = np.random.default_rng(seed).integers(levels, size=(height, width, 3)).astype(np.uint8)
    scores = score_frame(pixels)
    assert set(scores) == set(Kind) and all(0 <= score <= 1 for score in scores.values())


def test_writing_that_stays_is_found_where_it_is() -> None:
    overlay = Overlay()
    for number in range(20):
        frame = written(f"DOE, JANE 10:{number:02}", scene("tissue", 3 * number), (170, 20))
        overlay.add(strokes_in(Image.fromarray(frame)))
    found = overlay.find()
    assert found is not None
    (left, top, right, bottom), share = found
    assert (
        150 <= left <= 176
        and 8 <= top <= 24
        and 230 <= right <= 310
        and 30 <= bottom <= 48
        and share > 0.9
    )


@pytest.mark.parametrize("disc", [True, False])
def test_what_moves_or_outlines_is_no_writing(disc: bool) -> None:
    overlay = Overlay()
    for number in range(20):
        frame = written("MOVING", scene("tissue", 3 * number), (10 * number, 5 * number))
        overlay.add(strokes_in(Image.fromarray(in_disc(frame, (160, 90), 80) if disc else frame)))
    assert overlay.find() is None


def test_a_few_looks_do_not_tell_what_stays() -> None:
    overlay = Overlay()
    for _ in range(3):
        overlay.add(strokes_in(Image.fromarray(written("DOE, JANE", scene("tissue", 0), (20, 20)))))
    assert overlay.find() is None
