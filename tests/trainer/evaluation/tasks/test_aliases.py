"""The same videos under other names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.evaluation.tasks.aliases import Alias


def test_both_ways() -> None:
    alias = Alias.parse("VID{n} = video{n}")
    assert alias.from_there("VID06") == "video06"
    assert alias.from_here("video111") == "VID111"
    for stranger in ("06", "vid06", "VID", "xVID06"):
        assert alias.from_there(stranger) is None


def test_names_may_be_the_same() -> None:
    alias = Alias.parse("{n} = {n}")
    assert alias.from_here("BBP01") == alias.from_there("BBP01") == "BBP01"


@given(st.from_regex("[A-Za-z0-9_]{1,8}", fullmatch=True))
def test_there_and_back(name: str) -> None:
    alias = Alias.parse("a.{n}+c = ({n}")
    here = f"({name}"
    there = alias.from_here(here)
    assert there == f"a.{name}+c"
    assert alias.from_there(there) == here


@pytest.mark.parametrize("text", ["", "VID{n}", "VID{n} = video", "{n}{n} = {n}", "VID{m} = {n}"])
def test_malformed_aliases_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected two ids such as"):
        Alias.parse(text)
