"""From predictions and labels to a result, its table and its page."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from surgstream.shards.labels.timeline import TrueRows
from surgstream.trainer.evaluation.comparing import TOO_SMALL
from surgstream.trainer.evaluation.metrics.catalogue import METRICS
from surgstream.trainer.evaluation.metrics.samples import LabelSpace, ScoredVideo, Videos
from surgstream.trainer.evaluation.report.page import draw_page
from surgstream.trainer.evaluation.report.result import Result, to_json
from surgstream.trainer.evaluation.report.table import draw_table
from surgstream.trainer.evaluation.scorer import IMPOSSIBLE, Model
from surgstream.trainer.evaluation.scoring import AS_CONSTANT, Truth, evaluate
from surgstream.trainer.evaluation.tasks.config import Published, TaskConfig
from tests.trainer.evaluation.made_up import CLASSES, SPACE, constant, model, phases

TASK = TaskConfig(
    name="made_up",
    version=2,
    title="Phases <made up>",
    dataset="made_up",
    kind="class",
    labels=None,
    classes=CLASSES,
    split=None,
    metrics=("phase_jaccard", "image_accuracy", "edit"),
    main="phase_jaccard",
    published=(
        Published(
            model="Net|1",
            source="a paper, table 2",
            protocol="fine-tuned",
            values={"phase_jaccard": 78.1, "phase_f1": 84.17},
            caveats=("a",),
        ),
    ),
    caveats={"a": "chosen on the test videos"},
    notes=("a note",),
)


TRAIN = [TrueRows(np.arange(200.0), phases(100 + number, 200)) for number in range(5)]
TRUTH = Truth(split="test", where="labels", sha256="ab" * 32, train=TRAIN)


def result(*models: Videos, compare: bool = False, **changes: Any) -> Result:
    named = [Model(name=f"model {number}", seeds=(videos,)) for number, videos in enumerate(models)]
    truth = replace(TRUTH, **changes)
    return evaluate(TASK, SPACE, named, truth, with_comparisons=compare)


def test_a_row_has_every_metric_with_an_interval_around_it() -> None:
    (row, *yardsticks) = result(model(0.2)).rows
    assert {*row.values} == {*TASK.metrics} and row.kind == "model" and row.marks == ()
    for value in row.values.values():
        assert 0 <= value.low < value.value < value.high <= 1
    assert row.values["image_accuracy"].value == pytest.approx(
        sum((video.truth == video.predicted).sum() for video in model(0.2))
        / sum(video.num_rows for video in model(0.2))
    )
    assert len(row.per_video) == 14 and {*row.per_video["video01"]} == {*TASK.metrics}
    assert [each.name for each in yardsticks] == ["constant", "chance", "time alone"]
    assert {each.kind for each in yardsticks} == {"yardstick"}


def test_a_constant_is_marked_and_warned_of() -> None:
    found = result(constant(model(0.2), 1))
    assert found.rows[0].marks == ("constant",)
    assert found.warnings == ("model 0 predicts the same for every row of all videos",)


def test_without_training_labels_what_needs_them_says_so() -> None:
    found = result(model(0.2), train=None)
    assert [row.name for row in found.rows[1:]] == ["chance, all classes alike"]
    assert "labels of the training videos are not at hand" in found.warnings[0]


def test_another_split_is_warned_of() -> None:
    assert "val split, by which models are chosen" in result(model(0.2), split="val").warnings[0]


def test_a_better_model_is_found_better_and_equal_ones_are_not_told_apart() -> None:
    found = result(model(0.5), model(0.1), model(0.5, seed=3), compare=True)
    by_main = [each for each in found.comparisons if each.metric == TASK.main]
    better, same = by_main
    assert (better.model, better.other, better.says) == ("model 1", "model 0", "better")
    assert 0 < better.low < better.difference < better.high
    assert "better on 14 of 14 videos; p = " in better.sentence
    assert same.says == "no difference found" and same.low < 0 < same.high
    assert len(found.comparisons) == 2 * len(TASK.metrics)


def right_on(shares: npt.NDArray[np.float64]) -> Videos:
    """A model that is right on these shares of the rows of its videos."""
    videos = []
    for video, share in zip(model(0.0, num_videos=len(shares)), shares, strict=True):
        is_right = np.arange(video.num_rows) < share * video.num_rows
        predicted = np.where(is_right, video.truth, (video.truth + 1) % len(CLASSES))
        videos.append(replace(video, predicted=predicted, scores=None))
    return videos


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("num_better", "says"),
    [(20, ("worse", "better")), (19, ("the mean and most videos disagree",) * 2)],
)
def test_a_few_large_differences_against_many_small_ones(
    num_better: int, sign: int, says: tuple[str, str]
) -> None:
    """Of 40 videos some are much better, and at least as many a little worse."""
    step = sign * np.where(np.arange(40) < num_better, 0.4, -0.05)
    task = replace(TASK, metrics=("video_accuracy",), main="video_accuracy")
    models = [
        Model(name=f"{number}", seeds=(right_on(0.5 + number * step),)) for number in range(2)
    ]
    (comparison,) = evaluate(task, SPACE, models, TRUTH, with_comparisons=True).comparisons
    assert comparison.p < 0.05 and comparison.says == says[sign > 0]


def test_holm_corrects_for_the_number_of_models() -> None:
    alone = result(model(0.3), model(0.2), compare=True).comparisons[0]
    among = result(model(0.3), model(0.2), *[model(0.3, seed=s) for s in (1, 2, 3)], compare=True)
    assert among.comparisons[0].p == pytest.approx(4 * alone.p)


def test_many_models_need_more_videos_than_two() -> None:
    """Eight videos give a p of 0.0078 at the least, which ten models bring to 0.078."""
    eight = [model(errors, num_videos=8) for errors in (0.6, *[0.01] * 10)]
    assert result(*eight[:2], compare=True).comparisons[0].says == "better"
    assert {each.says for each in result(*eight, compare=True).comparisons} == {TOO_SMALL}


def test_a_model_that_is_as_good_as_the_constant_is_marked() -> None:
    most = int(np.bincount(np.concatenate([rows.truth for rows in TRAIN])).argmax())
    videos = constant(model(0.2), most)
    first = videos[0]
    assert first.predicted is not None
    # A wrong row becomes another wrong one: no constant any more, and as many right.
    wrong = int(np.flatnonzero(first.truth != most)[0])
    first.predicted[wrong] = next(
        label for label in range(4) if label not in (most, first.truth[wrong])
    )
    task = replace(TASK, main="image_accuracy")
    rows = evaluate(task, SPACE, [Model(name="m", seeds=(videos,))], TRUTH).rows
    assert rows[0].marks == (AS_CONSTANT,)


def test_values_that_no_predictions_can_have_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No metric of ours has such; a mistake in one would show."""
    broken = replace(METRICS["image_accuracy"], title="F1")
    monkeypatch.setitem(METRICS, "phase_f1", replace(broken, compute=METRICS["edit"].compute))
    task = replace(TASK, metrics=("phase_jaccard", "phase_f1"))
    videos = model(0.2)
    (row, *_) = evaluate(task, SPACE, [Model(name="m", seeds=(videos,))], TRUTH).rows
    assert row.marks == (IMPOSSIBLE,) and "phase_jaccard: 0." in row.told[0]
    assert "is above the F1 of" in row.told[0]


