import subprocess
import sys

import pytest

from launch.__main__ import COMMANDS, main


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


def test_login_nodes_need_no_torch() -> None:
    heavy = "{'torch', 'nvidia', 'deepspeed'}"
    code = f"import sys, launch.__main__, shards.pack, shards.verify; assert not {heavy} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
