"""What a suite's table says of cells that are done, failed or missing, in Markdown, LaTeX and on the page."""

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from surgstream.trainer.evaluation.comparing import TOO_SMALL, compare_models
from surgstream.trainer.evaluation.report.result import Compared
from surgstream.trainer.evaluation.scorer import Model, Scorer
from surgstream.trainer.lineage.verdict import LEAKS, Sighting, Verdict, to_json
from surgstream.trainer.suite import scoring
from surgstream.trainer.suite.cells import Cell
from surgstream.trainer.suite.latex import draw_latex, escaped
from surgstream.trainer.suite.page import draw_page
from surgstream.trainer.suite.running import Record, write_record
from surgstream.trainer.suite.scoring import Entry, score_entries
from surgstream.trainer.suite.table import draw_table
from tests.trainer.suite.made_up import MadeUp, finish, make, suite_of

WORDS = [
    "weights=good=pixels",
    "encoder.num_frames=2",
    "weights=bad=random",
    "weights=third=pixels",
]
ERRORS = {"good": 0.0, "bad": 0.6}
PUBLISHED = {
    "model": "Theirs_1",
    "source": "A paper, table 2",
    "protocol": "frozen",
    "caveats": ["a"],
}


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return make(tmp_path)


def finish_all(cells: list[Cell], out: Path) -> None:
    for cell in cells:
        if cell.model.name in ERRORS:
            finish(cell, out, ERRORS[cell.model.name])


def scored(made: MadeUp, cells: list[Cell]) -> list[Entry]:
    return list(score_entries(cells, made.places))


def test_a_line_has_values_yardsticks_and_reasons(made: MadeUp) -> None:
    task = made.task(
        title="Grey & white: 50 % of _all_",
        published=[{**PUBLISHED, "values": {"image_accuracy": 71.25}}],
        caveats={"a": "Chosen on test."},
    )
    suite = suite_of(task, protocols=["probe_tiny"])
    cells = made.cells(suite, WORDS)
    finish_all(cells, made.places.out)
    write_record(cells[-1], made.places.out, Record(state="failed", reason="no such encoder"))
    write_record(cells[-2], made.places.out, Record(state="failed", reason="no such encoder"))

    (entry,) = scored(made, cells)
    page = draw_table(suite, [entry])
    line = next(line for line in page.splitlines() if line.startswith("| Grey"))
    cells_of_line = [text.strip() for text in line.split("|")][4:-1]
    assert cells_of_line[0].startswith("100.0") and "2 seeds" in cells_of_line[0]
    assert re.match(r"[3-5]\d\.\d \[", cells_of_line[1])
    assert cells_of_line[2] == "failed"
    assert re.match(r"\d+\.\d", cells_of_line[3]), "the constant"
    assert "71.25" in page and "Theirs_1" in page and "Chosen on test." in page
    assert "third, " in page and "2 of 2 seeds failed: no such encoder" in page

    html = draw_page(suite, [entry], made.places.out)
    _check_html(html)
    assert "failed" in html and "no such encoder" in html and "published: Theirs_1" in html

    latex = draw_latex(suite, [entry])
    assert r"Grey \& white: 50 \% of \_all\_" in latex and r"\textcolor{gray}" in latex
    assert latex.count(r"\begin") == latex.count(r"\end") == 2
    assert "$^{1}$ 2 seeds" in latex and "a: Chosen on test." in latex


def test_what_is_published_of_parts_stands_there_with_their_names(made: MadeUp) -> None:
    values = {"image_accuracy_six": 0.71, "image_accuracy_seven": 0.5}
    task = made.task(
        parts={"six": {"videos": ["v6"]}, "seven": {"videos": ["v7"]}},
        published=[{**PUBLISHED, "caveats": [], "values": values}],
    )
    suite = suite_of(task, protocols=["probe_tiny"])
    cells = made.cells(suite, WORDS)
    finish_all(cells, made.places.out)
    (entry,) = scored(made, cells)
    for drawn in (
        draw_table(suite, [entry]),
        draw_page(suite, [entry], made.places.out),
        draw_latex(suite, [entry]),
    ):
        assert "seven 0.5, six 0.71" in drawn


def test_nothing_is_bold_where_there_are_too_few_videos(made: MadeUp) -> None:
    cells = made.cells(suite_of(made.task(), protocols=["probe_tiny"]), WORDS[:3])
    finish_all(cells, made.places.out)
    (entry,) = scored(made, cells)
    assert entry.result and entry.best == ""
    assert {each.says for each in entry.result.comparisons} == {TOO_SMALL}


