"""Tables and figures of documentation are what results, recipes and predictions give today."""

from pathlib import Path

import pytest

from tests import doc_tables


@pytest.mark.parametrize("path", doc_tables.PAGES, ids=lambda path: path.stem)
def test_the_tables_are_current(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == doc_tables.page(text), "run python -m tests.doc_tables"


def test_the_figure_is_current() -> None:
    text = doc_tables.FIGURE.read_text(encoding="utf-8")
    assert text == doc_tables.figure(), "run python -m tests.doc_tables"


def test_every_result_is_shown_or_named() -> None:
    page = (doc_tables.ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    shown = {mark.split()[1] for mark in doc_tables.marks(page)}
    for path in sorted(doc_tables.RESULTS.glob("*.json")):
        assert path.stem in shown or path.name in page, f"{path.name}: neither shown nor named"


def test_a_table_of_other_numbers_is_seen() -> None:
    text = (doc_tables.ROOT / "docs" / "gains.md").read_text(encoding="utf-8")
    changed = text.replace("| machine | TFLOP/s", "| machine | GFLOP/s")
    assert changed != text and doc_tables.page(changed) == text
