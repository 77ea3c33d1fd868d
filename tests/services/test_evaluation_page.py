"""The page of an evaluation in a real browser."""

import itertools
import json
import tempfile
from html import unescape
from pathlib import Path

import pytest

from surgstream.trainer.evaluation.report.page import draw_page
from tests.services.browser import chromium
from tests.trainer.evaluation.made_up import SPACE, constant, model
from tests.trainer.evaluation.test_scoring import result


@pytest.fixture(scope="module")
def page() -> str:
    videos = {"model 0": model(0.2), "model 1": model(0.5), "majority": constant(model(0.2), 1)}
    return draw_page(result(*videos.values(), compare=True), videos, SPACE)


def asked(page: str, expression: str, tmp_path: Path, width: int = 1240) -> object:
    """What an expression gives in the page once it is there."""
    script = (
        "addEventListener('load', () => {document.querySelectorAll('details').forEach(d => d.open = true);"
        f"document.title = JSON.stringify({expression})}})"
    )
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    with tempfile.TemporaryDirectory() as profile:
        flags = (f"--user-data-dir={profile}", f"--window-size={width},900", "--dump-dom")
        dom = chromium(*flags, path.as_uri())
    return json.loads(unescape(dom.split("<title>")[1].split("</title>")[0]))


@pytest.mark.parametrize("width", [1240, 700])
def test_nothing_is_wider_than_the_window(page: str, width: int, tmp_path: Path) -> None:
    widest = asked(page, "document.documentElement.scrollWidth - innerWidth", tmp_path, width)
    assert widest == 0


def test_ribbons_of_a_case_lie_below_each_other_and_are_filled(page: str, tmp_path: Path) -> None:
    boxes = asked(
        page,
        "[...document.querySelector('.ribbons').querySelectorAll('svg')].map(s => {"
        "const b = s.getBoundingClientRect();"
        "const r = [...s.querySelectorAll('rect')].map(e => e.getBoundingClientRect());"
        "return [b.left, b.right, b.top, b.height, r[0].left, r.at(-1).right]})",
        tmp_path,
    )
    assert isinstance(boxes, list) and len(boxes) == 4
    for left, right, _, height, first, last in boxes:
        assert height == pytest.approx(16, abs=1) and right - left > 700
        assert first == pytest.approx(left, abs=0.5) and last == pytest.approx(right, abs=1.5)
    assert len({round(box[0]) for box in boxes}) == 1
    assert all(one[2] + one[3] <= two[2] for one, two in itertools.pairwise(boxes))


def test_the_curve_stays_in_its_frame_and_colours_are_those_of_the_key(
    page: str, tmp_path: Path
) -> None:
    inside = asked(
        page,
        "[...document.querySelectorAll('svg.plot')].every(s => {"
        "const f = s.querySelector('.frame').getBoundingClientRect();"
        "return [...s.querySelectorAll('circle')].every(c => {const b = c.getBoundingClientRect();"
        "return b.left > f.left - 4 && b.right < f.right + 4 && b.top > f.top - 4 && b.bottom < f.bottom + 4})})",
        tmp_path,
    )
    assert inside is True
    keys, used = (
        asked(
            page,
            f"[...new Set([...document.querySelectorAll('{where}')].map(e => {of}))].sort()",
            tmp_path,
        )
        for where, of in (
            (".legend i", "getComputedStyle(e).backgroundColor"),
            (".ribbons rect", "getComputedStyle(e).fill"),
        )
    )
    assert keys == used and isinstance(keys, list) and len(keys) == 4