def test_few_videos_are_too_few_to_say_anything() -> None:
    few = [model(errors, num_videos=3) for errors in (0.6, 0.01)]
    comparison = result(*few, compare=True).comparisons[0]
    assert comparison.says == TOO_SMALL and comparison.difference > 0
    (warning,) = result(*few).warnings
    assert warning == "3 videos: intervals of so few are too narrow"


def test_one_video_has_no_interval_anywhere() -> None:
    one = result(model(0.2, num_videos=1), model(0.3, num_videos=1), compare=True)
    value = one.rows[0].values["image_accuracy"]
    assert math.isnan(value.low) and "one video: no interval" in value.interval
    assert one.warnings == ("one video: there are no intervals",)
    table = draw_table(one)
    assert "[" not in table.partition("one video: there")[2].partition("## Published")[0]


def test_an_interval_beside_its_value_is_warned_of() -> None:
    """Each video has a class of its own, never predicted: hardly a draw has all ten of them."""
    space = LabelSpace(kind="class", classes=tuple("abcdefghijk"))
    videos = [
        ScoredVideo(
            video=f"v{number}",
            group=f"v{number}",
            seconds=np.arange(10.0),
            truth=np.repeat([0, number + 1], 5),
            predicted=np.zeros(10, np.int64),
            scores=None,
        )
        for number in range(10)
    ]
    task = replace(TASK, metrics=("macro_f1", "image_accuracy"), main="macro_f1")
    found = evaluate(task, space, [Model(name="m", seeds=(videos,))], TRUTH)
    value = found.rows[0].values["macro_f1"]
    assert value.value < value.low and "the value is outside" in value.interval
    assert "outside" not in found.rows[0].values["image_accuracy"].interval
    assert found.warnings[-1].startswith("macro_f1: some intervals do not hold the value")


