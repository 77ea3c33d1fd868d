"""Values that no model can have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.evaluation.tasks.plausible import impossible, is_share


@given(st.integers(1, 300), st.data(), st.sampled_from((1, 2, 3)))
def test_every_share_is_one_however_it_is_rounded(
    num_rows: int, data: st.DataObject, digits: int
) -> None:
    right = data.draw(st.integers(0, num_rows))
    assert is_share(round(100 * right / num_rows, digits), num_rows) or right * 100 <= num_rows
    assert is_share(round(right / num_rows, digits + 2), num_rows)


@pytest.mark.parametrize(
    ("value", "num_rows", "expected"),
    [(98.81, 80, False), (98.75, 80, True), (75.63, 48, False), (70.83, 48, True), (0.5, 3, False)],
)
def test_published_shares(value: float, num_rows: int, expected: bool) -> None:
    assert is_share(value, num_rows) is expected


@pytest.mark.parametrize(
    ("values", "num_rows", "expected"),
    [
        ({"phase_jaccard": 47.84, "phase_f1": 35.77}, None, ["above the F1 of 35.77"]),
        ({"phase_jaccard": 35.0, "phase_f1": 35.0}, None, []),
        ({"phase_jaccard": 47.84}, None, []),
        ({"phase_jaccard": 47.84, "macro_f1": 35.77}, None, []),
        ({"accuracy": 98.81}, None, []),
        ({"accuracy": 98.81}, 80, ["98.81 is no k of 80"]),
        ({"image_accuracy": 98.75, "map": 98.81}, 80, []),
    ],
)
def test_what_cannot_be(
    values: dict[str, float], num_rows: int | None, expected: list[str]
) -> None:
    told = list(impossible(values, num_rows))
    assert len(told) == len(expected)
    for sentence, part in zip(told, expected, strict=True):
        assert part in sentence
