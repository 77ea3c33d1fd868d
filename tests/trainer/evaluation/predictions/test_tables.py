"""CSV files of predictions: what they may look like, and one sentence for each mistake."""

import io
from pathlib import Path

import numpy as np
import pytest

from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.stored import (
    PredictedVideo,
    Predictions,
    read_predictions,
    write_predictions,
)
from surgstream.trainer.evaluation.predictions.tables import read_table

PHASES = LabelSpace(kind="class", classes=("preparation", "dissection", "closure"))
TOOLS = LabelSpace(kind="multilabel", classes=("hook", "grasper"))
SCORE = LabelSpace(kind="number")


def table(tmp_path: Path, text: str, space: LabelSpace = PHASES, **options: object) -> Predictions:
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode())
    return read_table(path, space, **options)  # type: ignore[arg-type]


def test_labels_are_numbers_of_classes_in_the_order_of_time(tmp_path: Path) -> None:
    text = "\ufeffvideo,second,label\nv1,1,closure\nv1,0,dissection\nv2,0,preparation\n"
    found = table(tmp_path, text)
    assert found.classes == PHASES.classes and list(found.videos) == ["v1", "v2"]
    assert found.videos["v1"].seconds.tolist() == [0, 1]
    predicted = found.videos["v1"].predicted
    assert predicted is not None and predicted.tolist() == [1, 2]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_scores_are_in_the_order_of_the_task_whatever_that_of_the_columns(
    tmp_path: Path, separator: str
) -> None:
    text = "second,closure,video,preparation,dissection\n0,.3,v,.1,.2\n1,3e-1,v,-1,2\n"
    scores = table(tmp_path, text.replace(",", separator)).videos["v"].scores
    assert scores is not None and scores.tolist() == [[0.1, 0.2, 0.3], [-1, 2, 0.3]]


def test_frames_become_seconds_at_the_rate_that_is_told(tmp_path: Path) -> None:
    text = "video,frame,label\nv,0,closure\nv,25,closure\n"
    assert table(tmp_path, text, frames_per_second=25.0).videos["v"].seconds.tolist() == [0, 1]


def test_several_labels_are_ones_among_zeros_and_none_of_them_is_an_empty_cell(
    tmp_path: Path,
) -> None:
    text = "video,second,label\nv,0,hook;grasper\nv,1,\nv,2,grasper\n"
    scores = table(tmp_path, text, TOOLS).videos["v"].scores
    assert scores is not None and scores.tolist() == [[1, 1], [0, 0], [0, 1]]


def test_a_video_as_a_whole_has_a_row_without_a_time(tmp_path: Path) -> None:
    found = table(tmp_path, "video,label\na,3.5\nb,-1\n", SCORE, per_video=True)
    assert [video.predicted for video in found.videos.values()] == [[3.5], [-1.0]]


def test_a_video_as_a_whole_has_one_row(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="line 4: expected one row a video, got 'a' twice"):
        table(tmp_path, "video,label\na,3.5\nb,1\na,3.5\n", SCORE, per_video=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "clip,second,label\n",
            "expected a CSV file with a column `video`, got 'clip,second,label'",
        ),
        ("", "expected a CSV file with a column `video`, got ''"),
        ("video,label\nv,closure\n", "expected a column `second` or `frame`, got neither"),
        ("video,frame,label\nv,0,closure\n", "expected the rate that the column `frame` counts at"),
        (
            "video,second,label,note\nv,0,closure,x\n",
            "expected one column `label` beside, got label,",
        ),
        (
            "video,second,label\nv,0,disection\n",
            "line 2: expected a class, got 'disection'; did you mean 'dissection'?",
        ),
        (
            "video,second,preparation,disection,closure\n",
            "got the column 'disection'; did you mean 'dissection'?",
        ),
        (
            "video,second,preparation,closure\nv,0,1,2\n",
            "expected a column of scores for each of 3 classes, 'dissection' has none",
        ),
        ("video,second,label,label\n", "expected each column once, got 'label' twice"),
        ("video,second,label\nv,0\n", "line 2: expected 3 columns, got 2"),
        ("video,second,label\nv,zero,closure\n", "line 2: expected a number, got 'zero'"),
        ("video,second,label\nv,nan,closure\n", "v: expected a time in each row, got NaN"),
        (
            "video,second,label\nv,0,closure\nv,1,closure\nv,1,closure\n",
            "v: expected each second once, got 1 twice",
        ),
        (
            "video,second,preparation,dissection,closure\nv,0,1,2,3\nv,1,1,nan,3\n",
            "v: expected finite numbers, got NaN or infinity at second 1",
        ),
        ('video,second,label\nv,0,"closure\n', "unexpected end of data"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(EvaluationError) as error:
        table(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path}/p.csv: ") and message in str(error.value)


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"video,second,label\n\xff")
    with pytest.raises(EvaluationError, match="expected a CSV file in UTF-8"):
        read_table(tmp_path / "p.csv", PHASES)


