import pytest

from surgstream.trainer.evaluation.scores import accuracy, balanced_accuracy

TRUE = ("cut", "cut", "cut", "sew")


@pytest.mark.parametrize(
    ("predicted", "share", "balanced"),
    [
        (("cut", "cut", "cut", "sew"), 1.0, 1.0),
        (("cut", "cut", "cut", "cut"), 0.75, 0.5),
        (("sew", "sew", "rest", "sew"), 0.25, 0.5),
        (("cut", "rest", "sew", "rest"), 0.25, 1 / 6),
    ],
)
def test_labels_count_as_often_as_they_are_or_all_alike(
    predicted: tuple[str, ...], share: float, balanced: float
) -> None:
    assert accuracy(predicted, TRUE) == share
    assert balanced_accuracy(predicted, TRUE) == pytest.approx(balanced)
