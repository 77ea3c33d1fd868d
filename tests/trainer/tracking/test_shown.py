"""What a tracker is shown of a recipe: what tells of the method, and nothing that a person has typed freely."""

from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.loading import build, load
from surgstream.configs.presets import presets
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.tracking.config import TrackingConfig
from surgstream.trainer.tracking.shown import shown


def test_numbers_switches_and_words_of_a_recipe() -> None:
    recipe = load(
        TrainConfig,
        presets("pretrain")["surgvista_tiny"],
        ["run_dir=/home/someone/runs/a", "data.corpus=s3://hospital/or7"],
    )
    values = shown(recipe)

    assert values["objective.name"] == "surgvista"
    assert values["seed"] == 0 and values["compile"] is False
    assert values["optim.base_lr"] == recipe.optim.base_lr
    assert values["parallel.autocast"] == "auto"


def test_free_text_stays_behind() -> None:
    recipe = load(
        TrainConfig,
        presets("pretrain")["surgvista_tiny"],
        [
            "run_dir=/home/someone/runs/a",
            "data.corpus=s3://hospital/or7",
            "data.datasets=[smith_clinic]",
            "protocol=doe",
            "warm_start=/home/someone/weights",
        ],
    )
    told = " ".join(map(str, [*shown(recipe), *shown(recipe).values()]))

    for secret in ("someone", "hospital", "smith", "doe", "/"):
        assert secret not in told


@given(project=st.text(min_size=1), tracker=st.sampled_from(["wandb", "mlflow", "trackio", None]))
def test_a_word_is_shown_only_where_a_list_has_it(project: str, tracker: str | None) -> None:
    config = build(TrackingConfig, {"project": project, "tracker": tracker}, where="here")

    assert shown(config) == {"online": False} | ({"tracker": tracker} if tracker else {})
