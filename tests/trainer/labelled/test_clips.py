"""The clips of a task, against rules that are applied row by row."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.batch import ClipName
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from tests.trainer.labelled.made_up import (
    CLASSES,
    DATASET,
    Parts,
    Rows,
    names_of,
    phases,
    table_of,
    task_clips,
    task_config,
)

NUM_FRAMES = 4

# Parts with holes between them, up to some ten seconds at five frames a second.
PARTS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), min_size=1, max_size=3).map(
    lambda drawn: [
        (sum(gap + count for gap, count in drawn[:i]) + gap, count)
        for i, (gap, count) in enumerate(drawn)
    ]
)
# Quarters of a second, some unlabelled, some beyond the end of the video.
ROWS = st.dictionaries(
    st.integers(0, 80).map(lambda n: n / 4), st.none() | st.integers(0, 3), min_size=1
)

ROW_A_SECOND = st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=20).map(
    lambda values: {float(second): value for second, value in enumerate(values)}
)


@st.composite
def tasks(
    draw: st.DrawFn, rows: st.SearchStrategy[Rows] = ROWS
) -> tuple[TaskConfig, FrameTable, dict[str, Parts], dict[str, Rows]]:
    """A task with a label a frame, its corpus and its labels."""
    videos = {name: draw(PARTS) for name in ("a", "b", "c")}
    labels = {name: draw(rows) for name in videos}
    fps = draw(st.sampled_from([None, 5.0, 1.0]))
    config = task_config(
        {"train": ["a", "c"], "test": ["b"]},
        num_frames=NUM_FRAMES,
        stride=draw(st.sampled_from([0, 1, 3])),
        label=draw(st.sampled_from(["last", "middle", "first"])),
    )
    return config, table_of(videos, 5.0, fps), videos, labels


def shown_parts(table: FrameTable, video: str) -> list[list[int]]:
    """The frames that are shown of each part."""
    parts = [[*part.frames] for part in table.parts(DATASET) if part.video == video]
    return [part for part in parts if part]


def expected_rows(
    config: TaskConfig, parts: Sequence[Sequence[int]], rows: Rows
) -> list[tuple[float, Any, int, bool]]:
    """Second, label and anchor of each row that is predicted, and whether its clip is where it should be."""
    late = {"last": 0, "middle": 1, "first": NUM_FRAMES - 1}[config.clip.label]
    found = []
    for second in sorted(rows):
        frames = sorted(frame for part in parts for frame in part)
        if rows[second] is None or not frames:
            continue
        frame = min(frames, key=lambda frame: (abs(frame - 5 * second), frame))
        if abs(frame - 5 * second) > 2.5:
            continue
        part = next(part for part in parts if frame in part)
        wanted = part.index(frame) + late * config.clip.stride
        anchor = part[min(wanted, len(part) - 1)]
        found.append((second, rows[second], anchor, wanted < len(part)))
    return found


def expected_truth(
    config: TaskConfig, parts: Sequence[Sequence[int]], rows: Rows, anchor: int
) -> Any:
    """The label of the labelled row nearest to the frame that a clip is labelled by."""
    late = {"last": 0, "middle": 1, "first": NUM_FRAMES - 1}[config.clip.label]
    part = next(part for part in parts if anchor in part)
    frame = part[max(0, part.index(anchor) - late * config.clip.stride)]
    labelled = [second for second in rows if rows[second] is not None]
    return rows[min(labelled, key=lambda second: (abs(5 * second - frame), second))]


@given(tasks())
@settings(derandomize=True, max_examples=70, deadline=None)
def test_rows_have_the_clips_of_their_nearest_frames(task: Any) -> None:
    config, table, videos, labels = task
    clips = task_clips(config, table, labels)
    for video in videos:
        expected = expected_rows(config, shown_parts(table, video), labels[video])
        found = clips.rows(video)
        told = zip(
            found.true.seconds.tolist(),
            found.true.truth.tolist(),
            found.anchors[:, 0].tolist(),
            found.is_whole.tolist(),
            strict=True,
        )
        assert [*told] == expected


@given(tasks())
@settings(derandomize=True, max_examples=70, deadline=None)
def test_splits_have_their_own_clips_and_what_is_true_of_them(task: Any) -> None:
    config, table, _, labels = task
    clips = task_clips(config, table, labels)
    for split, videos in (("train", ["a", "c"]), ("test", ["b"])):
        parts = {video: shown_parts(table, video) for video in videos}
        rows = {video: expected_rows(config, parts[video], labels[video]) for video in videos}
        kept = {
            video: sorted({anchor for *_, anchor, whole in rows[video] if whole or split == "test"})
            for video in videos
        }
        if split == "test" and not rows["b"]:
            with pytest.raises(EvaluationError, match="b: expected labelled rows with frames"):
                clips.split("test")
            continue

        found = clips.split(split)
        assert found.videos == tuple(video for video in videos if rows[video])
        if not any(kept.values()):
            with pytest.raises(ConfigError, match="expected at least one clip, got none"):
                _ = found.table
            continue

        names = names_of(found.table)
        assert names == [
            ClipName(DATASET, video, anchor) for video in videos for anchor in kept[video]
        ]
        truth = [
            expected_truth(config, parts[name.video], labels[name.video], name.anchor_frame)
            for name in names
        ]
        assert found.truth(names).tolist() == truth
        assert found.truth(names[::-1]).tolist() == truth[::-1]


@given(tasks(ROW_A_SECOND))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_each_row_that_is_trained_on_has_its_own_label(task: Any) -> None:
    """At one row a frame or less, what is true of the clip of a row is what the row says."""
    config, table, _, labels = task
    clips = task_clips(config, table, labels)
    for video in labels:
        rows = clips.rows(video)
        names = [ClipName(DATASET, video, anchor) for anchor in rows.anchors[rows.is_whole, 0]]
        assert clips.truth(names).tolist() == rows.true.truth[rows.is_whole].tolist()


SCORES: dict[str, Rows] = {"a": {0.0: 7.5}, "b": {0.0: 2.0}, "c": {0.0: None}}
WHOLE = {"a": [(0, 40)], "b": [(2, 3), (10, 7)], "c": [(0, 9)]}
BY_VIDEO = {"train": ["a"], "test": ["b"]}


@pytest.mark.parametrize(
    ("segments", "anchors"),
    [
        (1, [16]),
        (2, [11, 16]),
        (5, [3, 10, 12, 14, 16]),
        (12, [2, 2, 3, 4, 10, 11, 11, 12, 13, 14, 15, 16]),
    ],
)
def test_segments_of_a_video_end_evenly_spread(segments: int, anchors: list[int]) -> None:
    """Of ten frames in two parts."""
    config = task_config(BY_VIDEO, kind="number", per_video=True)
    clips = task_clips(config, table_of(WHOLE), SCORES, segments=segments)
    rows = clips.rows("b")
    assert rows.true.truth.tolist() == [2.0]
    assert rows.anchors.tolist() == [anchors]
    names = names_of(clips.split("test").table)
    assert [name.anchor_frame for name in names] == sorted({*anchors})
    assert clips.truth(names).tolist() == [2.0] * len(names)


def test_whole_videos_are_trained_on_at_every_frame() -> None:
    config = task_config(BY_VIDEO, kind="number", per_video=True)
    names = names_of(task_clips(config, table_of(WHOLE), SCORES).split("train").table)
    assert [name.anchor_frame for name in names] == [*range(40)]


def test_uniform_clips_are_one_a_video() -> None:
    config = task_config(BY_VIDEO, kind="number", per_video=True, stride="uniform")
    clips = task_clips(config, table_of(WHOLE), SCORES)
    for split, last, apart in (("train", 39, 10), ("test", 16, 2)):
        (place,) = clips.split(split).table.locate_all([DATASET], [0])
        assert (place.frame, place.apart) == (last, apart)


def test_several_classes_are_true_of_a_clip() -> None:
    config = task_config({"test": ["a"]}, kind="multilabel")
    clips = task_clips(config, table_of(WHOLE), {"a": {0.0: (), 1.0: (0, 2), 2.0: (3,)}})
    truth = clips.truth([ClipName(DATASET, "a", frame) for frame in (0, 5, 10)])
    assert truth.tolist() == [[0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
    assert truth.dtype == "float32"


def test_shares_lie_within_each_other_and_have_whole_groups() -> None:
    videos = [f"v{number}" for number in range(12)]
    groups = {video: f"surgeon {number // 3}" for number, video in enumerate(videos)}
    table = table_of({video: [(0, 20)] for video in videos})
    labels = {video: phases(4) for video in videos}
    config = task_config({"train": videos, "test": []} | {"test": ["w"]})

    parts = []
    for share in (0.1, 0.5, 0.6, 1.0):
        clips = task_clips(config, table, labels, groups, share=share)
        parts.append({*clips.split("train").videos})
    assert [len(part) for part in parts] == [3, 6, 9, 12]
    assert all(a <= b for a, b in pairwise(parts))
    for part in parts:
        for group in {groups[video] for video in part}:
            assert {video for video in videos if groups[video] == group} <= part


def test_videos_without_labels_are_told(caplog: pytest.LogCaptureFixture) -> None:
    labels: dict[str, Rows] = {"a": {0.0: 1}, "b": {0.0: None}, "c": {99.0: 1}}
    config = task_config({"train": ["a", "b", "c"], "test": ["d"]})
    split = task_clips(config, table_of(WHOLE), labels).split("train")
    assert split.videos == ("a",)
    assert (
        "2 training videos have no labelled rows with frames, and are left out: b, c" in caplog.text
    )


@pytest.mark.parametrize(
    ("config", "settings_", "message"),
    [
        (
            {},
            {"segments": 2},
            "clips.segments: expected 1, as made_up_task labels frames, got 2",
        ),
        (
            {},
            {"stride": "uniform"},
            "clips.stride: expected a number, as made_up_task labels frames",
        ),
        (
            {"kind": "number", "per_video": True, "stride": "uniform"},
            {"segments": 2},
            "clips.segments: expected 1, as made_up_task has one uniform clip a video, got 2",
        ),
        ({"kind": "number"}, {"balance": "classes"}, "clips.balance: expected none, as"),
        ({"kind": "multilabel"}, {"balance": "classes"}, "clips.balance: expected none, as"),
    ],
)
def test_settings_that_do_not_fit_a_task_are_refused(
    config: dict[str, Any], settings_: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        task_clips(task_config({"test": ["b"]}, **config), table_of(WHOLE), {}, **settings_)


def test_a_corpus_without_the_videos_of_the_task_is_refused() -> None:
    config = task_config({"test": ["bb"]})
    clips = task_clips(config, table_of(WHOLE), {"bb": phases(4)})
    message = (
        "made_up: expected the video 'bb' of made_up_task, got none of this id; did you mean 'b'"
    )
    with pytest.raises(ConfigError, match=message):
        clips.split("test")

    other = TaskConfig(**{**vars(config), "dataset": "made_down"})
    with pytest.raises(
        ConfigError, match=r"expected the dataset 'made_down' .*; did you mean 'made_up'"
    ):
        task_clips(other, table_of(WHOLE), {})


def test_there_are_classes() -> None:
    assert {value for value in phases(40).values()} == {*range(len(CLASSES))}
