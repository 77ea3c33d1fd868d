"""Whatever stands in files of predictions: an error that names the file, or finite numbers of known videos."""

import io
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.stored import Predictions, read_predictions
from surgstream.trainer.evaluation.predictions.tables import read_table
from tests.fuzz.damage import cases, damaged

SPACE = LabelSpace(kind="class", classes=("rest", "cut"))
TABLES = [
    b"video,second,label\nv,0,rest\nv,1.5,cut\n",
    b"\xef\xbb\xbfvideo;second;rest;cut\r\nv;0;.1;.9\r\nw;1e1;-1;2\r\n",
]


def archive() -> bytes:
    """Predictions of two rows, compressed as ours are."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        videos=np.array(["v"]),
        video=np.array([0, 0]),
        second=np.array([0.0, 1.0]),
        classes=np.array(SPACE.classes),
        scores=np.array([[0.1, 0.9], [0.8, 0.2]], np.float32),
        about=np.array("{}"),
    )
    return content.getvalue()


def check(found: Predictions) -> None:
    for video in found.videos.values():
        values = video.predicted if video.scores is None else video.scores
        assert values is not None and len(values) == len(video.seconds) > 0
        assert np.isfinite(values).all() and (np.diff(video.seconds) > 0).all()


@given(st.data())
@cases(300)
def test_archives(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(data.draw(damaged(archive())))
    try:
        check(read_predictions(path))
    except EvaluationError as error:
        assert "p.npz" in str(error) and len(str(error)) < 3000


@given(st.data(), st.sampled_from(TABLES))
@cases(200)
def test_tables(tmp_path: Path, data: st.DataObject, content: bytes) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(data.draw(damaged(content)))
    try:
        check(read_table(path, SPACE))
    except EvaluationError as error:
        assert "p.csv" in str(error) and len(str(error)) < 3000
