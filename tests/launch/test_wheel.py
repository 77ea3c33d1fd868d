"""What an install has: everything that runs, under one name."""

from pathlib import Path

from tests.helpers.wheels import build_wheel, expected, packed


def test_a_wheel_has_all_that_runs(tmp_path: Path) -> None:
    names = packed(build_wheel(tmp_path))
    assert names == expected()
    assert "surgstream/configs/pack/surgvista.yaml" in names
