"""The tiny recipes' first losses are those that were written down: nothing changes them unseen."""

import json
from pathlib import Path

import pytest

from tests.trainer.objectives.golden import GOLDEN, RECIPES, STEPS, first_losses, write_pictures

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("waves")
    write_pictures(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_first_losses_are_those_that_were_written_down(recipe: str, corpus: Path) -> None:
    """Where they are meant to change, see `tests/trainer/objectives/golden.py`."""
    golden = json.loads(GOLDEN.read_text())[recipe]
    assert len(golden) == STEPS and len(set(golden)) == STEPS
    assert first_losses(recipe, corpus) == pytest.approx(golden, rel=1e-5)
