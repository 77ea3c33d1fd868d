import pytest

from tests.helpers.ranks import process_group
from tests.trainer.export.saved import CONFIGS, Saved, save


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A run of each objective with one checkpoint; read it alone."""
    with process_group():
        return {
            name: save(config, tmp_path_factory.mktemp(name) / "checkpoints")
            for name, config in CONFIGS.items()
        }
