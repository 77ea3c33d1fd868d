from xml.etree import ElementTree

import pytest

from surgstream.trainer.runs.plot import Line, Panel, draw

SVG = "{http://www.w3.org/2000/svg}"


def dots(svg: str) -> list[tuple[float, float]]:
    circles = ElementTree.fromstring(svg).iter(f"{SVG}circle")
    return [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in circles]


def test_points_of_a_plot_lie_in_their_panel() -> None:
    panels = [
        Panel("<a>", "ranks", [Line("x & y", [(1, 3.0), (4096, 5e6)])], (1e3, "limit")),
        Panel("b", "ranks", [Line("z", [(2, 0.01)])]),
    ]
    places = dots(draw("title", "subtitle", panels))
    assert len(places) == 3
    assert all(64 <= x <= 384 and 36 <= y <= 222 for x, y in places)
    assert places[0][0] < places[1][0] and places[0][1] > places[1][1], "SVG counts downwards"


def test_linear_axes_begin_at_0_and_have_round_ticks() -> None:
    line = Line("measured", [(0.0, 0.0), (200.0, 0.5), (400.0, 1.0)])
    svg = draw("title", "subtitle", [Panel("share", "clips/s", [line], is_logarithmic=False)])
    first, middle, last = dots(svg)
    assert first == (64, 222) and last[1] == 36
    assert middle == pytest.approx(((first[0] + last[0]) / 2, (first[1] + last[1]) / 2), abs=0.1)
    texts = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert {"0", "0.2", "0.8", "1", "100", "400"} <= {*texts}


def test_a_reference_line_has_no_dots_and_is_named_beside_the_others() -> None:
    lines = [
        Line("ideal", [(1, 1.0), (2, 2.0)], is_reference=True),
        Line("measured", [(1, 1.0), (2, 1.8)], ["1", "1.8, 90 %"]),
    ]
    svg = draw("title", "subtitle", [Panel("rate", "nodes", lines)])
    assert len(dots(svg)) == 2
    assert ">ideal<" in svg and ">measured<" in svg and ">1.8, 90 %<" in svg


@pytest.mark.parametrize("last", [7.0, 70.0, 99.0, 8000.0])
def test_linear_axes_may_end_anywhere(last: float) -> None:
    line = Line("measured", [(0.0, 0.0), (last, last)])
    svg = draw("title", "subtitle", [Panel("loss", "step", [line], is_logarithmic=False)])
    assert len(dots(svg)) == 2
