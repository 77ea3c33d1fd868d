"""Protocols of fine-tuning, number by number, and what a recipe says of a task that does not fit it."""

from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.presets import presets
from surgstream.launch.__main__ import main
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.objectives import choice

SURGVISTA = {
    "global_batch_size": 64, "epochs": 50, "optim.warmup_epochs": 5, "optim.base_lr": 2e-3, "optim.layer_decay": 0.75,
    "optim.weight_decay": 0.05, "optim.beta2": 0.999, "optim.min_lr": 1e-6, "clips.view": "squash", "clips.stride": 4,
    "objective.encoder.num_frames": 16, "objective.encoder.positions": "sincos", "objective.encoder.drop_path": 0.1,
    "objective.dropout": 0.5, "objective.init_scale": 0.0, "objective.smoothing": 0.1, "objective.mix.mixup": 0.8,
    "objective.mix.cutmix": 1.0, "objective.mix.probability": 1.0, "objective.mix.switch": 0.5,
    "data.augment.resized_crop.scale": (0.7, 1.0), "data.augment.flip": 0.5, "data.augment.rand_augment.magnitude": 7,
    "data.augment.rand_augment.num_ops": 4, "data.augment.rand_augment.magnitude_std": 0.5,
    "data.augment.rand_augment.increasing": True, "data.augment.erase.probability": 0.25,
}  # fmt: skip
VIDEOMAE = SURGVISTA | {
    "optim.base_lr": 5e-4, "clips.view": "three_crops", "clips.segments": 5, "objective.dropout": 0.0,
    "objective.init_scale": 0.001, "objective.encoder.positions": "sinusoid",
    "data.augment.resized_crop.scale": (0.08, 1.0),
}  # fmt: skip

PUBLISHED: dict[str, tuple[str, float, dict[str, object]]] = {
    "finetune_surgvista_phases": ("cholec80_phases", 5e-4, SURGVISTA),
    "finetune_surgvista_triplets": (
        "cholect50_triplets",
        5e-4,
        SURGVISTA | {"epochs": 20, "objective.smoothing": 0.0, "objective.mix": None},
    ),
    "finetune_surgvista_clips": (
        "surgical_actions160",
        5e-4,
        SURGVISTA | {"epochs": 500, "optim.warmup_epochs": 50, "clips.stride": "uniform"},
    ),
    "finetune_surgvista_endoscapes": (
        "endoscapes_cvs_sum",
        2.5e-5,
        SURGVISTA | {
            "global_batch_size": 32, "epochs": 20, "optim.warmup_epochs": 2, "optim.base_lr": 2e-4,
            "objective.encoder.num_frames": 8,
        },
    ),
    "finetune_videomae": (
        "surgical_actions160",
        7.5e-4,
        VIDEOMAE | {"global_batch_size": 384, "epochs": 75, "optim.min_lr": 1.5e-6},
    ),
    "finetune_surgrec": ("surgical_actions160", 1.25e-4, VIDEOMAE | {"optim.min_lr": 2.5e-7}),
}  # fmt: skip
"""A task of each, the peak of its learning rate as the publication has it, and its numbers."""

EXACTLY = {
    "objective.mix.mixup", "objective.mix.cutmix", "objective.mix.probability", "objective.mix.switch",
}  # fmt: skip


def protocol(name: str, *overrides: str) -> TrainConfig:
    return load_recipe(presets("evaluate/protocols")[name], ["warm_start=null", *overrides])


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_protocol_is_what_was_published(name: str) -> None:
    task, peak, numbers = PUBLISHED[name]
    recipe = protocol(name, f"task={task}")
    without_mix = numbers.get("objective.mix", ...) is None
    for key, expected in numbers.items():
        if without_mix and key in EXACTLY:
            continue
        value: object = recipe
        for part in key.split("."):
            value = getattr(value, part)
        assert value == expected, key

    beginning = Progress(step=0, clips_seen=0, state={})
    plan = recipe.plan(num_clips=10**5, world_size=1, start=beginning)
    assert plan.peak_lr == pytest.approx(peak)
    assert recipe.protocol == name and recipe.run_dir == f"runs/{name}"
    assert (recipe.select.by, recipe.select.every_epochs) == ("best", 1)
    trainable = choice.build_on_meta(recipe.objective).num_parameters()["trainable"]
    assert 86_200_000 < trainable < 86_400_000


def test_every_protocol_of_fine_tuning_is_tested_here() -> None:
    names = {name for name in presets("evaluate/protocols") if name.startswith("finetune_")}
    assert names == {*PUBLISHED, "finetune_tiny"}


@pytest.mark.parametrize(
    ("task", "kind", "num_outputs"),
    [
        ("synth_phases", "class", 5),
        ("synth_triplets", "multilabel", 13),
        ("synth_skill", "number", 1),
    ],
)
def test_a_task_tells_its_recipe_what_labels_it_has(task: str, kind: str, num_outputs: int) -> None:
    objective = protocol("finetune_tiny", f"task={task}").objective
    assert (objective.kind, objective.num_outputs) == (kind, num_outputs)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("data.stride=4", "data.stride: expected 1 beside a task, .* or clips.stride, got 4"),
        ("data.fps=5", "data.fps: expected null beside a task, which has every frame, got 5"),
        ("held_out={corpus: x}", "held_out: expected null beside a task"),
        (
            "objective.kind=number",
            "objective.kind: expected class, as synth_phases has, got number",
        ),
        (
            "objective.num_outputs=4",
            "objective.num_outputs: expected 5, as synth_phases has, got 4",
        ),
        ("task=synth_phase", "synth_phase: expected a task's file .* did you mean 'synth_phases'"),
        ("task=null", "task: expected a task where objective.name is supervised"),
    ],
)
def test_what_does_not_fit_a_task_is_told(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        protocol("finetune_tiny", "task=synth_phases", overrides)


def test_a_start_needs_weights_or_the_word_that_there_are_none() -> None:
    path = presets("evaluate/protocols")["finetune_tiny"]
    with pytest.raises(ConfigError, match=r"warm_start.weights: missing"):
        load_recipe(path, ["task=synth_phases"])


def test_pretraining_is_not_called_fine_tuning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = presets("pretrain")["surgvista_tiny"]
    assert main(["finetune", str(recipe), f"run_dir={tmp_path / 'run'}"]) == 2
    told = capsys.readouterr().err
    assert "expected a recipe that learns a task, got one of surgvista" in told
    assert not (tmp_path / "run").exists()
