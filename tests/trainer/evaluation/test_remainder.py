"""A model on the videos that it was not trained on, beside all of them."""

from dataclasses import replace

import pytest

from surgstream.trainer.evaluation.report.page import draw_page
from surgstream.trainer.evaluation.report.result import Result
from surgstream.trainer.evaluation.report.table import draw_table
from surgstream.trainer.evaluation.scorer import Model, Scorer
from surgstream.trainer.evaluation.scoring import Truth, evaluate
from surgstream.trainer.evaluation.tasks.loading import find_task
from surgstream.trainer.lineage.verdict import LeakMark
from tests.trainer.evaluation.made_up import CLASSES, SPACE, model

TASK = replace(
    find_task("cholec80_phases"),
    name="made_up",
    classes=CLASSES,
    late={},
    early={},
    published=(),
    metrics=("image_accuracy", "phase_jaccard"),
    main="image_accuracy",
)
TRUTH = Truth(split="test", where="here", sha256="0" * 64, train=None)
NUM_VIDEOS = 14


def seen(*videos: str) -> LeakMark:
    says = f"contaminated {len(videos)} of {NUM_VIDEOS}"
    how = tuple(f"{video} by name: there" for video in videos)
    return LeakMark(mark="contaminated", says=says, videos=videos, how=how)


CLEAN = LeakMark(mark="clean", says="clean")
SEEN = seen("video01", "video05", "video14")


def named(name: str, errors: float, leaks: LeakMark | None, seeds: int = 1) -> Model:
    made = tuple(model(errors, seed=seed) for seed in range(seeds))
    return Model(name=name, seeds=made, leaks=leaks)


def result(*models: Model, compare: bool = True) -> Result:
    return evaluate(TASK, SPACE, models, TRUTH, with_comparisons=compare)


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_remainder_is_what_the_other_videos_alone_would_give(seeds: int) -> None:
    whole = named("A", 0.2, SEEN, seeds)
    first, remainder, *others = result(whole).rows
    assert (first.name, first.kind, first.leaks) == ("A", "model", SEEN)
    assert (remainder.name, remainder.kind) == ("A, clean 11 videos", "remainder")
    assert {row.kind for row in others} == {"yardstick"}

    kept = tuple(
        [video for video in videos if video.video not in SEEN.videos] for videos in whole.seeds
    )
    alone = Scorer(TASK, SPACE, kept[0]).row(Model(name="x", seeds=kept))
    assert remainder.values == alone.values and remainder.per_video == alone.per_video
    assert remainder.values["image_accuracy"].low < remainder.values["image_accuracy"].high
    assert first.values == Scorer(TASK, SPACE, whole.seeds[0]).row(whole).values


def test_only_what_is_contaminated_in_part_has_a_remainder() -> None:
    everything = seen(*(f"video{number + 1:02}" for number in range(NUM_VIDEOS)))
    found = result(
        named("A", 0.1, CLEAN), named("B", 0.2, everything), named("C", 0.2, None), compare=False
    )
    assert [row.kind for row in found.rows[:3]] == ["model"] * 3
    assert not [row for row in found.rows if row.kind == "remainder"]
    assert any("B was trained on 14 of these videos" in warning for warning in found.warnings)


def test_models_are_compared_on_all_videos_and_on_those_that_none_has_seen() -> None:
    models = [
        named("A", 0.1, CLEAN),
        named("B", 0.4, SEEN),
        named("C", 0.3, seen("video02", "video05")),
    ]
    pairs = [
        (each.model, each.other)
        for each in result(*models).comparisons
        if each.metric == "image_accuracy"
    ]
    clean = ", clean 10 videos"
    assert pairs == [("B", "A"), ("C", "A"), (f"B{clean}", f"A{clean}"), (f"C{clean}", f"A{clean}")]

    untouched = [replace(each, leaks=CLEAN) for each in models]
    whole = [each for each in result(*models).comparisons if "clean" not in each.model]
    assert whole == [*result(*untouched).comparisons], "all videos are compared as before"


def test_the_table_and_the_page_have_a_mark_for_each_model() -> None:
    unknown = LeakMark(mark="unknown", says="unknown", how=("nobody <knows>",))
    models = [named("A", 0.1, SEEN), named("B", 0.2, unknown), named("C", 0.3, CLEAN)]
    found = result(*models, compare=False)
    table = draw_table(found).splitlines()
    (header,) = [line for line in table if line.startswith("| ") and "A, clean 11 videos" in line]
    assert header.index("| A |") < header.index("| A, clean 11 videos |") < header.index("| B |")
    (marks,) = [line for line in table if line.startswith("| leaks")]
    cells = [cell.strip() for cell in marks.strip("|").split("|")]
    assert cells[:5] == ["leaks", "contaminated 3 of 14", "–", "unknown", "clean"]
    assert any("A: contaminated 3 of 14: video01 by name: there; video05" in line for line in table)

    page = draw_page(found, {each.name: each.seeds[0] for each in models}, SPACE)
    assert '<span class="mark contaminated">contaminated 3 of 14</span>' in page
    assert 'title="video01 by name: there; video05 by name: there; video14 by name: there"' in page
    assert "nobody &lt;knows&gt;" in page and "<knows>" not in page
    assert '<th class="remainder">A, clean 11 videos</th>' in page


def test_without_anything_asked_there_is_no_column_of_leaks() -> None:
    found = result(named("A", 0.1, None), compare=False)
    assert "| leaks" not in draw_table(found)
