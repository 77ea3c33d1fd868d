"""Holm's correction: cases by hand, and what must hold of any."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.evaluation.statistics.multiple import holm

SHARES = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.floats(0, 1), max_size=8)


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04], [0.02, 0.04]),
        # 0.02 times 2 is less than 0.025 times 2, which is more than 0.04 times 1
        ([0.04, 0.01, 0.03, 0.005], [0.06, 0.03, 0.06, 0.02]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
    ],
)
def test_cases_by_hand(p: list[float], corrected: list[float]) -> None:
    names = [f"dataset{i}" for i in range(len(p))]
    found = holm(dict(zip(names, p, strict=True)))
    assert list(found) == names
    assert list(found.values()) == pytest.approx(corrected)


@given(p=SHARES)
def test_the_order_stays_and_no_p_becomes_smaller_or_more_than_bonferronis(
    p: dict[str, float],
) -> None:
    found = holm(p)
    for name in p:
        assert p[name] <= found[name] <= min(1.0, len(p) * p[name])
        assert all(found[name] <= found[other] for other in p if p[name] <= p[other])


@given(p=SHARES, level=st.floats(0.001, 0.5))
def test_what_stays_significant_is_what_stepping_down_rejects(
    p: dict[str, float], level: float
) -> None:
    """From the smallest on, each is held against the level over the number of those left, up to the first above."""
    rejected: set[str] = set()
    for name in sorted(p, key=p.__getitem__):
        if p[name] * (len(p) - len(rejected)) > level:
            break
        rejected.add(name)
    assert {name for name, corrected in holm(p).items() if corrected <= level} == rejected


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.1])
def test_what_is_no_p_is_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match=r"holm: cholec80: expected p in \[0, 1\], got"):
        holm({"autolaparo": 0.5, "cholec80": value})
