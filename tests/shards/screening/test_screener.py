"""From looks at frames to stretches of a video."""

import dataclasses
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.benchmarks.experiments.faces.pictures import framed, lit
from surgstream.shards.corpus.file import Droppable
from surgstream.shards.screening import screener as watch_module
from surgstream.shards.screening.frame_scores import Kind
from surgstream.shards.screening.screener import (
    FACE,
    FACES_EVERY,
    FACES_SUSPECTS,
    KINDS,
    WRITING,
    FrameEvidence,
    FrameScreener,
    Interval,
    ScoredFrame,
    obstacles,
)
from tests.helpers.scenes import FACE as PORTRAIT
from tests.helpers.scenes import scene, written

PICTURES = {
    kind: Image.fromarray(scene(kind, 0)) for kind in ("tissue", "black", "text", "out_of_body")
}
SIGHTS = {kind: FrameScreener().score(picture) for kind, picture in PICTURES.items()}
"""Found once: looking takes longer than the test."""


PORTRAIT_BOX = (30, 24, 40, 46)


class Watched(FrameScreener):
    """A watch that has looked at scenes, every so many frames, and notes which it sees once more."""

    def __init__(self, kinds: Sequence[str], *, every: int = 1, writing: str = "") -> None:
        super().__init__()
        self.seen_again: list[int] = []
        self._frames = {}
        for number, kind in enumerate(kinds):
            picture = scene(kind, 3 * number)
            picture = written(writing, picture, (150, 12)) if writing else picture
            self._frames[every * number] = Image.fromarray(picture)
            self.add(every * number, self.score(self._frames[every * number]))

    def show(self, image: Image.Image, looks: range) -> None:
        """Have looks, which are one a frame, see this instead."""
        for at in looks:
            self._frames[at] = image
            self._looks[at] = ScoredFrame(at, self.score(image).scores)

    def frame(self, number: int) -> Image.Image:
        self.seen_again.append(number)
        return self._frames[number]


def spans(watch: Watched, stop: int) -> list[tuple[str, int, int]]:
    return [
        (stretch.kind, stretch.first, stretch.stop)
        for stretch in watch.intervals(stop, watch.frame)
    ]


def test_stretches_begin_and_end_where_scenes_do() -> None:
    kinds = (
        ["text"] * 3
        + ["black"] * 2
        + ["tissue"] * 20
        + ["out_of_body"] * 4
        + ["tissue"] * 8
        + ["test_card"] * 2
    )
    found = [("text", 0, 3), ("black", 3, 5), ("out_of_body", 25, 29), ("test_card", 37, 39)]
    assert spans(Watched(kinds), 39) == found
    assert spans(Watched(kinds, every=5), 193) == [
        (kind, 5 * first, min(5 * stop, 193)) for kind, first, stop in found
    ]


def test_a_single_look_in_the_midst_is_no_stretch() -> None:
    kinds = (
        ["tissue"] * 8
        + ["out_of_body"]
        + ["tissue"] * 8
        + ["out_of_body"] * 2
        + ["tissue"]
        + ["out_of_body"] * 3
    )
    assert spans(Watched(kinds), 23) == [("out_of_body", 17, 23)]


def test_colours_unlike_tissue_throughout_are_not_judged() -> None:
    watch = Watched(["out_of_body"] * 12 + ["tissue"] * 5 + ["black"] * 3)
    assert not watch.has_tissue_colours and spans(watch, 20) == [("black", 17, 20)]
    assert Watched(["tissue"] * 12 + ["out_of_body"] * 5).has_tissue_colours
    assert Watched(["black"] * 5).has_tissue_colours, "there is nothing to judge"


def test_faces_are_stretches_of_their_own() -> None:
    kinds = ["tissue"] * 17 + ["face"] * 3 + ["out_of_body"] * 2 + ["tissue"] * 5
    watch = Watched(kinds)
    assert set(spans(watch, 27)) == {("out_of_body", 17, 22), (FACE, 17, 20)}
    assert watch.seen_again == [*range(0, 17, 2), 17, 18, 19, 20, 21, 22, 24, 26], (
        "every second, and what may be outside"
    )


