"""Recipes, sites and corpora by name."""

from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.presets import Preset, find_preset, presets
from surgstream.launch.__main__ import main

ROOT = Path(__file__).parents[2] / "configs"


def test_a_name_is_a_file_of_its_folder() -> None:
    for kind in ("evaluate/tasks", "launch", "pack", "pretrain"):
        for name, path in presets(kind).items():
            assert find_preset(kind, name) == path == ROOT / kind / f"{name}.yaml"


def test_the_only_name_that_begins_so_is_meant() -> None:
    assert find_preset("launch", "h100") == ROOT / "launch" / "h100_cloud_tcp.yaml"
    assert find_preset("pack", "surgvista") == ROOT / "pack" / "surgvista.yaml", (
        "a whole name comes first"
    )
    with pytest.raises(
        ConfigError,
        match=r"surgvista: .*; got the beginning of surgvista_no_distillation and .* and surgvista_vitb",
    ):
        find_preset("pretrain", "surgvista")


def test_a_misspelt_name_is_told_which_was_meant() -> None:
    with pytest.raises(ConfigError, match="did you mean 'surgvista_vitb'"):
        find_preset("pretrain", "surgvista_vtib")


def test_a_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "surgvista_vitb").write_text("a: 1")
    for word in ("surgvista_vitb", "./surgvista_tiny", "surgvista_tiny.yaml", "nowhere/recipe"):
        assert find_preset("pretrain", word) is None
        assert Preset("pretrain")(word) == word


def test_commands_take_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["launch", "slurm", "cpu_test", "surgvista_tiny", "run_dir=run", "--dry-run"]) == 0
    assert "srun" in capsys.readouterr().out
    assert main(["launch", "run-dir", "surgvista_tiny", "run_dir=here"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/here\n"
    assert main(["launch", "run-dir", "surgvista_tny"]) == 2
    assert "did you mean 'surgvista_tiny'" in capsys.readouterr().err
