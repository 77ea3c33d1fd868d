"""What the rules say of single frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shards.views.faces import has_face
from shards.views.glance import Kind, glance, kind_of
from shards.views.overlay import Overlay, strokes_in
from tests.helpers.scenes import in_disc, scene, written


@pytest.mark.parametrize("size", [(320, 180), (456, 256), (180, 320), (64, 48)])
@pytest.mark.parametrize("kind", ["black", "blank", "test_card", "outside"])
def test_each_kind_is_known(kind: str, size: tuple[int, int]) -> None:
    assert kind_of(glance(scene(kind, 3, size))) == kind


@pytest.mark.parametrize("size", [(320, 180), (456, 256), (256, 256)])
def test_a_slide_is_known_by_its_writing(size: tuple[int, int]) -> None:
    assert kind_of(glance(scene("text", 0, size))) is Kind.TEXT
    light = 255 - scene("text", 0, size)
    assert kind_of(glance(light)) is Kind.TEXT


def test_a_slide_may_have_any_colours() -> None:
    for paper in ((0, 0, 255), (0, 80, 40), (255, 255, 255)):
        for ink in ((255, 255, 0), (255, 0, 0), (0, 0, 0)):
            written_on = scene("text", 0).max(2, keepdims=True) > 128
            assert kind_of(glance(np.where(written_on, ink, paper).astype(np.uint8))) is Kind.TEXT


def test_writing_beside_a_small_disc_of_blood_makes_no_slide() -> None:
    tissue = (scene("tissue", 0) * np.array([1.2, 0.7, 0.8])).astype(np.uint8)
    frame = in_disc(tissue, (160, 90), 60)
    for height in (2, 160):
        frame = written("LAPAROSCOPY  12:30  ZOOM 1.2  IRIS", frame, (5, height))
    assert kind_of(glance(frame)) is None


def test_tissue_is_none_of_them() -> None:
    for number in range(40):
        tissue = scene("tissue", number)
        assert kind_of(glance(tissue)) is None
        assert kind_of(glance((tissue * 0.3).astype(np.uint8))) is None, "in the dark"
        assert kind_of(glance(in_disc(tissue, (160, 90), 80))) is None, "in a disc"
        assert kind_of(glance(written("DOE, JANE 1962", tissue, (10, 10)))) is None, "written on"
        steel = tissue.copy()
        steel[:, :140] = 150
        assert kind_of(glance(steel)) is None, "with a grey instrument over two fifths of it"


@given(st.integers(1, 90), st.integers(1, 90) | st.just(2000), st.integers(0, 2**32 - 1), st.sampled_from([1, 30, 256]))
def test_scores_are_scores(height: int, width: int, seed: int, levels: int) -> None:
    pixels = np.random.default_rng(seed).integers(levels, size=(height, width, 3)).astype(np.uint8)
    scores = glance(pixels)
    assert set(scores) == set(Kind) and all(0 <= score <= 1 for score in scores.values())


def test_faces() -> None:
    assert has_face(Image.fromarray(scene("face", 0)))
    assert not any(has_face(Image.fromarray(scene(kind, 5))) for kind in ("tissue", "outside", "text", "test_card"))


def test_writing_that_stays_is_found_where_it_is() -> None:
    overlay = Overlay()
    for number in range(20):
        frame = written(f"DOE, JANE 10:{number:02}", scene("tissue", 3 * number), (170, 20))
        overlay.add(strokes_in(Image.fromarray(frame)))
    found = overlay.find()
    assert found is not None
    (left, top, right, bottom), share = found
    assert 150 <= left <= 176 and 8 <= top <= 24 and 230 <= right <= 310 and 30 <= bottom <= 48 and share > 0.9


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
