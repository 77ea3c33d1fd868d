"""Videos of a few rows with many ties, and what they are compared in."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from surgstream.trainer.evaluation.metrics.samples import Kind, LabelSpace, ScoredVideo

CLASSES = LabelSpace(kind="class", classes=("cut", "sew", "rest"))
TOOLS = LabelSpace(kind="multilabel", classes=("hook", "clipper", "bag"))
NUMBERS = LabelSpace(kind="number")
TRIPLETS = LabelSpace(
    kind="multilabel",
    classes=(
        "grasper/grasp/liver",
        "grasper/retract/liver",
        "hook/cut/liver",
        "hook/cut/duct",
        "grasper/null_verb/null_target",
        "hook/null_verb/null_target",
    ),
    components={
        "instrument": (0, 0, 1, 1, 0, 1),
        "verb": (0, 1, 2, 2, 3, 3),
        "target": (0, 0, 0, 1, 2, 2),
    },
    null_classes=(4, 5),
)
"""Six triplets of two instruments, four verbs and three targets, null ones among them."""

COARSE = (-1.5, 0.0, 0.25, 1.0)
"""Few values, so that many are equal."""


def video(
    truth: npt.ArrayLike,
    *,
    scores: npt.ArrayLike | None = None,
    predicted: npt.ArrayLike | None = None,
    name: str = "a",
) -> ScoredVideo:
    """A video of its own group, a row a second."""
    true: npt.NDArray[Any] = np.array(truth)
    return ScoredVideo(
        video=name,
        group=name,
        seconds=np.arange(len(true), dtype=float),
        truth=true,
        predicted=None if predicted is None else np.array(predicted),
        scores=None if scores is None else np.array(scores, float),
    )


@st.composite
def some_videos(draw: st.DrawFn, kind: Kind, num_classes: int = 0) -> list[ScoredVideo]:
    """One to four videos of one to six rows."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    return [
        draw(_one_video(kind, num_classes, length, f"v{i}")) for i, length in enumerate(lengths)
    ]


@st.composite
def _one_video(
    draw: st.DrawFn, kind: Kind, num_classes: int, length: int, name: str
) -> ScoredVideo:
    coarse = st.sampled_from(COARSE)
    if kind == "number":
        truth, predicted = draw(arrays(float, (2, length), elements=coarse))
        return video(truth, predicted=predicted, name=name)

    scores = draw(arrays(float, (length, num_classes), elements=coarse))
    if kind == "multilabel":
        return video(draw(arrays(bool, scores.shape)), scores=scores, name=name)

    truth = draw(arrays(np.int64, length, elements=st.integers(0, num_classes - 1)))
    return video(truth, scores=scores, predicted=scores.argmax(1), name=name)
