"""The suites that come with the code: what they name is there, and fits."""

from itertools import product
from pathlib import Path

import pytest

from surgstream.configs.loading import load, read_tree
from surgstream.configs.presets import find_preset
from surgstream.trainer.config import load_recipe
from surgstream.trainer.evaluation.tasks.loading import each_fold
from surgstream.trainer.evaluation.tasks.opening import find_judged_task
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.suite.config import SuiteConfig

SUITES = sorted(path.stem for path in Path("configs/evaluate/suites").glob("*.yaml"))


@pytest.mark.parametrize("name", SUITES)
def test_its_tasks_can_be_judged_and_its_protocols_take_its_words(name: str) -> None:
    suite = load(SuiteConfig, Path(f"configs/evaluate/suites/{name}.yaml"))
    for part in suite.parts:
        folds = [fold for task in part.tasks for fold in each_fold(task)]
        for fold in folds:
            find_judged_task(fold)

        for fold, protocol in product(folds, part.protocols):
            path = find_preset("evaluate/protocols", protocol)
            assert path, protocol
            words = [*part.set, f"task={fold}", "data.corpus=shards"]
            if read_tree(path).get("readout"):
                load(ProbeRecipe, path, [*words, "weights=pixels"])
            else:
                load_recipe(path, [*words, "warm_start=null"])