def stored(*, scores: bool) -> Predictions:
    rows = np.arange(6.0).reshape(2, 3)
    videos = {
        "b": PredictedVideo(
            seconds=np.array([0.0, 1.5]),
            scores=rows if scores else None,
            predicted=None if scores else np.array([2, 0]),
        ),
        "a": PredictedVideo(
            seconds=np.array([0.0]),
            scores=rows[:1] if scores else None,
            predicted=None if scores else np.array([1]),
        ),
    }
    return Predictions(where="", classes=PHASES.classes, videos=videos, about={"weights": "w"})


@pytest.mark.parametrize("scores", [True, False])
def test_what_is_stored_is_read_back(tmp_path: Path, scores: bool) -> None:
    before = stored(scores=scores)
    write_predictions(tmp_path / "p.npz", before)
    after = read_predictions(tmp_path / "p.npz")
    assert after.classes == before.classes and after.about == {"weights": "w"}
    assert list(after.videos) == ["a", "b"] and len(after.sha256) == 64
    for name, video in before.videos.items():
        assert after.videos[name].seconds.tolist() == video.seconds.tolist()
        for field in ("scores", "predicted"):
            ours, theirs = getattr(video, field), getattr(after.videos[name], field)
            assert (ours is None and theirs is None) or ours.tolist() == theirs.tolist()


def damaged(path: Path, **changes: object) -> None:
    write_predictions(path, stored(scores=False))
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"second": None},
            "expected the arrays videos, video, second, classes, and scores or pred",
        ),
        ({"second": np.zeros(2)}, r"video: expected the shape \(2,\), got \(3,\)"),
        ({"video": np.array([0, 1, 7])}, "expected numbers of `videos`"),
        ({"video": np.array([0.0, 1.0, 1.0])}, "expected numbers of `videos`"),
        ({"predicted": np.array([0, 1, 3])}, "expected numbers of 3 classes, got others"),
        ({"videos": np.array([{}, {}], object)}, "expected an .npz file of predictions"),
        ({"videos": np.array(["a", "a"])}, "videos: expected each name once, got one twice"),
        ({"videos": np.array([["a", "b"]])}, r"videos: expected the shape \(2,\), got \(1, 2\)"),
        ({"second": np.array(["0", "1", "2"])}, "second: expected real numbers, got the type <U1"),
        ({"second": np.array(1.0)}, r"second: expected the shape \(1,\), got \(\)"),
        (
            {"predicted": np.ones(3, complex)},
            "predicted: expected real numbers, got the type compl",
        ),
        ({"about": np.array("[" * 100_000)}, "expected an .npz file of predictions"),
    ],
)
def test_a_damaged_file_is_one_sentence(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    damaged(tmp_path / "p.npz", **changes)
    with pytest.raises(EvaluationError, match=message):
        read_predictions(tmp_path / "p.npz")


def test_a_listed_video_without_rows_has_no_predictions(tmp_path: Path) -> None:
    damaged(tmp_path / "p.npz", videos=np.array(["a", "b", "c"]))
    assert list(read_predictions(tmp_path / "p.npz").videos) == ["a", "b"]


def test_what_is_no_archive_at_all_is_one_sentence(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.arange(3))
    for content in (b"", b"PK\x03\x04 half", b"video,second", array.getvalue()):
        (tmp_path / "p.npz").write_bytes(content)
        with pytest.raises(EvaluationError, match=r"expected an \.npz file of predictions"):
            read_predictions(tmp_path / "p.npz")
