"""The protocols of probes that come with the package."""

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.configs.presets import presets
from surgstream.trainer.readouts.bank_config import AttentiveConfig
from surgstream.trainer.readouts.banks.choosing import heads_of
from surgstream.trainer.readouts.config import ProbeRecipe

PROBES = {
    name: path
    for name, path in presets("evaluate/protocols").items()
    if name.startswith(("probe_", "dense_"))
}
OPEN = ["task=synth_phases", "weights=random", "data.corpus=shards"]


@pytest.mark.parametrize("name", PROBES)
def test_a_protocol_is_whole_but_for_task_weights_and_corpus(name: str) -> None:
    recipe = load(ProbeRecipe, PROBES[name], OPEN)
    assert recipe.protocol == name
    with pytest.raises(ConfigError) as caught:
        load(ProbeRecipe, PROBES[name])
    mistakes = str(caught.value).splitlines()[1:]
    assert [mistake.split(":")[0].strip() for mistake in mistakes] == [
        "task",
        "weights",
        "data.corpus",
    ]


@pytest.mark.parametrize(("name", "num_heads"), [("probe_unisurg", 16), ("probe_vjepa2", 20)])
def test_attentive_probes_are_as_many_as_published(name: str, num_heads: int) -> None:
    recipe = load(ProbeRecipe, PROBES[name], OPEN)
    assert isinstance(recipe.readout, AttentiveConfig)
    assert len(heads_of(recipe.readout.grid)) == num_heads
    assert (recipe.readout.self_blocks, recipe.readout.num_heads) == (3, 16)
    assert recipe.epochs == 20
