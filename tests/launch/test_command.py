import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.__main__ import COMMANDS, main
from tests.helpers.handmade import write_corpus
from trainer.engine.saved import state_bytes


def surgstream(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "launch", *words], capture_output=True, text=True, timeout=120)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(name in page for name in COMMANDS)


@pytest.mark.parametrize("words", [[], ["pakc"]])
def test_a_wrong_command_shows_the_page_and_fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "usage: surgstream" in captured.out + captured.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    page = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"usage: surgstream {name}" in page
    assert len(page.splitlines()) >= 10, "a newcomer needs more than the flags"


def test_a_mistake_is_a_sentence_without_a_traceback() -> None:
    ended = surgstream("pack", "nowhere.yaml", "out")
    assert ended.returncode == 2
    assert ended.stderr.startswith("surgstream pack: nowhere.yaml: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "words",
    [["--help"], ["order", "configs/pretrain/surgvista_tiny.yaml", "data.corpus=SHARDS", "--count", "3000"]],
)
def test_a_reader_that_leaves_ends_a_command_quietly(words: list[str], tmp_path: Path) -> None:
    write_corpus(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as output:
        command = [sys.executable, "-m", "launch", *(word.replace("SHARDS", str(tmp_path)) for word in words)]
        ended = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=120)
    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr and "Broken" not in ended.stderr


def test_draws_beyond_counting_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = "configs/pretrain/surgvista_tiny.yaml"
    for start, count in (("99999999999999999999", "1"), ("0", str(2**63)), (str(2**62), "1")):
        with pytest.raises(SystemExit) as ended:
            main(["order", recipe, "--start", start, "--count", count])
        assert ended.value.code == 2
        assert "expected --start and --count to end at draw 2^62 at most" in capsys.readouterr().err


def test_an_order_goes_on_from_a_checkpoint_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["order", "configs/pretrain/surgvista_tiny.yaml", "--checkpoint", str(tmp_path)]) != 0
    assert f"{tmp_path}: cannot be read: No such file or directory; resume from" in capsys.readouterr().err
    (tmp_path / "state.json").write_bytes(state_bytes({"step": 4, "g": 64, "files": {}}))
    with pytest.raises(SystemExit):
        main(["order", "configs/pretrain/surgvista_tiny.yaml", "--checkpoint", str(tmp_path), "--start", "63"])
    assert "expected --start of at least 64" in capsys.readouterr().err


LOGIN = """\
import sys, launch.scaling, trainer.show_order, trainer.status
from configs.loading import load
from trainer.config import TrainConfig
for name in ("surgvista_tiny", "surgvista_vitb"):
    load(TrainConfig, f"configs/pretrain/{name}.yaml", ["data.corpus=SHARDS"]).grad_accum_steps(1)
"""
PACKING = "import sys, launch.__main__, shards.pack, shards.stage, shards.verify"
HEAVY = {"torch", "torchvision", "nvidia", "deepspeed", "timm", "einops", "safetensors", "tensorboard", "boto3"}


@pytest.mark.parametrize(("code", "absent"), [(LOGIN, HEAVY | {"av"}), (PACKING, HEAVY)])
def test_login_nodes_need_no_torch(code: str, absent: set[str]) -> None:
    code += f"\nassert not {absent} & {{*sys.modules}}, {absent} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_where_torch_is_missing_what_needs_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "pretrain", ("tests.helpers.no_such_module", ""))
    assert main(["pretrain", "recipe.yaml"]) == 1
    said = "surgstream pretrain: needs tests.helpers.no_such_module, which is not installed here\n"
    assert capsys.readouterr().err == said


def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fill(_: list[str]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/metrics.jsonl")

    monkeypatch.setattr("shards.pack.main", fill)
    assert main(["pack"]) == 1
    assert capsys.readouterr().err == "surgstream pack: run/metrics.jsonl: No space left on device\n"
