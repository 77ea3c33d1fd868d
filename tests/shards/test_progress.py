import io
import sys

import pytest

from surgstream.configs.printable import Printable
from surgstream.shards.progress import progress_bar


def work() -> None:
    with progress_bar("pack", 1000, unit=" frames") as bar:
        for _ in range(1000):
            bar.set_postfix_str("2 failed", refresh=False)
            bar.update()


def test_a_log_gets_the_first_line_and_the_last(capfd: pytest.CaptureFixture[str]) -> None:
    work()
    first, last = capfd.readouterr().err.splitlines()
    assert first.startswith("pack:   0% 0/1000 frames [") and last.startswith(
        "pack: 100% 1000/1000 frames ["
    )
    assert last.endswith(", 2 failed]") and "\r" not in first + last and "|" not in last


def test_between_them_a_line_comes_when_its_time_has(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surgstream.shards.progress._LINE_SECONDS", 0.0)
    assert list(progress_bar("compare", 3, unit=" bands", over="abc")) == list("abc")
    assert [line[:16] for line in capfd.readouterr().err.splitlines()] == [
        f"compare: {share} {done}"
        for share, done in (("  0%", "0/"), (" 33%", "1/"), (" 67%", "2/"), ("100%", "3/"))
    ]


def test_what_was_done_before_counts(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("train", 10, unit=" steps", done=4):
        pass
    assert capfd.readouterr().err.startswith("train:  40% 4/10 steps [")


def test_nothing_is_said_of_nothing_to_do_or_by_other_ranks(
    capfd: pytest.CaptureFixture[str],
) -> None:
    progress_bar("pack", 0, unit=" frames").close()
    progress_bar("train", 5, unit=" steps", shown=False).close()
    assert capfd.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", Printable(terminal))
    work()
    drawn = terminal.getvalue()
    assert drawn.count("\r") > 1 and "100%|" in drawn and "\\r" not in drawn
