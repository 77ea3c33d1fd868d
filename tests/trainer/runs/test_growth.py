"""Plots of a metric against what was spent on it."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.runs.axes import SMALLEST, shortly, upwards
from surgstream.trainer.runs.growth import GrowthPoint, draw_growth
from surgstream.trainer.runs.ticks import linear_ticks
from tests.trainer.runs.test_plot import SVG, dots

FRAMES = (86_344, 209_061, 441_608, 1_203_159, 3_552_777)


def points(series: str = "probe", first: float = 60.0) -> list[GrowthPoint]:
    """A point a setting, each with an interval of 2 to either side."""
    return [
        GrowthPoint(series=series, x=x, value=first + i, low=first + i - 2, high=first + i + 2)
        for i, x in enumerate(FRAMES)
    ]


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def bars(svg: str) -> list[tuple[float, float, float]]:
    """x, and the places of the low and the high end, of each interval."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        if "interval" in path.attrib.get("class", ""):
            numbers = re.fullmatch(r"M([\d.]+) ([\d.]+)V([\d.]+)", path.attrib["d"])
            assert numbers
            found.append(tuple(map(float, numbers.groups())))
    return found  # type: ignore[return-value]


def test_points_lie_at_the_logarithm_of_what_was_spent_with_their_intervals() -> None:
    svg = draw_growth("A to E", "jaccard, %", {"frames": points()})
    places = dots(svg)
    assert len(places) == 5
    steps = [
        (places[i + 1][0] - places[i][0]) / math.log(FRAMES[i + 1] / FRAMES[i]) for i in range(4)
    ]
    assert steps == pytest.approx([steps[0]] * 4, rel=0.01)

    heights = [places[i][1] - places[i + 1][1] for i in range(4)]
    assert heights == pytest.approx([heights[0]] * 4, abs=0.2), "y is linear"
    for (x, y), (bar, low, high) in zip(places, bars(svg), strict=True):
        assert bar == x
        assert low - y == pytest.approx(y - high, abs=0.2)
        assert low - y == pytest.approx(2 * heights[0], abs=0.4), (
            "places have a digit behind the point"
        )
        assert 36 <= high < low <= 222, "SVG counts downwards"


def test_a_panel_for_each_quantity_and_a_line_for_each_series() -> None:
    both = [*points("probe"), *points("fine-tuned", 70.0)]
    svg = draw_growth("t", "m", {"frames": both, "steps": points(), "FLOPs": []})
    assert len(dots(svg)) == 15
    assert {"frames", "steps", "probe", "fine-tuned"} <= set(texts(svg))
    assert "FLOPs" not in texts(svg)
    assert {"100k", "1M"} <= set(texts(svg))


def test_points_are_joined_by_what_was_spent_in_whatever_order_they_come() -> None:
    assert draw_growth("t", "m", {"x": points()[::-1]}) == draw_growth("t", "m", {"x": points()})


def test_what_has_no_interval_has_no_bar_and_what_is_undefined_no_point() -> None:
    found = [
        GrowthPoint(series="a", x=1, value=1.0),
        GrowthPoint(series="a", x=2, value=math.nan),
        GrowthPoint(series="a", x=4, value=2.0, low=1.5, high=2.5),
    ]
    svg = draw_growth("t", "m", {"steps": found})
    assert (len(dots(svg)), len(bars(svg))) == (2, 1)
    assert "nan" not in svg


def test_a_reference_goes_from_end_to_end() -> None:
    svg = draw_growth(
        "t", "m", {"x": points()}, references={"random weights": 41.5, "none": math.nan}
    )
    (line,) = re.findall(r'<path class="reference" d="(M[^"]*)"/>', svg.replace("h22", ""))[1:]
    ends = [tuple(map(float, end.split())) for end in line[1:].split("L")]
    assert (ends[0][0], ends[1][0]) == (dots(svg)[0][0], dots(svg)[-1][0])
    assert ends[0][1] == ends[1][1] > dots(svg)[0][1]
    assert "random weights" in texts(svg) and "none" not in texts(svg)


@pytest.mark.parametrize("x", [0.0, -1.0, math.inf, math.nan])
def test_what_was_spent_is_above_0(x: float) -> None:
    with pytest.raises(ValueError, match="steps: expected a finite x above 0, got"):
        draw_growth("t", "m", {"steps": [GrowthPoint(series="a", x=x, value=1.0)]})


def test_nothing_is_no_plot() -> None:
    nothing = [GrowthPoint(series="a", x=1, value=math.nan)]
    with pytest.raises(ValueError, match="t: expected at least one point with a value, got none"):
        draw_growth("t", "m", {"steps": nothing})


_VALUES = st.floats(-1e6, 1e6)


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e22), _VALUES, st.floats(0, 1e3)), min_size=1, max_size=6)
)
def test_whatever_is_measured_lies_in_its_panel(found: list[tuple[float, float, float]]) -> None:
    made = [
        GrowthPoint(series="a", x=x, value=y, low=y - width, high=y + width)
        for x, y, width in found
    ]
    svg = draw_growth("<t>", "m & m", {"x": made})
    places = dots(svg)
    assert len(places) == len(found)
    assert all(64 <= x <= 384 and 36 <= y <= 222 for x, y in places)
    assert all(36 <= high <= low <= 222 for _, low, high in bars(svg))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_between_the_ends(least: float, height: float) -> None:
    ticks = linear_ticks(least, least + height)
    tolerance = 1e-6 * max(abs(least), height)
    assert 1 <= len(ticks) <= 9
    assert all(least - tolerance <= tick <= least + height + tolerance for tick in ticks)


def test_numbers_along_the_axis_are_short() -> None:
    shown = {0.05: "0.05", 1: "1", 500: "500", 2e3: "2k", 5e5: "500k", 1e6: "1M", 2e9: "2G",
             1e13: "10T", 1e15: "1e15", 5e20: "5e20"}  # fmt: skip
    assert {tick: shortly(tick) for tick in shown} == shown


def test_an_axis_of_one_height_has_one_above_and_below() -> None:
    for y in (0.0, 50.0, -3.0, SMALLEST):
        axis = upwards([y], "logarithmic across", 222, 36)
        assert axis.low < y < axis.high
