"""Docstrings on the site mean what they mean in the code."""

from docs.extensions.docstrings import plain


def test_bars_are_bars_but_in_code() -> None:
    assert plain(["|z - h| and `a | b`, |."]) == ["\\|z - h\\| and `a | b`, \\|."]


def test_what_is_indented_below_a_colon_is_literal() -> None:
    lines = ["The loss:", "", "    L = |x|", "", "Whatever:", "else", ":param x: a", "", "  b"]
    assert plain(lines) == ["The loss::", *lines[1:]]
