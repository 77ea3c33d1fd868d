import json
import time
from pathlib import Path

import pytest

from surgstream.benchmarks.support.harness import (
    Case,
    Fact,
    Findings,
    ImplausibleError,
    facts_table,
    measure,
    save,
    table,
)


def work() -> float:
    time.sleep(0.001)
    return 1.0


def test_what_cannot_be_measured_is_named_with_the_reason() -> None:
    rows = measure(
        [Case("peer", "clips", None, missing="not installed"), Case("ours", "clips", work)],
        repeats=2,
    )
    assert rows[0].rates == (0.0, 0.0) and rows[1].ratio == 1.0, (
        "the first that was measured is the base"
    )
    assert "| peer | not measured: not installed |" in table(rows)


def test_a_rate_beyond_the_floor_is_an_error() -> None:
    cases = [Case("step", "clips", work, most=10.0)]
    with pytest.raises(
        ImplausibleError,
        match=r"step: expected at most 10.0 clips/s, .* it does not do what it says",
    ):
        measure(cases, repeats=3)


def test_every_repeat_is_kept_and_the_interval_holds_the_median() -> None:
    (row,) = measure([Case("ours", "clips", work)], repeats=5)
    assert len(row.rates) == 5
    assert min(row.rates) <= row.low <= row.rate <= row.high <= max(row.rates) < 1000


def test_preparing_comes_before_each_time_and_takes_none() -> None:
    done: list[str] = []

    def run() -> float:
        done.append("run")
        return work()

    def prepare() -> None:
        done.append("prepare")
        time.sleep(0.1)

    (row,) = measure([Case("ours", "clips", run, prepare=prepare)], repeats=2)
    assert done == ["prepare", "run"] * 3 and row.rate > 20


def test_findings_stand_beside_the_rows(tmp_path: Path) -> None:
    findings = Findings(
        [Fact.of("wait", "ms", 1.0, 4.0, 2.0), Fact.of("peak", "MB", 1234.5)], plot="<svg/>"
    )
    assert "| wait | 2 ms | 1 to 4 |\n| peak | 1,234 MB |  |" in facts_table(findings.facts)
    save(tmp_path / "theme.json", [], findings)
    saved = json.loads((tmp_path / "theme.json").read_text())
    assert saved["facts"][0] == {
        "name": "wait",
        "unit": "ms",
        "value": 2.0,
        "values": [1.0, 4.0, 2.0],
    }
    assert (tmp_path / "theme.svg").read_text() == "<svg/>"


def test_mfu_is_the_share_of_the_peak_rate_and_has_a_column_where_there_is_one() -> None:
    rows = measure(
        [Case("step", "clips", work, peak_rate=8000.0), Case("peer", "clips", None, missing="no")],
        repeats=2,
    )
    assert rows[0].mfu == rows[0].rate / 8000 and rows[1].mfu is None
    heading, _, step, peer = table(rows).splitlines()
    assert heading.endswith(" MFU |") and step.endswith(f" {rows[0].mfu:.1%} |")
    assert heading.count("|") == step.count("|") == peer.count("|")
    assert "MFU" not in table(rows[1:]) and "peak MB" not in heading


def test_ratios_are_of_one_unit() -> None:
    rows = measure([Case("open", "shards", work), Case("find", "clips", work)], repeats=2)
    first, second = (line.split(" | ") for line in table(rows).splitlines()[2:])
    assert (first[-1], second[-1]) == ("1.00 |", " |")
