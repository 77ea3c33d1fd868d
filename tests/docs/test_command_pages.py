"""The pages of commands say what `--help` says."""

import re

import pytest
from docs.extensions.command_pages import parser_of, prose, section, words_of

from surgstream.launch.__main__ import COMMANDS
from surgstream.launch.commands import ROOMS

EVERY = [words for name in COMMANDS for words in words_of(name)]
NOT_SHOWN = set(
    [
        "usage",
        "options",
        "positional",
        "arguments",
        "h",
        "help",
        "show",
        "this",
        "message",
        "and",
        "exit",
    ]
)


def words_in(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def test_every_command_is_in_one_room() -> None:
    assert sorted(name for names in ROOMS.values() for name in names) == sorted(COMMANDS)


def test_ways_of_a_command_have_sections_of_their_own() -> None:
    ways = {way for _, *rest in EVERY for way in rest}
    assert {"slurm", "torchrun", "loader", "pack", "suite", "run-dir", "scale"} <= ways


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_nothing_of_its_help_is_lost(words: tuple[str, ...]) -> None:
    help_ = parser_of(words).format_help()
    page = section(words).astext()
    assert len(words_in(help_)) > 20
    assert words_in(help_) - words_in(page) <= NOT_SHOWN


def test_what_is_indented_stays_as_it_is_written() -> None:
    text = "One line\nand `code`, --option.\n\n  a\n    b\n\n  c\n\nAnother:\n  d\n"
    assert [node.astext() for node in prose(text)] == [
        "One line and code, --option.",
        "a\n  b\n\nc",
        "Another:",
        "d",
    ]
