"""Predictions put together from clips, views and ranks, against those that were given for each clip."""

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.reading.passes import share
from surgstream.trainer.batch import ClipName
from surgstream.trainer.distributed import leave, rank_info_from_environment
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.predictions.stored import Predictions
from surgstream.trainer.joining import join
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.labelled.collecting import Collector
from surgstream.trainer.labelled.scoring import main_metric
from tests.helpers.ranks import finish, start_ranks
from tests.helpers.streams import one_step_share
from tests.trainer.labelled.made_up import (
    Rows,
    names_of,
    phases,
    table_of,
    task_clips,
    task_config,
)

pytestmark = pytest.mark.usefixtures("alone")

VIDEOS = {"a": [(0, 60)], "b": [(3, 20), (40, 31)], "c": [(0, 9)]}
LABELS: dict[str, Rows] = {"a": phases(12), "b": phases(15), "c": phases(4)}
NUM_MODELS = 3
NUM_CLASSES = 4


def frames_split(label: str = "last") -> SplitClips:
    config = task_config({"test": ["b", "a", "c"]}, label=label)
    return task_clips(config, table_of(VIDEOS), LABELS).split("test")


def videos_split(segments: int = 1) -> SplitClips:
    config = task_config({"test": ["b", "a", "c"]}, kind="number", per_video=True)
    labels: dict[str, Rows] = {video: {0.0: 1.0} for video in VIDEOS}
    return task_clips(config, table_of(VIDEOS), labels, segments=segments).split("test")


def score(name: ClipName, model: int, view: int = 0, num_classes: int = NUM_CLASSES) -> Any:
    """What a model says of a clip: numbers that differ wherever something does."""
    words = f"{name.video} {name.anchor_frame} {model} {view}".encode()
    return np.random.default_rng([*words]).uniform(size=num_classes)


def scores(names: Sequence[ClipName], view: int = 0, num_classes: int = NUM_CLASSES) -> Any:
    """(M, B, C)."""
    return np.array(
        [[score(name, model, view, num_classes) for name in names] for model in range(NUM_MODELS)]
    )


def collect(
    split: SplitClips,
    *,
    rank: int = 0,
    world_size: int = 1,
    num_views: int = 1,
    num_classes: int = NUM_CLASSES,
) -> Collector:
    """What a rank predicts in passes over the split, batch by batch and view by view."""
    collector = Collector(split, num_views)
    names = names_of(split.table)
    mine = share(len(names), one_step_share(rank, world_size, 4))
    for view in range(num_views):
        for step in range(mine.num_steps):
            batch = names[mine.start : mine.stop][4 * step : 4 * step + 4]
            # The last batch is filled up.
            valid = np.arange(4) < len(batch)
            batch += [names[0]] * (4 - len(batch))
            collector.add(batch, valid, scores(batch, view, num_classes))
    return collector


def expected(
    split: SplitClips, video: str, model: int, num_views: int = 1, num_classes: int = NUM_CLASSES
) -> npt.NDArray[np.float64]:
    """The mean of what was said of each row's clips, row by row."""
    rows = []
    for anchors in split.rows(video).anchors.tolist():
        clips = [ClipName("made_up", video, anchor) for anchor in anchors]
        said = [
            score(clip, model, view, num_classes) for clip in clips for view in range(num_views)
        ]
        rows.append(np.mean(said, axis=0))
    return np.array(rows)


def check(split: SplitClips, found: Sequence[Predictions], num_views: int = 1) -> None:
    assert len(found) == NUM_MODELS
    for model, predictions in enumerate(found):
        assert {*predictions.videos} == {*split.videos}
        assert predictions.classes == split.space.classes
        for video, predicted in predictions.videos.items():
            assert predicted.seconds.tolist() == split.rows(video).true.seconds.tolist()
            wanted = expected(split, video, model, num_views)
            np.testing.assert_allclose(predicted.scores, wanted, atol=1e-6)


@pytest.mark.parametrize("label", ["last", "middle", "first"])
@pytest.mark.parametrize("num_views", [1, 3])
def test_rows_have_the_mean_over_views_of_their_clips(label: str, num_views: int) -> None:
    split = frames_split(label)
    check(split, collect(split, num_views=num_views).gather(), num_views)


@pytest.mark.parametrize("segments", [1, 3])
def test_videos_have_the_mean_over_their_segments(segments: int) -> None:
    split = videos_split(segments)
    found = collect(split, num_views=2, num_classes=1).gather()
    for model, predictions in enumerate(found):
        assert predictions.classes == ()
        for video, predicted in predictions.videos.items():
            assert predicted.scores is None and predicted.seconds.tolist() == [0.0]
            wanted = expected(split, video, model, 2, 1)[:, 0]
            np.testing.assert_allclose(predicted.predicted, wanted, atol=1e-6)


