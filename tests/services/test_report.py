"""The report in a real browser: what it shows, and what its script saves."""

import json
import tempfile
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.format.review import Decision, load_review
from surgstream.shards.storage.stores import Stores
from tests.helpers.packing import load, write_corpus
from tests.helpers.scenes import in_disc, make_film, scene, scenes
from tests.services.browser import chromium

WIDTH, HEIGHT = 1300, 1500


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus file, the corpus `out` and its `report`."""
    folder = tmp_path_factory.mktemp("browser")
    make_film(folder / "disc.mp4", [in_disc(scene("tissue", n), (190, 85), 55) for n in range(100)])
    make_film(
        folder / "mixed.mp4",
        scenes(("text", 4), ("tissue", 12), ("out_of_body", 3), ("tissue", 10)),
    )
    path = write_corpus(folder, {"name": "d", "videos": "*.mp4"}, drop=["text"], crop_borders=True)
    assert surgstream(["pack", path, str(folder / "out"), "--report", str(folder / "report")]) == 0
    return folder


def after(corpus: Path, steps: Sequence[str], result: str) -> str:
    """What an expression gives once these steps were taken in the page."""
    return visits(corpus, [(steps, result)])[0]


def visits(corpus: Path, taken: Sequence[tuple[Sequence[str], str]]) -> list[str]:
    """What each visit of the page gives, by one browser that loads it anew for each: (steps, expression).

    One browser, since what a page stores is not yet on the disk when a browser is ended.
    """
    page = (corpus / "report" / "index.html").read_text().replace('loading="lazy"', "")
    functions = ",".join(
        f"() => {{{';'.join(steps)};return JSON.stringify({result})}}" for steps, result in taken
    )
    script = f"""addEventListener('load', () => {{
        const told = JSON.parse(sessionStorage.getItem('told') || '[]');
        const visits = [{functions}];
        told.push(visits[told.length]());
        sessionStorage.setItem('told', JSON.stringify(told));
        if (told.length < visits.length) location.reload();
        else document.title = JSON.stringify(told);
    }})"""
    steered = corpus / "report" / "steered.html"
    steered.write_text(page.replace("</body>", f"<script>{script}</script></body>"))

    # A budget of time in the page: without it, the first load is printed.
    with tempfile.TemporaryDirectory() as profile:
        flags = (f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--dump-dom")
        dom = chromium(*flags, steered.as_uri())
    told: list[str] = json.loads(unescape(dom.split("<title>")[1].split("</title>")[0]))
    return told


def choose(row: int, value: str) -> str:
    return f"document.querySelectorAll('tr[data-start]')[{row}].querySelector('input[value=\"{value}\"]').click()"


def add(video: str, start: float, stop: float) -> str:
    form = f"document.getElementById('{video}').querySelector('form')"
    return (
        f"{{const f = {form}; f.elements.start.value = {start}; f.elements.stop.value = {stop};"
        "f.querySelector('button').click()}"
    )


def test_decisions_are_saved_and_packing_keeps_to_them(corpus: Path) -> None:
    steps = [
        choose(0, "keep"),
        choose(1, "drop"),
        add("d/mixed", 8, 9.5),
        add("d/disc", 2, 1),
        choose(2, "drop"),
    ]
    saved = json.loads(after(corpus, steps, "csv()"))
    (corpus / "review.csv").write_text(saved)
    decisions = {
        ("d", "mixed"): (
            Decision(start=0, stop=4, keep=True),
            Decision(start=16, stop=19, keep=False),
            Decision(start=8, stop=9.5, keep=False),
        )
    }
    assert load_review(str(corpus / "review.csv"), Stores()) == decisions, (
        "a stretch that ends before it begins is not added"
    )
    words = [
        "pack",
        str(corpus / "corpus.yaml"),
        str(corpus / "again"),
        "--review",
        str(corpus / "review.csv"),
    ]
    assert surgstream(words) == 0
    mixed = load(corpus / "again").shards[0].videos[1]
    assert [(p.first_frame, p.num_frames) for p in mixed.parts] == [(0, 8), (10, 6), (19, 10)]


def test_of_decisions_that_overlap_the_latest_is_saved_last(corpus: Path) -> None:
    steps = [
        choose(0, "keep"),
        choose(1, "drop"),
        add("d/mixed", 2, 20),
        choose(1, "keep"),
        choose(0, "drop"),
    ]
    lines = json.loads(after(corpus, steps, "csv()")).split()
    assert lines[1:] == ["d,mixed,2,20,drop", "d,mixed,16,19,keep", "d,mixed,0,4,drop"]


def test_the_button_counts_and_saves_a_file(corpus: Path) -> None:
    # The link is clicked in name only: a download that is not over can keep the browser from ending.
    link = "{const create = document.createElement.bind(document); window.clicked = []; "
    link += "document.createElement = (tag) => {const made = create(tag); "
    link += "made.click = () => clicked.push(made.download); return made}}"
    steps = [choose(1, "keep"), link, "document.querySelector('#save').click()"]
    words = "[document.querySelector('#save').textContent, ...clicked]"
    assert after(corpus, steps, words) == '["Save review.csv (1 decision)","review.csv"]'


RESTORED = "document.querySelector('#restored').checkVisibility()"
NOTHING = ["dataset,video,start,stop,decision\n", False]


def test_decisions_outlive_the_tab(corpus: Path) -> None:
    first = [
        choose(0, "keep"),
        add("d/mixed", 2, 20),
        choose(1, "drop"),
        choose(1, ""),
        choose(1, "keep"),
    ]
    told = f"{RESTORED} && document.querySelector('#restored').innerText"
    taken = [
        (first, "csv()"),
        ([], f"[csv(), {told}]"),
        ([choose(0, "drop"), add("d/disc", 1, 2)], "csv()"),
        ([], "csv()"),
        (["localStorage.clear()"], told),
        ([], f"[csv(), {RESTORED}]"),
    ]
    saved, later, changed, again, cleared, forgotten = map(json.loads, visits(corpus, taken))

    assert saved.split()[1:] == ["d,mixed,0,4,keep", "d,mixed,2,20,drop", "d,mixed,16,19,keep"]
    assert later[0] == saved and "are restored: 3." in later[1]
    assert changed.split()[1:] == [
        "d,mixed,2,20,drop",
        "d,mixed,16,19,keep",
        "d,mixed,0,4,drop",
        "d,disc,1,2,drop",
    ]
    assert again == changed
    assert "are restored" in cleared
    assert forgotten == NOTHING


def test_nothing_is_restored_where_nothing_was_decided(corpus: Path) -> None:
    told = visits(corpus, [([], f"[csv(), {RESTORED}]")] * 2)
    assert [json.loads(one) for one in told] == [NOTHING, NOTHING]


def test_a_picture_is_enlarged_where_it_is_clicked(corpus: Path) -> None:
    sheet = "const sheet = document.getElementById('d/mixed').querySelector('.film .sheet')"
    steps = [
        sheet,
        "sheet.scrollIntoView()",
        "const box = sheet.getBoundingClientRect()",
        "const at = {clientX: box.left + 0.15 * box.width, clientY: box.top + 5, bubbles: true}",
        "sheet.dispatchEvent(new MouseEvent('click', at))",
    ]
    canvas = "document.querySelector('#enlarged canvas')"
    told = "document.querySelector('#enlarged span').textContent"
    look = f"[{canvas}.width, {canvas}.getBoundingClientRect().width > 3 * box.width / 10, {told}]"
    assert json.loads(after(corpus, steps, look)) == [320, True, "d/mixed · 00:00:02 · 2.00 s"]

    press = "document.querySelector('#enlarged').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    mark = "document.querySelector('#enlarged [data-end={}]').click()"
    drop = "document.querySelector('#enlarged [data-add]').click()"
    steps += [mark.format("start"), press, press, mark.format("stop")]
    assert json.loads(after(corpus, steps, told)) == "d/mixed · 00:00:06 · 6.00 s · from 2 to 6 s"
    assert json.loads(after(corpus, [*steps, drop], "csv()")).split()[1:] == ["d,mixed,2,6,drop"]


def test_all_pictures_load_and_nothing_is_cut_off(corpus: Path) -> None:
    loaded = "[...document.images].filter((image) => image.naturalWidth).length"
    sizes = (
        f"[document.images.length, {loaded}, document.documentElement.scrollWidth <= innerWidth]"
    )
    assert after(corpus, [], sizes) == "[5,5,true]"
    shot = corpus / "shot.png"
    chromium(
        f"--window-size={WIDTH},{HEIGHT}",
        f"--screenshot={shot}",
        (corpus / "report" / "index.html").as_uri(),
    )
    page = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    red = (
        (page[..., 0] > 1.3 * page[..., 1])
        & (page[..., 0] > 1.3 * page[..., 2])
        & (page[..., 0] > 60)
    )
    assert red.mean() > 0.02, "tissue is seen"
