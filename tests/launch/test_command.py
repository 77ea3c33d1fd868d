import argparse
import errno
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from surgstream.launch.__main__ import COMMANDS, main
from surgstream.trainer.engine.checkpoint_files import state_bytes
from tests.helpers.handmade import write_corpus

FULL = "surgstream: standard output: No space left on device\n"


def surgstream(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "surgstream", *words], capture_output=True, text=True, timeout=120
    )


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(name in page for name in COMMANDS)


@pytest.mark.parametrize("words", [[], ["pakc"]])
def test_a_wrong_command_shows_the_page_and_fails(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "usage: surgstream" in captured.out + captured.err


@pytest.mark.parametrize("words", [["pakc"], ["help", "pakc"], ["pakc", "--help"]])
def test_a_misspelt_command_is_told_which_was_meant(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(
        "surgstream: unknown command 'pakc'; did you mean 'pack'?\n"
    )


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"surgstream {importlib.metadata.version('surgstream')}\n"


def test_other_systems_are_told_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Windows")
    assert main(["verify", "corpus"]) == 1
    assert "expected Linux, got Windows; use WSL 2" in capsys.readouterr().err


PAGES = [[name] for name in COMMANDS]
PAGES += [["launch", way] for way in ("slurm", "torchrun", "loader", "pack", "run-dir")] + [
    ["bench", "scale"]
]

EXPLAIN = """\
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in BLOCKED, f"{name} is imported"

sys.meta_path.insert(0, Blocked())
from surgstream.launch.__main__ import main
for words in PAGES:
    try:
        status = main(["help", *words])
    except SystemExit as ended:
        status = ended.code
    assert status == 0, words
"""


def test_every_command_explains_itself_where_nothing_heavy_is_installed() -> None:
    blocked = HEAVY | {"av", "cv2", "numpy", "PIL", "tqdm", "webdataset", "botocore"}
    code = EXPLAIN.replace("BLOCKED", repr(blocked)).replace("PAGES", repr(PAGES))
    explained = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert explained.returncode == 0, explained.stderr
    pages = explained.stdout.split("usage: ")[1:]
    for words, page in zip(PAGES, pages, strict=True):
        assert page.startswith(f"surgstream {' '.join(words)} ")
        assert len(page.splitlines()) >= 10, "a newcomer needs more than the flags"


def test_a_mistake_is_a_sentence_without_a_traceback() -> None:
    ended = surgstream("pack", "nowhere.yaml", "out")
    assert ended.returncode == 2
    assert ended.stderr.startswith("surgstream pack: nowhere.yaml: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["order", "configs/pretrain/surgvista_tiny.yaml", "data.corpus=SHARDS", "--count", "3000"],
    ],
)
def test_a_reader_that_leaves_ends_a_command_quietly(words: list[str], tmp_path: Path) -> None:
    write_corpus(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as output:
        command = [
            sys.executable,
            "-m",
            "surgstream",
            *(word.replace("SHARDS", str(tmp_path)) for word in words),
        ]
        ended = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr and "Broken" not in ended.stderr


@pytest.mark.parametrize(
    ("redirection", "status", "told"),
    [(">&-", 0, ""), (">&- 2>&-", 0, ""), (">/dev/full", 1, FULL)],
)
def test_output_that_goes_nowhere_is_no_traceback(redirection: str, status: int, told: str) -> None:
    command = f"{sys.executable} -m surgstream --help {redirection}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", told)


def test_draws_beyond_counting_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = "configs/pretrain/surgvista_tiny.yaml"
    for start, count, expected in (
        (
            "99999999999999999999",
            "1",
            "--start: expected a whole number from 0 to 4611686018427387904",
        ),
        ("0", str(2**63), "--count: expected a whole number from 0 to 1000000000"),
        (str(2**62), "1", "expected --start and --count to end at draw 2^62 at most"),
    ):
        try:
            status = main(["order", recipe, "--start", start, "--count", count])
        except SystemExit as ended:
            status = int(ended.code or 0)
        assert status == 2
        assert expected in capsys.readouterr().err


def test_an_order_goes_on_from_a_checkpoint_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["order", "configs/pretrain/surgvista_tiny.yaml", "--checkpoint", str(tmp_path)]) != 0
    )
    assert (
        f"{tmp_path}: cannot be read: No such file or directory; resume from"
        in capsys.readouterr().err
    )
    (tmp_path / "state.json").write_bytes(state_bytes({"step": 4, "g": 64, "files": {}}))
    recipe = "configs/pretrain/surgvista_tiny.yaml"
    assert main(["order", recipe, "--checkpoint", str(tmp_path), "--start", "63"]) == 2
    assert "expected --start of at least 64" in capsys.readouterr().err


LOGIN = """\
import sys, surgstream.launch.scaling, surgstream.trainer.commands.order, surgstream.trainer.commands.status
from surgstream.configs.loading import load
from surgstream.trainer.config import TrainConfig
for name in ("surgvista_tiny", "surgvista_vitb"):
    load(TrainConfig, f"configs/pretrain/{name}.yaml", ["data.corpus=SHARDS"]).grad_accum_steps(1)
"""
PACKING = """\
import sys, surgstream.launch.__main__
from surgstream.shards.commands import pack, stage, verify
"""
HEAVY = {
    "torch",
    "torchvision",
    "nvidia",
    "deepspeed",
    "timm",
    "einops",
    "safetensors",
    "tensorboard",
    "boto3",
}


@pytest.mark.parametrize(("code", "absent"), [(LOGIN, HEAVY | {"av"}), (PACKING, HEAVY)])
def test_login_nodes_need_no_torch(code: str, absent: set[str]) -> None:
    code += f"\nassert not {absent} & {{*sys.modules}}, {absent} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("package", "remedy"),
    [
        ("nvidia.dali", "surgstream[cuda13]"),
        ("torch", "surgstream[train]"),
        ("torchx", "as docs/getting_started.md says"),
    ],
)
def test_where_a_package_is_missing_what_needs_it_says_so(
    package: str, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def need(name: str, argv: list[str]) -> int:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("surgstream.launch.__main__.run", need)
    assert main(["pretrain", "recipe.yaml"]) == 1
    said = capsys.readouterr().err
    assert (
        said.startswith(f"surgstream pretrain: needs {package}, which is not installed here; ")
        and remedy in said
    )


def test_a_full_disk_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(_: argparse.Namespace) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/metrics.jsonl")

    monkeypatch.setattr("surgstream.shards.commands.pack.run", fill)
    assert main(["pack", "corpus.yaml", "out"]) == 1
    assert (
        capsys.readouterr().err == "surgstream pack: run/metrics.jsonl: No space left on device\n"
    )
