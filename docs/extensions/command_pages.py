"""Pages of commands, made of the parsers themselves: the directive `commands`.

With a room of `launch.commands` it has a section for each command there; without, a table of all commands.
"""

import argparse
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import ClassVar
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from surgstream.configs.columns import markdown
from surgstream.launch.__main__ import COMMANDS
from surgstream.launch.commands import ROOMS, parse

_HIDDEN_WORDS = {"bench": ("scale",)}
"""First words that change a command's arguments, where its parser does not list them."""


_BLOCKS = re.compile(
    r"(?P<paragraph>(?:^\S.*\n)+)|(?P<indented>(?:^ .*\n(?:\n(?= ))*)+)", re.MULTILINE
)
_CODE = re.compile(r"(`[^`]+`|(?<![\w-])--[a-z][a-z-]*)")


class _FoundError(Exception):
    """Ends a command at the page of its help, whose parser it holds."""


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser that explains a command.

    Args:
        words: The command's name, and the first word after it where that has arguments of its own.
    """

    def found(parser: argparse.ArgumentParser) -> None:
        raise _FoundError(parser)

    with patch.object(argparse.ArgumentParser, "print_help", found):
        try:
            parse(words[0], [*words[1:], "--help"])
        except _FoundError as ended:
            parser: argparse.ArgumentParser = ended.args[0]
            return parser
    raise AssertionError(f"{' '.join(words)}: expected help, got none")


def words_of(name: str) -> Iterator[tuple[str, ...]]:
    """The command, and each way of it that has arguments of its own."""
    yield (name,)
    for action in parser_of([name])._actions:
        if not action.option_strings and action.choices:
            yield from ((name, str(choice)) for choice in action.choices)
    yield from ((name, word) for word in _HIDDEN_WORDS.get(name, ()))


def section(words: Sequence[str]) -> nodes.section:
    """The section of a command, or of a way of it."""
    parser = parser_of(words)
    title = f"surgstream {' '.join(words)}"
    made = nodes.section(ids=[nodes.make_id(title)], names=[nodes.fully_normalize_name(title)])
    made += nodes.title(title, title)
    with patch.dict(os.environ, COLUMNS="100"):
        usage = parser.format_usage()
    made += _block(usage.removeprefix("usage: ").replace("[-h] ", "").rstrip())
    made += prose(parser.description or "")

    for group in parser._action_groups:
        actions = [each for each in group._group_actions if each.dest != "help"]
        if actions:
            made += nodes.rubric("", (group.title or "").capitalize())
            made += _definitions(parser, actions)

    made += prose(parser.epilog or "")
    return made


def prose(text: str) -> list[nodes.Node]:
    """Paragraphs, and the indented lines between them as they stand."""
    found: list[nodes.Node] = []
    for match in _BLOCKS.finditer(text.strip("\n") + "\n"):
        if match["paragraph"]:
            found.append(_paragraph(match["paragraph"].replace("\n", " ").strip()))
        else:
            found.append(_block(textwrap.dedent(match["indented"]).rstrip()))
    return found


def _definitions(
    parser: argparse.ArgumentParser, actions: Sequence[argparse.Action]
) -> nodes.definition_list:
    formatter = parser._get_formatter()
    found = nodes.definition_list(classes=["arguments"])
    for action in actions:
        called = formatter._format_action_invocation(action)
        told = formatter._expand_help(action) if action.help else ""
        found += nodes.definition_list_item(
            "",
            nodes.term("", "", nodes.literal(called, called)),
            nodes.definition("", _paragraph(told)),
        )
    return found


def _paragraph(text: str) -> nodes.paragraph:
    """A paragraph; what is between backticks is code, and so are options."""
    made = nodes.paragraph()
    for number, piece in enumerate(_CODE.split(text)):
        if number % 2:
            made += nodes.literal("", piece.strip("`"))
        elif piece:
            made += nodes.Text(piece)
    return made


def _block(text: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language="text")


class CommandsDirective(SphinxDirective):
    """See the module."""

    optional_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Make the sections of a room, or the table."""
        if not self.arguments:
            return self._table()

        made: list[nodes.Node] = []
        for name in ROOMS[self.arguments[0]]:
            first, *ways = [section(words) for words in words_of(name)]
            for way in ways:
                first += way
            made.append(first)

        for node in made:
            for each in node.findall(nodes.section):
                self.state.document.note_explicit_target(each)
        return made

    def _table(self) -> list[nodes.Node]:
        room_of = {name: room for room, names in ROOMS.items() for name in names}
        rows = [("command", "what it does")]
        for name, summary in COMMANDS.items():
            place = nodes.make_id(f"surgstream {name}")
            rows.append((f"[`surgstream {name}`]({room_of[name]}.md#{place})", summary))
        return self.parse_text_to_nodes(markdown(rows, left=2))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("commands", CommandsDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
