"""Labels from files beside the shards."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from surgstream.shards.errors import LabelError
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.shards.labels.files import LabelFiles
from surgstream.shards.labels.values import LabelValues
from surgstream.shards.storage.stores import Stores, open_storage
from tests.helpers.s3 import s3_bucket

PHASES = LabelValues(kind="class", classes=("rest", "cut"))
SCORES = LabelValues(kind="number")
BY_FRAME = "d/phase/{video}.csv"
BY_VIDEO = "d/score.csv"


def files(
    root: Path | str, values: LabelValues = PHASES, name: str = BY_FRAME, at: str = "until_next"
) -> LabelFiles:
    column = name.split("/")[1].removesuffix(".csv")
    config = LabelFilesConfig(files=name, column=column, at=at)  # type: ignore[arg-type]
    return LabelFiles(config, values, str(root), Stores())


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def test_rows_are_those_of_the_file_in_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, "d/phase/v.csv", "x,second,phase\n,2,cut\n,0,rest\n,1,\n,2.5,rest\n")
    rows = files(tmp_path).rows("v")
    assert rows.seconds.tolist() == [0, 2, 2.5]
    assert rows.truth.tolist() == [0, 1, 0]


def test_frames_have_what_holds_or_what_is_at_their_instant(tmp_path: Path) -> None:
    write(tmp_path, "d/phase/v.csv", "second,phase\n1,rest\n3.4,cut\n")
    seconds = np.arange(5.0)

    held = files(tmp_path).at("v", seconds, 1.0)
    assert held.labelled.tolist() == [False, True, True, True, True]
    assert held.truth[1:].tolist() == [0, 0, 0, 1]

    instants = files(tmp_path, at="instant").at("v", seconds, 1.0)
    assert instants.labelled.tolist() == [False, True, False, True, False]
    assert instants.truth[[1, 3]].tolist() == [0, 1]


def test_labels_of_whole_videos_are_one_row_and_hold_for_every_frame(tmp_path: Path) -> None:
    write(tmp_path, BY_VIDEO, "video,score,group\na,12,Ann\nb,,Ann\nc,7.5,\n")
    labels = files(tmp_path, SCORES, BY_VIDEO)
    assert (labels.rows("a").seconds.tolist(), labels.rows("a").truth.tolist()) == ([0], [12])
    assert len(labels.rows("b").truth) == 0
    assert labels.at("c", np.array([0.0, 99]), 1.0).truth.tolist() == [7.5, 7.5]
    assert not labels.at("b", np.array([0.0]), 1.0).labelled.any()
    assert labels.groups() == {"a": "Ann", "b": "Ann"}


def test_labels_of_videos_without_groups(tmp_path: Path) -> None:
    write(tmp_path, BY_VIDEO, "video,score\na,12\n")
    assert files(tmp_path, SCORES, BY_VIDEO).groups() == {}
    assert files(tmp_path).groups() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "second,phase\n0,rest\n1,cat\n",
            r"v\.csv:3: expected a class .*'cat'; did you mean 'cut'",
        ),
        ("second,phase\n0,rest\n0.0,cut\n", r"v\.csv:3: expected seconds that differ, got 0.0"),
        ("second,phase\nnan,rest\n", r"v\.csv:2: expected a second, got 'nan'"),
        ("second,phase\nsoon,rest\n", r"v\.csv:2: expected a second, got 'soon'"),
        ("second,step\n0,rest\n", r"v\.csv: expected .* 'second' and 'phase': got 'second,step'"),
        ("second,phase\n0\n", r"v\.csv: expected .*: line 2: got a row of 1 columns"),
        ("", r"v\.csv: expected .* 'phase': got ''"),
    ],
)
def test_mistakes_of_frames_are_one_sentence_each(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, "d/phase/v.csv", text)
    with pytest.raises(LabelError, match=message) as caught:
        files(tmp_path).rows("v")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,score\nw,1\n", r"score\.csv: expected a row of the video 'v', got none$"),
        ("video,score\nv1,1\nx,2\n", r"of the video 'v', got none; did you mean 'v1'"),
        ("video,score\nv,1\nv,2\n", r"score\.csv:3: expected one row a video, got 'v' twice"),
        ("video,score\nv,inf\n", r"score\.csv:2: expected a finite number, got 'inf'"),
        ("video,grade\nv,1\n", r"score\.csv: expected .* 'video' and 'score': got 'video,grade'"),
    ],
)
def test_mistakes_of_videos_are_one_sentence_each(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, BY_VIDEO, text)
    with pytest.raises(LabelError, match=message):
        files(tmp_path, SCORES, BY_VIDEO).rows("v")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"d/phase/v\.csv: expected a CSV file .*: it is missing"):
        files(tmp_path).rows("v")


def test_the_digest_is_of_what_was_read_whatever_the_order(tmp_path: Path) -> None:
    texts = {video: f"second,phase\n{second},rest\n" for second, video in enumerate("abc")}
    for video, text in texts.items():
        write(tmp_path, f"d/phase/{video}.csv", text)

    forth, back = files(tmp_path), files(tmp_path)
    for one, other in zip("ab", "ba", strict=True):
        forth.rows(one)
        back.at(other, np.zeros(1), 1.0)
    listed = "".join(
        f"d/phase/{video}.csv {hashlib.sha256(texts[video].encode()).hexdigest()}\n"
        for video in "ab"
    )
    assert forth.sha256 == back.sha256 == hashlib.sha256(listed.encode()).hexdigest()

    forth.rows("c")
    assert forth.sha256 != back.sha256


def test_a_file_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, "d/phase/v.csv", "second,phase\n0,rest\n")
    labels = files(tmp_path)
    first = labels.rows("v")
    (tmp_path / "d/phase/v.csv").unlink()
    assert labels.rows("v").truth.tolist() == first.truth.tolist()


@pytest.mark.slow
def test_labels_in_a_bucket() -> None:
    with s3_bucket("labels") as bucket:
        open_storage(bucket).write("deep/d/phase/v.csv", b"second,phase\n0,cut\n")
        assert files(f"{bucket}/deep").rows("v").truth.tolist() == [1]