def test_groups_are_what_intervals_draw_from() -> None:
    found = result(model(0.3, groups=("surgeon a", "surgeon b")))
    assert (found.num_videos, found.num_groups) == (14, 2)
    assert "in 2 groups" in draw_table(found)


def test_seeds_are_one_row_with_their_spread() -> None:
    seeds = tuple(model(0.3, seed=seed) for seed in range(3))
    (row, *_) = evaluate(TASK, SPACE, [Model(name="m", seeds=seeds)], TRUTH).rows
    each = [result(videos).rows[0].values["image_accuracy"].value for videos in seeds]
    value = row.values["image_accuracy"]
    assert value.value == pytest.approx(np.mean(each))
    assert value.spread == pytest.approx(np.std(each, ddof=1)) and row.marks == ("3 seeds",)
    by_class = [result(videos).rows[0].values["phase_jaccard"].per_class for videos in seeds]
    for name, of_all in row.values["phase_jaccard"].per_class.items():
        assert of_all == pytest.approx(np.mean([each[name] for each in by_class]))


def test_what_one_seed_alone_leaves_out_is_told_with_its_number() -> None:
    task = replace(TASK, metrics=("phase_jaccard", "phase_precision_legacy"))
    videos = model(0.0)
    never = [replace(video, predicted=np.minimum(video.truth, 2)) for video in videos]
    seeds = Model(name="m", seeds=(videos, never))
    values = evaluate(task, SPACE, [seeds], TRUTH).rows[0].values
    (sentence,) = values["phase_precision_legacy"].undefined
    assert sentence == "closure: undefined in 14 of 14 videos (seed 2)"
    assert values["phase_jaccard"].undefined == ()


def test_metrics_that_need_scores_are_left_out_of_labels() -> None:
    task = replace(TASK, metrics=("map", "phase_jaccard"))
    videos = model(0.2)
    labels = [replace(video, scores=None) for video in videos]
    models = [Model(name="scores", seeds=(videos,)), Model(name="labels", seeds=(labels,))]
    found = evaluate(task, SPACE, models, TRUTH, with_comparisons=True)
    assert "map" in found.rows[0].values and "map" not in found.rows[1].values
    assert [each.metric for each in found.comparisons] == ["phase_jaccard"]
    assert "–" in draw_table(found) and draw_page(found, {"scores": videos}, SPACE)


def test_the_result_is_json_without_nan_and_the_same_every_time() -> None:
    once, again = (
        json.dumps(to_json(result(model(0.2), model(0.3), compare=True)), allow_nan=False)
        for _ in range(2)
    )
    assert once == again
    tree = json.loads(once)
    assert tree["task"] == "made_up" and tree["version"] == 2
    assert tree["rows"][0]["values"]["edit"]["spread"] is None


def test_the_table_is_markdown_with_everything_that_a_reader_needs() -> None:
    page = draw_table(result(model(0.2), model(0.4), compare=True))
    assert page.startswith("# Phases <made up>\n\ntask made_up, version 2, test split: 14 videos, ")
    for text in ("| *time alone* |", "phase_jaccard, %", "Net\\|1", "- a: chosen on", "- a note"):
        assert text in page
    tables = [part.strip().splitlines() for part in page.split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_the_table_tells_what_does_not_count_once_for_all_metrics() -> None:
    task = replace(TASK, metrics=("phase_jaccard", "phase_recall"))
    videos = [replace(video, truth=video.truth % 3) for video in model(0.2)]
    models = [Model(name="m", seeds=(videos,), told=("2 rows do not count",))]
    found = evaluate(task, SPACE, models, TRUTH, packed_by={"unisurg": ("video01",)})
    notes = draw_table(found).partition("## Notes")[2].strip().splitlines()
    assert notes == [
        "- a note",
        "- the corpus unisurg of configs/pack packs 1 video of this task for pretraining: video01",
        "- m: 2 rows do not count",
        "- phase_jaccard, phase_recall: closure: undefined in 14 of 14 videos",
    ]


def test_the_page_needs_no_other_file_and_says_all() -> None:
    videos = model(0.2)
    found = result(videos, model(0.4), compare=True)
    found = replace(found, packed_by={"unisurg": ("video01", "video02")})
    page = draw_page(found, {"model 0": videos, "model 1": model(0.4)}, SPACE)
    for text in (
        "Phases &lt;made up&gt;",
        "Ribbons",
        "Confusion",
        "Reliability",
        "time alone",
        "packs 2 videos of",
    ):
        assert text in page
    assert "src=" not in page and "http" not in page and "<script" not in page
    assert "nan" not in page.replace("Reliability", "")
