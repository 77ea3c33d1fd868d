"""What a checkpoint must have in common with the recipe that goes on from it."""

import pytest

from surgstream.configs.loading import to_tree
from surgstream.configs.presets import presets
from surgstream.shards.order.sequence import Order
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.resume import order_from
from tests.shards.reading.test_subset import table_of

TABLE = table_of({"d": [[[40]] * 4]})


def recipe(preset: str, *words: str) -> TrainConfig:
    folder, _, name = preset.rpartition("/")
    path = presets(folder)[name]  # type: ignore[arg-type]
    return load_recipe(path, ["data.corpus=shards", *words])


def saved_by(config: TrainConfig) -> Progress:
    order = Order.create(TABLE.sizes(), config.seed, config.data.order)
    state = {"order": order.to_json(), "manifest": TABLE.sha256, "config": to_tree(config)}
    return Progress(step=3, clips_seen=24, state=state)


PRETRAINING = recipe("pretrain/surgvista_tiny", "held_out=null")
PHASES = recipe("evaluate/protocols/finetune_tiny", "task=synth_phases", "warm_start=null")
ACTIONS = recipe("evaluate/protocols/finetune_tiny", "task=synth_actions", "warm_start=null")


@pytest.mark.parametrize("config", [PRETRAINING, PHASES])
def test_the_same_recipe_goes_on(config: TrainConfig) -> None:
    assert not order_from(saved_by(config), config, TABLE).differences(
        TABLE.sizes(), config.data.order
    )


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (PRETRAINING, PHASES, "it learns surgvista, this recipe supervised of synth_phases"),
        (PHASES, ACTIONS, "it learns supervised of synth_phases, this recipe supervised of synth_actions"),
        (PHASES, PRETRAINING, "this recipe surgvista"),
    ],
)  # fmt: skip
def test_a_run_that_learns_something_else_is_another_run(
    before: TrainConfig, now: TrainConfig, told: str
) -> None:
    with pytest.raises(CheckpointError, match=f"{told}.*choose another run_dir"):
        order_from(saved_by(before), now, TABLE)
