"""What a resumed run is told of: differences from its checkpoint's recipe that change what is learned."""

from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.configs.changes import free_keys
from surgstream.configs.loading import load, to_tree
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.objectives.config import MixConfig, SupervisedConfig
from surgstream.trainer.resume import recipe_changes

RECIPES = Path(__file__).parent.parent.parent / "configs" / "pretrain"


@pytest.fixture
def recipe() -> TrainConfig:
    return load(TrainConfig, RECIPES / "surgvista_vitb.yaml", [])


def test_a_changed_recipe_is_said_and_a_changed_place_is_not(recipe: TrainConfig) -> None:
    progress = Progress(step=5, clips_seen=10240, state={"config": to_tree(recipe)})
    assert recipe_changes(progress, recipe) == []
    data = replace(recipe.data, audit_log=True, cache_dir="/scratch/cache", cache_bytes=10**12)
    elsewhere = replace(recipe, run_dir="/elsewhere", micro_batch_size=32, data=data)
    assert recipe_changes(progress, elsewhere) == []
    objective = replace(
        recipe.objective, mask_ratio=0.5, teacher=replace(recipe.objective.teacher, normalise=True)
    )
    changed = replace(
        recipe,
        objective=objective,
        data=replace(recipe.data, stride=2),
        parallel=replace(recipe.parallel, zero_stage=2, reduce_dtype="bf16"),
    )
    assert recipe_changes(progress, changed) == [
        "data.stride: 4 -> 2",
        "objective.mask_ratio: 0.85 -> 0.5",
        "objective.teacher.normalise: False -> True",
        "parallel.reduce_dtype: auto -> bf16",
    ]
    assert recipe_changes(Progress(step=0, clips_seen=0, state={}), changed) == []


@pytest.mark.parametrize(
    ("name", "is_said"),
    [
        ("surgvista_tiny", False),
        ("unisurg_tiny_stage1", True),
        ("surgrec_mae_tiny", False),
        ("salt_teacher_vitl", True),
        ("salt_tiny", True),
        ("surgrec_jepa_tiny", True),
        ("surgmotion_tiny", True),
    ],
)
def test_another_micro_batch_is_said_where_what_is_learned_depends_on_it(
    name: str, is_said: bool
) -> None:
    before = load(TrainConfig, RECIPES / f"{name}.yaml", [])
    progress = Progress(step=5, clips_seen=10240, state={"config": to_tree(before)})
    size = before.micro_batch_size
    said = [f"micro_batch_size: {size} -> {size // 2}"] if is_said else []
    assert recipe_changes(progress, replace(before, micro_batch_size=size // 2)) == said


def test_clips_that_are_mixed_with_each_other_depend_on_their_micro_batch() -> None:
    assert not SupervisedConfig().by_micro_batch
    assert SupervisedConfig(mix=MixConfig()).by_micro_batch


def test_a_key_that_a_checkpoint_lacks_counts_as_its_default(recipe: TrainConfig) -> None:
    saved = to_tree(recipe)
    del saved["objective"]["smooth_l1_beta"]
    progress = Progress(step=5, clips_seen=10240, state={"config": saved})
    assert recipe_changes(progress, recipe) == []

    default = recipe.objective.smooth_l1_beta
    changed = replace(recipe, objective=replace(recipe.objective, smooth_l1_beta=default / 2))
    told = [f"objective.smooth_l1_beta: {default} -> {default / 2}"]
    assert recipe_changes(progress, changed) == told


def test_a_checkpoint_with_keys_of_another_version_is_compared_as_it_is(
    recipe: TrainConfig,
) -> None:
    saved = to_tree(recipe) | {"of_another_version": 3}
    progress = Progress(step=5, clips_seen=10240, state={"config": saved})
    assert recipe_changes(progress, recipe) == ["of_another_version: 3 -> None"]


def test_what_a_resumed_run_may_change_is_this_and_no_more(recipe: TrainConfig) -> None:
    assert sorted(free_keys(recipe)) == [
        "checkpoint",
        "commercial",
        "compile",
        "data.audit_log",
        "data.cache_bytes",
        "data.cache_dir",
        "data.corpus",
        "data.datasets",
        "data.decode",
        "data.max_bad_clips",
        "data.max_bad_clips_in_a_row",
        "data.order",
        "data.read",
        "data.s3",
        "data.stall_warning_seconds",
        "held_out",
        "leaks",
        "max_steps",
        "metrics",
        "micro_batch_size",
        "objective.teacher.known_as",
        "parallel.overlap_comm",
        "parallel.timeout_seconds",
        "parallel.zero_stage",
        "probe",
        "resume",
        "run_dir",
        "tracking",
    ]
    tree = to_tree(recipe)
    for key in free_keys(recipe):
        *sections, name = key.split(".")
        found = tree
        for section in sections:
            found = found[section]
        assert name in found
