"""Which faces are found: in what light, how large, and where there are none."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.benchmarks.experiments.faces.pictures import framed, lit, masked
from surgstream.shards.screening.faces import MODEL, detector, face_score, obstacle
from tests.helpers.scenes import FACE, SIZE, in_disc, scene, written

BOX = (30, 24, 40, 46)
"""Of the face in the portrait."""

NO_FACE = ("tissue", "out_of_body", "text", "test_card", "black", "uniform")


def portrait() -> Image.Image:
    with Image.open(FACE) as image:
        return image.convert("RGB")


def test_the_weights_are_those_of_its_authors() -> None:
    """The digest is that of the file in OpenCV's collection of models, where it comes from."""
    digest = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == digest
    assert "MIT License" in MODEL.with_name("face_detection_yunet.LICENSE").read_text()


@pytest.mark.parametrize("kelvin", [6500, 4000, 2700])
@pytest.mark.parametrize("size", [0.25, 0.5, 0.75, 1.0])
def test_a_face_is_found_in_any_light_and_size(size: float, kelvin: float) -> None:
    assert face_score(lit(framed(portrait(), BOX, size)[0], kelvin)) >= 0.8


def test_a_face_above_a_mask_is_found() -> None:
    assert face_score(framed(masked(portrait(), BOX), BOX, 0.5)[0]) >= 0.8


@pytest.mark.parametrize("kind", NO_FACE)
def test_where_there_is_no_face_none_is_seen(kind: str) -> None:
    for number in range(0, 100, 10):
        picture = scene(kind, number)
        for shown in (
            picture,
            in_disc(picture, (160, 90), 80),
            written("DOE, JANE 1962", picture, (10, 10)),
        ):
            assert face_score(Image.fromarray(shown)) == 0


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_no_size_of_a_picture_makes_a_face(width: int, height: int, seed: int) -> None:
    colour, *_ = np.random.default_rng(seed).integers(0, 256, (1, 3))
    assert face_score(Image.new("RGB", (width, height), tuple(map(int, colour)))) == 0


def test_scores_are_the_same_on_any_thread_after_any_picture() -> None:
    pictures = [
        Image.fromarray(scene("face", 0, size))
        for size in (SIZE, (456, 256), (300, 150), (200, 300))
    ]
    alone = [face_score(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(face_score, pictures * 5)) == alone * 5
    assert min(alone) >= 0.8


def test_the_manifest_is_told_what_looked_for_faces() -> None:
    assert obstacle() is None
    assert (
        set(detector()) == {"face_detector", "opencv"} and detector()["face_detector"] == MODEL.stem
    )
