"""The parts that the parsers of commands share."""

import argparse
import re
import textwrap
from pathlib import Path

from surgstream.configs.places import to_folder
from surgstream.configs.presets import Kind, Preset


class Page(argparse.HelpFormatter):
    """Wraps paragraphs to the terminal's width; indented lines, such as examples, stay as they are written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        pieces = re.split(r"(?m)^((?: .*)?\n)", text)
        # Paragraphs and indented lines take turns
        pieces[::2] = [_wrapped(paragraph, width) for paragraph in pieces[::2]]
        return "".join(pieces)


def _wrapped(paragraph: str, width: int) -> str:
    """Join and wrap the lines of a paragraph, which may be empty or ends in a line break."""
    if not paragraph:
        return ""
    return f"{textwrap.fill(paragraph, width, break_on_hyphens=False, break_long_words=False)}\n"


def command(name: str, work: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """Make the parser of a command.

    Args:
        name: The command's name, after `surgstream`.
        work: The module that does the work.
        description: The text above the arguments.
        epilog: The text below them.
    """
    parser = argparse.ArgumentParser(
        prog=f"surgstream {name}",
        description=description,
        epilog=epilog,
        formatter_class=Page,
    )
    parser.set_defaults(work=work)
    return parser


def add_recipe(parser: argparse.ArgumentParser, *kinds: Kind) -> None:
    """Let a command take a recipe, and values that replace the recipe's.

    Args:
        parser: The command's parser.
        kinds: The folders of `configs` whose files it may be named after; by default all that hold recipes.
    """
    kinds = kinds or ("pretrain", "evaluate/protocols")
    folders = " or ".join(f"configs/{kind}" for kind in kinds)
    parser.add_argument(
        "config",
        type=Preset(*kinds),
        help=f"the recipe: a YAML file, or the name of one in {folders}",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="values that replace the recipe's"
    )


def named_file(word: str) -> tuple[str, Path]:
    """The `type` of an argument `[NAME=]FILE`: a model's name, empty where none is given, and a file of it."""
    name, equals, file = word.partition("=")
    if equals and "/" not in name:
        if not name or not file:
            raise argparse.ArgumentTypeError(f"expected NAME=FILE, got {word[:80]!r}")
        return name, Path(to_folder(file))
    return "", Path(to_folder(word))