def test_bold_is_the_one_that_is_better_than_every_other(
    made: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    verdicts = ["worse", "worse"]
    real = compare_models

    def says(scorer: Scorer, models: Sequence[Model]) -> list[Compared]:
        seen.append([model.name for model in models])
        found = zip(real(scorer, models), verdicts, strict=True)
        return [replace(each, says=verdict) for each, verdict in found]

    monkeypatch.setattr(scoring, "compare_models", says)
    words = ["weights=bad=random", "weights=good=pixels", "weights=third=random:timm:x"]
    cells = made.cells(suite_of(made.task(), seeds=[0], protocols=["probe_tiny"]), words)
    for cell, errors in zip(cells, (0.6, 0.0, 0.3), strict=True):
        finish(cell, made.places.out, errors)

    (entry,) = scored(made, cells)
    assert entry.best == "good" and seen[-1][0] == "good"
    assert "**100.0**" in draw_table(suite_of("x"), [entry])
    assert r"\textbf{100.0}" in draw_latex(suite_of("x"), [entry])

    verdicts[1] = "no difference found"
    (entry,) = scored(made, cells)
    assert entry.best == ""


def test_seeds_that_are_not_done_are_told(made: MadeUp) -> None:
    suite = suite_of(made.task(), protocols=["probe_tiny"])
    cells = made.cells(suite, WORDS[:2])
    finish(cells[0], made.places.out, 0.0)
    page = draw_table(suite, scored(made, cells))
    assert "; not all seeds)" in page and "1 of 2 seeds not run yet" in page


def test_folds_are_scored_together(made: MadeUp) -> None:
    split = {"train": ["v[0-3]"], "val": ["v[4-5]"], "source": "Ours."}
    folds = {"one": {**split, "test": ["v6"]}, "two": {**split, "test": ["v7"]}}
    word = f"{made.task(split=None, folds=folds)}@*"
    suite = suite_of(word, seeds=[0])
    cells = made.cells(suite, WORDS[:2])
    finish(cells[0], made.places.out, 0.0)
    (entry,) = scored(made, cells)
    assert entry.result is None, "one of two folds is no result"

    finish(cells[1], made.places.out, 1.0)
    (entry,) = scored(made, cells)
    assert entry.result and entry.result.num_videos == 2
    assert entry.result.rows[0].values["image_accuracy"].value == pytest.approx(14 / 26)


def test_predictions_of_another_task_are_a_reason(made: MadeUp) -> None:
    cells = made.cells(suite_of(made.task(), seeds=[0]), WORDS[:2])
    finish(cells[0], made.places.out, 0.0)
    path = cells[0].predictions(made.places.out)[0]
    path.write_bytes(path.read_bytes()[:-40])
    (entry,) = scored(made, cells)
    assert entry.result is None and str(path) in entry.reasons[""]
    assert "failed" not in draw_table(suite_of("x"), [entry]).partition("## Notes")[0]


def test_what_an_encoder_has_seen_stands_beside_its_value(made: MadeUp) -> None:
    suite = suite_of(made.task(), protocols=["probe_tiny"], seeds=[0])
    cells = made.cells(suite, WORDS[:3])
    seen = Sighting(video="v6", way="pictures", seen="in pretraining/v_0017, from 0:00 to 0:12")
    verdicts = (
        Verdict(splits=("val", "test"), found=(seen,), by=("pictures",)),
        Verdict(splits=("val", "test"), by=("pictures",)),
    )
    for cell, verdict in zip(cells, verdicts, strict=True):
        finish(cell, made.places.out, 0.3, {LEAKS: to_json(verdict)})

    (entry,) = scored(made, cells)
    line = next(
        text for text in draw_table(suite, [entry]).splitlines() if text.startswith("| phases")
    )
    good, bad = line.split("|")[4:6]
    assert "contaminated 1 of 2; clean 1 video: " in good and "clean" in bad and "contam" not in bad
    page = draw_page(suite, [entry], made.places.out)
    _check_html(page)
    assert 'class="mark contaminated"' in page and "in pretraining/v_0017" in page
    latex = draw_latex(suite, [entry])
    assert "contaminated 1 of 2" in latex and "clean 1 video" in latex


def test_latex_sees_nothing_in_a_name() -> None:
    assert escaped("a_b & 50% {x} \\y ~ ^") == (
        r"a\_b \& 50\% \{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{}"
    )


def _check_html(page: str) -> None:
    """Tags are closed in the order in which they were opened."""
    void = {"meta", "br", "img", "link"}
    optional = {"html"}

    open_tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in void | optional:
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in void | optional:
                assert open_tags.pop() == tag

    tags = Tags()
    tags.feed(page)
    assert open_tags == []
