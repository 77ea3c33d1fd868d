"""Parts of the test videos: each is scored as if there were no other videos."""

from dataclasses import replace
from typing import Any

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.evaluation.comparing import compare_models
from surgstream.trainer.evaluation.metrics.samples import Videos
from surgstream.trainer.evaluation.report.page import draw_page
from surgstream.trainer.evaluation.report.result import Part, to_json
from surgstream.trainer.evaluation.report.table import draw_table
from surgstream.trainer.evaluation.scorer import Model, Scorer
from surgstream.trainer.evaluation.scoring import evaluate
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.split_config import PartConfig
from tests.trainer.evaluation.made_up import SPACE, model
from tests.trainer.evaluation.tasks.test_config import TASK as TREE
from tests.trainer.evaluation.test_scoring import TASK as WHOLE
from tests.trainer.evaluation.test_scoring import TRUTH

TASK = replace(
    WHOLE,
    parts={
        "east": PartConfig(videos=("video[01-09]", "video99"), title="Of the east", expected=9),
        "west": PartConfig(videos=("video[10-14]",), expected=3),
        "north": PartConfig(videos=("video98",)),
    },
)
GROUPS = ("Ann", "Bob", "Cem", "Dan", "Eve", "Fay")


def part_of(videos: Videos, name: str) -> list[Any]:
    wanted = {"east": range(1, 10), "west": range(10, 15)}[name]
    return [video for video in videos if int(video.video.removeprefix("video")) in wanted]


@pytest.mark.parametrize("groups", [(), GROUPS])
@pytest.mark.parametrize("num_seeds", [1, 3])
def test_a_part_has_the_values_and_intervals_that_it_has_alone(
    groups: tuple[str, ...], num_seeds: int
) -> None:
    seeds = tuple(model(0.2, seed=seed, groups=groups) for seed in range(num_seeds))
    row = Scorer(TASK, SPACE, seeds[0]).row(Model(name="m", seeds=seeds))
    assert len(row.values) == 3 * len(WHOLE.metrics)

    whole = Scorer(WHOLE, SPACE, seeds[0]).row(Model(name="m", seeds=seeds))
    assert {name: row.values[name] for name in WHOLE.metrics} == whole.values
    assert row.per_video == whole.per_video
    for part in ("east", "west"):
        own = tuple(part_of(videos, part) for videos in seeds)
        alone = Scorer(WHOLE, SPACE, own[0]).row(Model(name="m", seeds=own))
        assert {name: row.values[f"{name}_{part}"] for name in WHOLE.metrics} == alone.values


def test_models_are_compared_on_each_part() -> None:
    models = [Model(name=f"m{n}", seeds=(model(0.1 + 0.2 * n, seed=n),)) for n in range(2)]
    found = {
        each.metric: each
        for each in compare_models(Scorer(TASK, SPACE, models[0].seeds[0]), models)
    }
    for part in ("east", "west"):
        alone = [replace(each, seeds=(part_of(each.seeds[0], part),)) for each in models]
        for each in compare_models(Scorer(WHOLE, SPACE, alone[0].seeds[0]), alone):
            assert replace(found[f"{each.metric}_{part}"], metric=each.metric) == each


def test_a_result_its_table_and_its_page_show_parts() -> None:
    published = replace(WHOLE.published[0], values={"phase_jaccard_west": 71.25})
    videos = model(0.2)
    found = evaluate(
        replace(TASK, published=(published,)), SPACE, [Model(name="m", seeds=(videos,))], TRUTH
    )
    assert found.parts == {
        "east": Part(title="Of the east", num_videos=9, num_expected=9),
        "west": Part(title="west", num_videos=5, num_expected=3),
    }
    assert to_json(found)["rows"][0]["values"]["phase_jaccard_west"]["low"] is not None
    assert found.metrics["edit_east"]["title"].endswith(": Of the east")
    told = "parts have other videos than those of published values: west 5 of 3"
    assert told in found.warnings

    table = draw_table(found)
    page = draw_page(found, {"m": videos}, SPACE)
    for text in (table, page):
        assert "among them 9 of Of the east, 5 of west" in text
        assert "phase_jaccard_east, %" in text and "edit_west" in text
        assert "phase_jaccard_west 71.25" in text and told in text
        assert "north" not in text
        assert "values as printed there" in text, "in per cent or not, whatever ours are in"


def test_of_few_videos_a_part_warns_and_of_validation_nothing_is_published() -> None:
    models = [Model(name="m", seeds=(model(0.2),))]
    for split, is_told in (("test", True), ("val", False)):
        found = evaluate(TASK, SPACE, models, replace(TRUTH, split=split))
        told = [each for each in found.warnings if each.startswith("parts have")]
        assert "too narrow, or none: Of the east 9 videos, west 5 videos" in told[0]
        assert ("west 5 of 3" in told[-1]) == is_told


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"East": {"videos": ["v6"]}}, "parts: expected names of a-z 0-9 _, such as clinic"),
        ({"east": {"videos": ["v9"]}}, "parts.east.videos: expected videos of a split, got 'v9'"),
        (
            {"east": {"videos": ["v1"]}},
            "parts.east.videos: expected a test video or more, got none",
        ),
        ({"east": {"videos": []}}, "parts.east.videos: expected a test video or more, got none"),
        ({"a": {"videos": ["v[1-"]}}, "expected ids such as"),
    ],
)
def test_parts_that_are_none_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(TaskConfig, {**TREE, "parts": parts}, where="t.yaml")


def test_metrics_of_parts_have_ids_of_their_own_and_may_be_published() -> None:
    parts = {"legacy": {"videos": ["v6"]}}
    metrics = ["phase_jaccard", "phase_jaccard_legacy", "image_accuracy"]
    with pytest.raises(ConfigError, match=r"parts.legacy: expected another name"):
        build(TaskConfig, {**TREE, "parts": parts, "metrics": metrics}, where="t.yaml")

    row = {**TREE["published"][0], "values": {"phase_jaccard_one": 50}}
    tree = {**TREE, "parts": {"one": {"videos": ["v[1-6]"]}}, "published": [row]}
    assert build(TaskConfig, tree, where="t.yaml").parts["one"].videos == ("v[1-6]",)
    with pytest.raises(ConfigError, match="expected a metric of the task"):
        build(TaskConfig, {**tree, "parts": {}}, where="t.yaml")
