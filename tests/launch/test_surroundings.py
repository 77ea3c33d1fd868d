"""A virtual environment is looked at before anything is submitted."""

from pathlib import Path

import pytest

from surgstream.launch.__main__ import main

SITE, RECIPE = "configs/launch/cpu_test.yaml", "configs/pretrain/surgvista_tiny.yaml"


def environment(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / "env" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder / "env"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            (),
            "got nothing at {venv}; `python3 -m venv {venv}` makes one; where only nodes have it, leave venv out and",
        ),
        (
            ("conda-meta/history", "bin/surgstream"),
            'use it by environment: {{PATH: "{venv}/bin:$PATH"}} instead',
        ),
        (("bin/python",), "got {venv} without bin/activate"),
        (
            ("bin/activate",),
            "expected surgstream in {venv}, got none; install it with {venv}/bin/pip",
        ),
    ],
)
def test_what_is_none_is_refused_with_what_it_is(
    files: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    venv = environment(tmp_path, *files)
    corpus = tmp_path / "corpus.yaml"
    corpus.write_text("datasets: [{name: d, specialty: s, procedure: p, videos: '*.mp4'}]\n")
    for words in (
        ["slurm", SITE, RECIPE, f"run_dir={tmp_path}/run"],
        ["loader", SITE, RECIPE, f"--out={tmp_path}/bench"],
        ["pack", SITE, str(corpus), str(tmp_path / "out"), "--tasks=2", f"--logs={tmp_path}/logs"],
    ):
        assert main(["launch", *words, f"site.venv={venv}"]) == 2
        assert expected.format(venv=venv) in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {"corpus.yaml", "env"}, (
        "nothing is left of what was refused"
    )
    assert main(["launch", "slurm", SITE, RECIPE, f"site.venv={venv}", "--dry-run"]) == 0
    assert "would be refused: venv: " in capsys.readouterr().err


def test_a_virtual_environment_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    venv = environment(tmp_path, "bin/activate", "bin/surgstream")
    assert main(["launch", "slurm", SITE, RECIPE, f"site.venv={venv}", "--dry-run"]) == 0
    assert capsys.readouterr().err == ""


def test_what_only_nodes_see_is_not_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "launch",
        "slurm",
        SITE,
        RECIPE,
        f"run_dir={tmp_path}/run",
        f"site.venv={tmp_path}/disk_of_nodes/env",
    ]
    assert main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().err == (
        f"venv: {tmp_path}/disk_of_nodes cannot be seen from here; {tmp_path}/disk_of_nodes/env is not checked\n"
    )
