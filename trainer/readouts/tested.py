"""A probe is tested once: what its run directory has of a test already, and whose that is."""

from pathlib import Path

from surgstream.configs.changes import changes
from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load, to_tree
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.predictions.stored import read_predictions
from surgstream.trainer.readouts.config import ProbeRecipe, TemporalConfig
from surgstream.trainer.runs.files import CHECKPOINTS, CONFIG, tests_in


def check_results(recipe: ProbeRecipe, features: str | None = None) -> None:
    """Make sure that results in the run directory, if there are any, are those of this probe.

    Args:
        recipe: The probe.
        features: The key of the features that it was predicted from, of readouts that have one.

    Raises:
        EvaluationError: They are another's, and would be lost, or taken for this one's.
    """
    run_dir = Path(recipe.run_dir)
    there = tests_in(run_dir)
    if not there and not any((run_dir / CHECKPOINTS).glob("*")):
        return

    differences = _changes(recipe)
    for path in there if features and not differences else ():
        if read_predictions(path).about.get("features") != features:
            differences.append(f"{path.name}: it was predicted from other features")
    if differences:
        raise EvaluationError(
            f"{run_dir}: expected the probe that this run began with, got another: "
            f"{'; '.join(differences)}; choose another run_dir"
        )


def is_tested(recipe: ProbeRecipe) -> bool:
    """Whether the run directory has all predictions of the test."""
    names = {"test"}
    if isinstance(recipe.readout, TemporalConfig):
        names = {f"test_seed{seed}" for seed in recipe.readout.seeds}
    return names <= {path.stem for path in tests_in(Path(recipe.run_dir))}


def _changes(recipe: ProbeRecipe) -> list[str]:
    """What differs from the recipe in the run directory, of what decides results."""
    path = Path(recipe.run_dir) / CONFIG
    try:
        before = load(ProbeRecipe, path)
    except (ConfigError, OSError):
        return [f"{path} is not that of a probe"]
    return changes(to_tree(before), recipe)
