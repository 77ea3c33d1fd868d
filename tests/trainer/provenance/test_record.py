"""The record of a run's setups: equal ones are one, whatever number of starts there are, and nothing is null."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.provenance import record as module
from surgstream.trainer.provenance.record import (
    MOST_SETUPS,
    empty,
    is_record,
    known,
    read_record,
    to_bytes,
    with_start,
    without_starts,
)

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def leaves(tree: Any) -> list[Any]:
    """All that is neither a list nor a dictionary."""
    if not isinstance(tree, dict | list):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree
    return [leaf for each in inner for leaf in leaves(each)]


def started(*setups: Any) -> dict[str, Any]:
    record = empty()
    for step, setup in enumerate(setups):
        record = with_start(record, {"code": setup}, {"step": step})
    return record


@given(st.lists(st.integers(0, 60), min_size=1, max_size=120))
def test_every_start_is_counted_and_the_file_is_bounded(setups: list[int]) -> None:
    record = started(*setups)
    kept = [setup["code"] for setup in record["setups"]]
    assert len(kept) == len({*kept}) <= MOST_SETUPS
    assert kept[-1] == setups[-1]
    if not record["left_out"]:
        assert {*kept} == {*setups}
        for setup in record["setups"]:
            steps = [step for step, value in enumerate(setups) if value == setup["code"]]
            first, last = setup["starts"]["first"]["step"], setup["starts"]["last"]["step"]
            assert (setup["starts"]["count"], first, last) == (len(steps), steps[0], steps[-1])


def test_a_thousand_requeues_are_one_setup_and_two_kinds_of_nodes_are_two() -> None:
    record = started(*["a"] * 1000)
    assert [setup["starts"] for setup in record["setups"]] == [
        {"count": 1000, "first": {"step": 0}, "last": {"step": 999}}
    ]
    assert len(started(*["a", "b"] * 500)["setups"]) == 2


def test_the_first_and_the_last_setups_stay() -> None:
    record = started(*range(100))
    kept = [setup["code"] for setup in record["setups"]]
    assert kept == [0, *range(100 - MOST_SETUPS + 1, 100)]
    assert record["left_out"] == 100 - MOST_SETUPS


@given(TREES)
def test_nothing_is_null(tree: Any) -> None:
    record = with_start(empty(), {"code": tree}, {"step": 0})
    assert None not in leaves(record)
    assert known(known(tree)) == known(tree)
    again = with_start(record, {"code": tree}, {"step": 1})
    assert len(again["setups"]) == 1, "what was unknown and is unknown is the same"


def test_it_is_read_back(tmp_path: Path) -> None:
    record = started("a", None, "b")
    (tmp_path / "provenance.json").write_bytes(to_bytes(record))
    assert read_record(tmp_path / "provenance.json") == record
    assert without_starts(record["setups"][1]) == {"code": "unknown"}


@given(TREES)
def test_whatever_else_is_there_is_no_record(tree: Any) -> None:
    assert not is_record(tree)
    assert not is_record({"format": module.FORMAT, "left_out": 0, "setups": [tree]})
    assert is_record({"format": module.FORMAT, "left_out": 0, "setups": []})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff", b'{"format": 2, "left_out": 0, "setups": []}']
)
def test_a_damaged_file_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    assert read_record(tmp_path / "x") is None
    assert read_record(tmp_path / "not there") is None