@given(st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_the_order_of_clips_is_no_matter(random: Any, size: int) -> None:
    split = frames_split("first")
    names = [*names_of(split.table)]
    random.shuffle(names)
    collector = Collector(split)
    for start in range(0, len(names), size):
        batch = names[start : start + size]
        collector.add(batch, np.ones(len(batch), bool), scores(batch))
    check(split, collector.gather())


def test_a_clip_that_comes_twice_is_refused() -> None:
    split = frames_split()
    collector = collect(split)
    again = names_of(split.table)[7:8]
    collector.add(again, np.ones(1, bool), scores(again))
    with pytest.raises(EvaluationError, match=r"a, frame 35: expected 1 predictions, got more"):
        collector.gather()


def test_rows_whose_clips_are_missing_are_told(caplog: pytest.LogCaptureFixture) -> None:
    split = frames_split()
    names = names_of(split.table)
    collector = Collector(split)
    collector.add(
        names, np.array([name.anchor_frame not in (5, 10) for name in names]), scores(names)
    )
    (found, *_) = collector.gather()
    assert found.videos["a"].seconds.tolist() == [0, *range(3, 12)]
    assert len(found.videos["b"].seconds) == len(split.rows("b").true.seconds) - 2
    np.testing.assert_allclose(
        found.videos["a"].scores, expected(split, "a", 0)[[0, *range(3, 12)]], atol=1e-6
    )
    num_missing = sum(name.anchor_frame in (5, 10) for name in names)
    assert f"the test split: {num_missing} rows have no prediction, as clips" in caplog.text


def test_a_row_of_which_a_view_is_missing_has_no_prediction() -> None:
    split = frames_split()
    names = names_of(split.table)
    collector = Collector(split, 2)
    collector.add(names, np.ones(len(names), bool), scores(names, 0))
    valid = np.array([name.anchor_frame != 5 for name in names])
    collector.add(names, valid, scores(names, 1))
    (found, *_) = collector.gather()
    assert found.videos["a"].seconds.tolist() == [0, *range(2, 12)]


def test_a_video_without_any_prediction_is_refused() -> None:
    split = frames_split()
    names = names_of(split.table)
    collector = Collector(split)
    collector.add(names, np.array([name.video != "b" for name in names]), scores(names))
    with pytest.raises(EvaluationError, match=r"b: expected predictions for \d+ rows, got none"):
        collector.gather()


def test_the_main_metric_is_that_of_all_rows() -> None:
    split = frames_split()
    (found, *_) = collect(split).gather()
    config = task_config({"test": ["b", "a", "c"]})
    right = [
        found.videos[video].scores.argmax(1) == split.rows(video).true.truth  # type: ignore[union-attr]
        for video in split.videos
    ]
    assert main_metric(found, split, config) == pytest.approx(np.concatenate(right).mean())


def gather_as_rank(folder: str) -> None:
    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    place = {"rank": rank_info.rank, "world_size": rank_info.world_size, "num_views": 2}
    # Of whole videos there are fewer clips than ranks.
    found = [
        *collect(frames_split("middle"), **place).gather(),
        *collect(videos_split(), **place, num_classes=1).gather(),
    ]
    path = Path(folder) / f"rank{rank_info.rank}"
    path.write_bytes(pickle.dumps([predictions.videos for predictions in found]))
    leave()


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_predict_what_one_does(tmp_path: Path, world_size: int) -> None:
    assert finish(start_ranks(gather_as_rank, world_size, (str(tmp_path),))) == [0] * world_size
    main, *others = (pickle.loads(path.read_bytes()) for path in sorted(tmp_path.iterdir()))
    assert others == [[]] * (world_size - 1)
    alone = [
        *collect(frames_split("middle"), num_views=2).gather(),
        *collect(videos_split(), num_views=2, num_classes=1).gather(),
    ]
    for one, many in zip(alone, main, strict=True):
        assert one.videos.keys() == many.keys()
        for video, there in many.items():
            here = one.videos[video]
            assert here.seconds.tolist() == there.seconds.tolist()
            for name in ("scores", "predicted"):
                values = getattr(here, name), getattr(there, name)
                if values[0] is None:
                    assert values[1] is None
                else:
                    np.testing.assert_allclose(*values, atol=1e-6)
