import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.printable import CLEAR, Printable, printable
from surgstream.launch.__main__ import main


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_a_terminal_obeys_passes(text: str) -> None:
    assert all(
        letter in "\n\t" or (letter >= " " and not 0x7F <= ord(letter) <= 0x9F)
        for letter in printable(text)
    )
    printable(text).encode()


@pytest.mark.parametrize("text", ["plain\n\ttext", "Größe 術式 😀", "\\x1b"])
def test_what_is_printable_stays(text: str) -> None:
    assert printable(text) == text


def test_what_is_not_is_spelt() -> None:
    assert printable("\x1b[2J\rx\x9b\udc80\u202e") == "\\x1b[2J\\rx\\x9b\\udc80\\u202e"


def test_a_stream_clears_the_screen_only_when_told_to_alone() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    output = Printable(stream)
    output.write(CLEAR)
    output.write(f"a{CLEAR}é")
    output.flush()
    assert stream.buffer.getvalue() == b"\x1b[H\x1b[Ja\\x1b[H\\x1b[J\\xe9"  # type: ignore[attr-defined]


def test_a_command_prints_nothing_that_a_terminal_obeys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "no\x1b]0;title\x07\udc80corpus"
    assert main(["verify", name]) == 1
    assert "no\\x1b]0;title\\x07\\udc80corpus" in capsys.readouterr().err
    before = sys.stdout
    assert main(["--help"]) == 0 and sys.stdout is before
