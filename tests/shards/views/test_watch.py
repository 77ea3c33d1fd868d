"""From looks at frames to stretches of a video."""

import dataclasses
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shards.corpus import Droppable
from shards.views.glance import Kind
from shards.views.watch import FACE, KINDS, WRITING, Sight, Stretch, Watch
from tests.helpers.scenes import scene, written

PICTURES = {kind: Image.fromarray(scene(kind, 0)) for kind in ("tissue", "black", "text", "outside")}
SIGHTS = {kind: Watch().look(picture) for kind, picture in PICTURES.items()}
"""Found once: looking takes longer than the test."""


class Watched(Watch):
    """A watch that has looked at scenes, every so many frames, and notes which it sees once more."""

    def __init__(self, kinds: Sequence[str], *, every: int = 1, writing: str = "") -> None:
        super().__init__()
        self.seen_again: list[int] = []
        self._frames = {}
        for number, kind in enumerate(kinds):
            picture = scene(kind, 3 * number)
            picture = written(writing, picture, (150, 12)) if writing else picture
            self._frames[every * number] = Image.fromarray(picture)
            self.note(every * number, self.look(self._frames[every * number]))

    def frame(self, number: int) -> Image.Image:
        self.seen_again.append(number)
        return self._frames[number]


def spans(watch: Watched, stop: int) -> list[tuple[str, int, int]]:
    return [(stretch.kind, stretch.first, stretch.stop) for stretch in watch.stretches(stop, watch.frame)]


def test_stretches_begin_and_end_where_scenes_do() -> None:
    kinds = ["text"] * 3 + ["black"] * 2 + ["tissue"] * 20 + ["outside"] * 4 + ["tissue"] * 8 + ["test_card"] * 2
    found = [("text", 0, 3), ("black", 3, 5), ("outside", 25, 29), ("test_card", 37, 39)]
    assert spans(Watched(kinds), 39) == found
    assert spans(Watched(kinds, every=5), 193) == [(kind, 5 * first, min(5 * stop, 193)) for kind, first, stop in found]


def test_a_single_look_in_the_midst_is_no_stretch() -> None:
    kinds = ["tissue"] * 8 + ["outside"] + ["tissue"] * 8 + ["outside"] * 2 + ["tissue"] + ["outside"] * 3
    assert spans(Watched(kinds), 23) == [("outside", 17, 23)]


def test_colours_unlike_tissue_throughout_are_not_judged() -> None:
    watch = Watched(["outside"] * 12 + ["tissue"] * 5 + ["black"] * 3)
    assert not watch.judged and spans(watch, 20) == [("black", 17, 20)]
    assert Watched(["tissue"] * 12 + ["outside"] * 5).judged
    assert Watched(["black"] * 5).judged, "there is nothing to judge"


def test_faces_are_stretches_of_their_own() -> None:
    kinds = ["tissue"] * 17 + ["face"] * 3 + ["outside"] * 2 + ["tissue"] * 5
    watch = Watched(kinds)
    assert set(spans(watch, 27)) == {("outside", 17, 22), (FACE, 17, 20)}
    assert watch.seen_again == [17, 18, 19, 20, 21], "only what may be outside, a fifth of the looks"


def test_faces_are_searched_for_in_a_fifth_of_the_looks() -> None:
    watch = Watched(["tissue"] * 5 + ["face"] * 15 + ["outside"] * 15 + ["tissue"] * 5, every=2)
    assert (FACE, 10, 42) in spans(watch, 80), "the look at 34 speaks for those up to the next, at 42"
    assert watch.seen_again == list(range(10, 70, 8))


def test_writing_is_there_throughout() -> None:
    watch = Watched(["black"] * 3 + ["tissue"] * 30, writing="DOE, JANE")
    (writing,) = (stretch for stretch in watch.stretches(33, watch.frame) if stretch.kind == WRITING)
    assert (writing.first, writing.stop) == (0, 33) and writing.box is not None
    assert writing.shown == 16, "a frame from the middle"
    assert spans(Watched(["tissue"] * 30), 30) == []


def test_the_frame_that_shows_it_best_is_shown() -> None:
    watch = Watched([])
    tissue, slide = (watch.look(Image.fromarray(scene(kind, 0))) for kind in ("tissue", "text"))
    faint = Sight({**slide.scores, Kind.TEXT: 0.6}, slide.strokes)
    for number, sight in enumerate([tissue, faint, slide, faint, tissue]):
        watch.note(number, sight)
    (found,) = watch.stretches(5, watch.frame)
    assert found == Stretch("text", 1, 4, pytest.approx((0.6 + 1 + 0.6) / 3), 2)


def test_nothing_seen_is_nothing_found() -> None:
    watch = Watched([])
    assert spans(watch, 0) == [] and watch.judged


@given(st.lists(st.sampled_from(["tissue", "black", "text", "outside"]), min_size=1, max_size=40))
def test_stretches_of_frames_are_in_order_and_apart(kinds: list[str]) -> None:
    watch = Watched([])
    for number, kind in enumerate(kinds):
        watch.note(number, dataclasses.replace(SIGHTS[kind], strokes=SIGHTS[kind].strokes[:, :1, :1]))
    stretches = watch.stretches(len(kinds), lambda number: PICTURES[kinds[number]])
    found = [(stretch.kind, stretch.first, stretch.stop) for stretch in stretches]
    assert all(0 <= first < stop <= len(kinds) for _, first, stop in found)
    assert all(a[2] <= b[1] for a, b in itertools.pairwise(found))
    assert {kind for kind, _, _ in found} <= set(kinds)


def test_all_kinds_but_writing_can_be_dropped() -> None:
    assert set(Droppable.__args__) == set(KINDS) - {WRITING}
