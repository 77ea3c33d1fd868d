"""What is seen of the pictures of a clip that is judged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.data.augment import view_windows
from surgstream.trainer.data.config import View
from surgstream.trainer.labelled.config import VIEWS

SIDES = st.integers(1, 2000)


@pytest.mark.parametrize(
    ("view", "wide", "tall"),
    [
        ("squash", (0, 0, 100, 60), (0, 0, 60, 101)),
        ("start", (0, 0, 60, 60), (0, 0, 60, 60)),
        ("centre", (20, 0, 80, 60), (0, 20, 60, 80)),
        ("end", (40, 0, 100, 60), (0, 41, 60, 101)),
    ],
)
def test_windows_of_a_wide_and_of_a_tall_picture(
    view: View, wide: tuple[int, ...], tall: tuple[int, ...]
) -> None:
    windows = view_windows(view, np.array([[100, 60], [60, 101]]))
    assert windows.tolist() == [list(wide), list(tall)]
    assert windows.dtype == np.int32


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=5))
def test_three_crops_are_squares_that_lie_evenly_over_the_longer_side(
    sizes: list[tuple[int, int]],
) -> None:
    start, centre, end = (view_windows(view, np.array(sizes)) for view in VIEWS["three_crops"])  # type: ignore[arg-type]
    for (width, height), *windows in zip(sizes, start, centre, end, strict=True):
        side = min(width, height)
        for left, top, right, bottom in windows:
            assert (right - left, bottom - top) == (side, side)
        (first, middle, last) = (window[0] + window[1] for window in windows)
        assert (first, last) == (0, max(width, height) - side)
        assert 0 <= last - middle - (middle - first) <= 1


@given(SIDES, SIDES)
def test_of_a_square_all_views_are_the_same(side: int, other: int) -> None:
    square = np.array([[side, side]])
    views = {tuple(view_windows(view, square)[0]) for views in VIEWS.values() for view in views}  # type: ignore[arg-type]
    assert views == {(0, 0, side, side)}
    squash = view_windows("squash", np.array([[side, other]]))
    assert squash.tolist() == [[0, 0, side, other]]
