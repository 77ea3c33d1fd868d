"""The choice among heads: the best score, and what decides among equal ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.trainer.readouts.bank_config import GridConfig
from surgstream.trainer.readouts.banks.choosing import (
    Head,
    Validation,
    choose,
    heads_of,
    history_from,
    history_to,
    on_the_edge,
)

GRID = GridConfig(lrs=(1e-2, 1e-3, 1e-4), weight_decays=(0.0, 0.1, 0.4))
HEADS = heads_of(GRID)
SCORES = st.lists(
    st.tuples(*[st.none() | st.sampled_from([0.1, 0.5, float("nan")])] * len(HEADS)), max_size=4
)


def validations(rows: list[tuple[float | None, ...]]) -> list[Validation]:
    return [Validation(10 * i, float(i), row) for i, row in enumerate(rows)]


@given(SCORES, st.booleans())
def test_nothing_is_better_and_of_equals_the_lower_rate_then_the_earlier_is_taken(
    rows: list[tuple[float | None, ...]], higher: bool
) -> None:
    history = validations(rows)
    choice = choose(history, HEADS, higher_is_better=higher)
    scored = [
        (score, HEADS[head].lr, number)
        for number, row in enumerate(rows)
        for head, score in enumerate(row)
        if score is not None and score == score
    ]
    if choice is None:
        assert not scored
        return

    best = max(scored)[0] if higher else min(scored)[0]
    equal = [(lr, number) for score, lr, number in scored if score == best]
    assert choice.score == best
    assert rows[choice.validation][choice.head] == best
    assert (HEADS[choice.head].lr, choice.validation) == min(equal)


@given(SCORES)
def test_what_was_chosen_before_is_chosen_or_something_newer_is(
    rows: list[tuple[float | None, ...]],
) -> None:
    """So it is enough to keep one head's weights, and to look at the newest scores."""
    history = validations(rows)
    for end in range(1, len(history)):
        before = choose(history[:end], HEADS, higher_is_better=True)
        after = choose(history[: end + 1], HEADS, higher_is_better=True)
        assert after == before or (after and after.validation == end)


def test_a_grid_has_every_pair_once() -> None:
    assert len(HEADS) == 9
    assert HEADS[:3] == (Head(1e-2, 0.0), Head(1e-2, 0.1), Head(1e-2, 0.4))
    for lrs in ((), (0.1, 0.1)):
        with pytest.raises(ConfigError, match="each once"):
            heads_of(GridConfig(lrs=lrs))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (Head(1e-3, 0.1), None),
        (Head(1e-3, 0.0), None),  # there is no decay below 0
        (Head(1e-2, 0.1), "the highest learning rate 0.01"),
        (Head(1e-4, 0.4), "the lowest learning rate 0.0001 and the highest weight decay 0.4"),
    ],
)
def test_the_edge_of_a_grid_is_told(head: Head, words: str | None) -> None:
    told = on_the_edge(head, GRID)
    assert told is None if words is None else told and words in told
    two = GridConfig(lrs=(1e-2, 1e-4), weight_decays=(0.1,))
    assert on_the_edge(Head(1e-2, 0.1), two) is None


@given(SCORES)
def test_a_history_is_read_back(rows: list[tuple[float | None, ...]]) -> None:
    plain = [tuple(None if score != score else score for score in row) for row in rows]
    assert history_from(history_to(validations(plain))) == validations(plain)