@pytest.mark.parametrize(("kelvin", "size"), [(3400, 0.75), (2700, 0.75), (2700, 1.0)])
def test_faces_that_look_like_tissue_are_found_as_well(kelvin: float, size: float) -> None:
    """Warm light, or a face that fills the picture, has the colours of tissue: nothing is suspect."""
    with Image.open(PORTRAIT) as portrait:
        face = lit(framed(portrait.convert("RGB"), PORTRAIT_BOX, size)[0], kelvin)
    watch = Watched(["tissue"] * 30)
    watch.show(face, range(11, 15))
    assert spans(watch, 30) == [(FACE, 11, 16)]


def test_a_face_speaks_for_the_frames_up_to_the_next_ones_that_are_searched() -> None:
    watch = Watched(["tissue"] * 5 + ["face"] * 15 + ["out_of_body"] * 15 + ["tissue"] * 5, every=2)
    (face,) = [stretch for stretch in watch.intervals(80, watch.frame) if stretch.kind == FACE]
    assert (face.first, face.stop) == (9, 40), (
        "from after the look at 8 to the one at 40, both searched in vain"
    )
    assert face.shown in range(10, 40) and 0.8 <= face.score <= 1
    assert set(range(0, 80, 4)) <= set(watch.seen_again), "all through the video"
    assert len(watch.seen_again) <= 40 * (1 / FACES_EVERY + FACES_SUSPECTS)
    assert (FACE, 0, 40) in spans(Watched(["face"] * 3 + ["tissue"] * 9, every=10), 120)
    assert (FACE, 81, 120) in spans(Watched(["tissue"] * 9 + ["face"] * 3, every=10), 120)


def test_without_a_detector_nothing_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(watch_module._OBSTACLES, FACE, lambda: "no detector")
    watch = Watched(["tissue"] * 17 + ["face"] * 3 + ["tissue"] * 5)
    assert obstacles(KINDS) == {FACE: "no detector"} and obstacles(["black", "text"]) == {}
    assert spans(watch, 25) == [("out_of_body", 17, 20)] and watch.seen_again == []


def test_writing_is_there_throughout() -> None:
    watch = Watched(["black"] * 3 + ["tissue"] * 30, writing="DOE, JANE")
    (writing,) = (
        stretch for stretch in watch.intervals(33, watch.frame) if stretch.kind == WRITING
    )
    assert (writing.first, writing.stop) == (0, 33) and writing.box is not None
    assert writing.shown == 16, "a frame from the middle"
    assert spans(Watched(["tissue"] * 30), 30) == []


def test_the_frame_that_shows_it_best_is_shown() -> None:
    watch = Watched([])
    tissue, slide = (watch.score(Image.fromarray(scene(kind, 0))) for kind in ("tissue", "text"))
    faint = FrameEvidence({**slide.scores, Kind.TEXT: 0.6}, slide.strokes)
    for number, sight in enumerate([tissue, faint, slide, faint, tissue]):
        watch.add(number, sight)
    (found,) = watch.intervals(5, lambda number: PICTURES["tissue"])
    assert found == Interval("text", 1, 4, pytest.approx((0.6 + 1 + 0.6) / 3), 2)


def test_nothing_seen_is_nothing_found() -> None:
    watch = Watched([])
    assert spans(watch, 0) == [] and watch.has_tissue_colours


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["tissue", "black", "text", "out_of_body"]), min_size=1, max_size=40)
)
@settings(deadline=None)
def test_stretches_of_frames_are_in_order_and_apart(kinds: list[str]) -> None:
    watch = Watched([])
    for number, kind in enumerate(kinds):
        watch.add(
            number, dataclasses.replace(SIGHTS[kind], strokes=SIGHTS[kind].strokes[:, :1, :1])
        )
    stretches = watch.intervals(len(kinds), lambda number: PICTURES[kinds[number]])
    found = [(stretch.kind, stretch.first, stretch.stop) for stretch in stretches]
    assert all(0 <= first < stop <= len(kinds) for _, first, stop in found)
    assert all(a[2] <= b[1] for a, b in itertools.pairwise(found))
    assert {kind for kind, _, _ in found} <= set(kinds)


def test_all_kinds_but_writing_can_be_dropped() -> None:
    assert set(Droppable.__args__) == set(KINDS) - {WRITING}
