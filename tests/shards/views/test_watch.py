"""From looks at frames to stretches of a video."""

import dataclasses
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shards.corpus import Droppable
from shards.views.watch import FACE, KINDS, WRITING, Sight, Stretch, Watch
from tests.helpers.scenes import scene, written

SIGHTS = {kind: Watch().look(Image.fromarray(scene(kind, 0))) for kind in ("tissue", "black", "text", "outside")}
"""Found once: looking takes longer than the test."""


def watched(kinds: Sequence[str], *, every: int = 1, writing: str = "") -> Watch:
    watch = Watch()
    for number, kind in enumerate(kinds):
        frame = scene(kind, 3 * number)
        frame = written(writing, frame, (150, 12)) if writing else frame
        watch.note(every * number, watch.look(Image.fromarray(frame)))
    return watch


def spans(watch: Watch, stop: int) -> list[tuple[str, int, int]]:
    return [(stretch.kind, stretch.first, stretch.stop) for stretch in watch.stretches(stop)]


def test_stretches_begin_and_end_where_scenes_do() -> None:
    kinds = ["text"] * 3 + ["black"] * 2 + ["tissue"] * 20 + ["outside"] * 4 + ["tissue"] * 8 + ["test_card"] * 2
    found = [("text", 0, 3), ("black", 3, 5), ("outside", 25, 29), ("test_card", 37, 39)]
    assert spans(watched(kinds), 39) == found
    assert spans(watched(kinds, every=5), 193) == [(kind, 5 * first, min(5 * stop, 193)) for kind, first, stop in found]


def test_a_single_look_in_the_midst_is_no_stretch() -> None:
    kinds = ["tissue"] * 8 + ["outside"] + ["tissue"] * 8 + ["outside"] * 2 + ["tissue"] + ["outside"] * 3
    assert spans(watched(kinds), 23) == [("outside", 17, 23)]


def test_colours_unlike_tissue_throughout_are_not_judged() -> None:
    watch = watched(["outside"] * 12 + ["tissue"] * 5 + ["black"] * 3)
    assert not watch.judged and spans(watch, 20) == [("black", 17, 20)]
    assert watched(["tissue"] * 12 + ["outside"] * 5).judged
    assert watched(["black"] * 5).judged, "there is nothing to judge"


def test_faces_are_stretches_of_their_own() -> None:
    kinds = ["tissue"] * 9 + ["face"] * 3 + ["outside"] * 2 + ["tissue"] * 5
    assert set(spans(watched(kinds), 19)) == {("outside", 9, 14), (FACE, 9, 12)}


def test_writing_is_there_throughout() -> None:
    watch = watched(["black"] * 3 + ["tissue"] * 30, writing="DOE, JANE")
    (writing,) = (stretch for stretch in watch.stretches(33) if stretch.kind == WRITING)
    assert (writing.first, writing.stop) == (0, 33) and writing.box is not None
    assert writing.shown == 16, "a frame from the middle"
    assert spans(watched(["tissue"] * 30), 30) == []


def test_the_frame_that_shows_it_best_is_shown() -> None:
    watch = Watch()
    tissue, slide = (watch.look(Image.fromarray(scene(kind, 0))) for kind in ("tissue", "text"))
    faint = Sight({**slide.scores, "text": 0.6}, face=False, strokes=slide.strokes)
    for number, sight in enumerate([tissue, faint, slide, faint, tissue]):
        watch.note(number, sight)
    (found,) = watch.stretches(5)
    assert found == Stretch("text", 1, 4, pytest.approx((0.6 + 1 + 0.6) / 3), 2)


def test_nothing_seen_is_nothing_found() -> None:
    assert Watch().stretches(0) == [] and Watch().judged


@given(st.lists(st.sampled_from(["tissue", "black", "text", "outside"]), min_size=1, max_size=40))
def test_stretches_of_frames_are_in_order_and_apart(kinds: list[str]) -> None:
    watch = Watch()
    for number, kind in enumerate(kinds):
        watch.note(number, dataclasses.replace(SIGHTS[kind], strokes=SIGHTS[kind].strokes[:, :1, :1]))
    found = spans(watch, len(kinds))
    assert all(0 <= first < stop <= len(kinds) for _, first, stop in found)
    assert all(a[2] <= b[1] for a, b in itertools.pairwise(found))
    assert {kind for kind, _, _ in found} <= set(kinds)


def test_all_kinds_but_writing_can_be_dropped() -> None:
    assert set(Droppable.__args__) == set(KINDS) - {WRITING}
