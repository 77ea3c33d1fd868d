import pytest

from tests.helpers.layers import run_here


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack and check in this process."""
    for room in ("packing.pipeline", "layers.work", "commands.verify"):
        monkeypatch.setattr(f"surgstream.shards.{room}.run_all", run_here)
