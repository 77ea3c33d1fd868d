"""`surgstream push`, with the real client and a stand-in for the Hub: nothing is sent unasked, and all or nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main
from tests.helpers.hub import Hub, Repository, serving

TOKEN = "hf_secrettokenofthistest"
CARD = "---\nlicense: apache-2.0\n---\n# An encoder\n"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(TOKEN) as hub:
        yield hub


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    folder.mkdir()
    files = {
        "README.md": CARD, "config.json": "{}", "provenance.json": "{}", "model.safetensors": "weights " * 999,
        "other.safetensors": "other weights",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def push(
    folder: Path, hub: Hub, *words: str, token: str = TOKEN
) -> "subprocess.CompletedProcess[str]":
    """The command as a user starts it, which knows the Hub by its environment."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder.parent / "home"),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",  # whose protocol is that of a store, not of the Hub
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "surgstream", "push", str(folder), "someone/encoder", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_by_default_it_lists_and_asks_nobody(exported: Path, hub: Hub) -> None:
    done = push(exported, hub)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["model.safetensors", "7,992"] in lines and ["README.md", str(len(CARD))] in lines
    assert ["total", f"{sum(map(len, content(exported).values())):,}"] in lines
    assert "licence of the weights: apache-2.0" in done.stdout
    assert "nothing was sent" in done.stdout and not hub.requests


@pytest.mark.parametrize(("words", "private"), [((), True), (("--public",), False)])
def test_all_of_it_is_one_commit_and_private_unless_it_is_to_be_public(
    words: tuple[str, ...], private: bool, exported: Path, hub: Hub
) -> None:
    done = push(exported, hub, "--no-dry-run", *words)
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["someone/encoder"]
    assert repository.files == content(exported)
    assert (repository.private, repository.commits) == (private, 1)
    assert f"sent: {hub.endpoint}/someone/encoder/commit/" in done.stdout
    assert TOKEN not in done.stdout + done.stderr and "signature" not in done.stderr


def test_what_breaks_in_the_middle_leaves_nothing_and_the_next_push_sends_the_rest(
    exported: Path, hub: Hub
) -> None:
    other = sha256((exported / "other.safetensors").read_bytes()).hexdigest()
    hub.fault = lambda method, path: 403 if path == f"/lfs/{other}" else None
    done = push(exported, hub, "--no-dry-run")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "got HTTP 403" in done.stderr and "the same command sends it again" in done.stderr
    assert "secretsignature" not in done.stderr and TOKEN not in done.stderr
    assert hub.repositories["someone/encoder"].files == {} and other not in hub.objects
    arrived = len(hub.objects)

    hub.fault = lambda method, path: None
    hub.requests.clear()
    assert push(exported, hub, "--no-dry-run").returncode == 0
    assert hub.repositories["someone/encoder"].files == content(exported)
    sent = sum(method == "PUT" for method, _ in hub.requests)
    assert sent == 2 - arrived, "what had arrived is not sent again"


def test_a_commit_that_is_refused_says_what_the_hub_says(exported: Path, hub: Hub) -> None:
    hub.fault = lambda method, path: 403 if "/commit/" in path else None
    done = push(exported, hub, "--no-dry-run")
    assert done.returncode == 1
    assert "HTTP 403: as the test wants it; nothing of it is in the repository" in done.stderr


def test_a_token_that_is_wrong_is_told_without_it(exported: Path, hub: Hub) -> None:
    done = push(exported, hub, "--no-dry-run", token="hf_anothersecret")
    assert done.returncode == 1 and "HTTP 401" in done.stderr
    assert "hf_anothersecret" not in done.stdout + done.stderr and not hub.repositories


def test_nobody_there(exported: Path, hub: Hub) -> None:
    nobody = Hub(TOKEN, endpoint="http://127.0.0.1:9")
    done = push(exported, nobody, "--no-dry-run")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "surgstream push: someone/encoder: expected the Hub to take it, got " in done.stderr


def test_what_everybody_reads_is_refused_unless_it_is_meant(exported: Path, hub: Hub) -> None:
    hub.repositories["someone/encoder"] = Repository(private=False)
    done = push(exported, hub, "--no-dry-run")
    assert done.returncode == 1 and "expected a private repository" in done.stderr
    assert not hub.repositories["someone/encoder"].files
    assert push(exported, hub, "--no-dry-run", "--public").returncode == 0


def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["push", str(folder), "someone/encoder"]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["frame.png", "clip.mp4", "test.npz", "audit.jsonl", ".env", "train.log"]
)
def test_files_that_no_export_has_are_not_sent(
    name: str, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / name).write_text("x")
    assert f"got {name} (of 1) as well" in refusal(exported, capsys)


def test_folders_and_links_are_not_followed(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "frames").mkdir()
    (exported / "notes.txt").symlink_to("/etc/hostname")
    assert "got frames, notes.txt (of 2) as well" in refusal(exported, capsys)


@pytest.mark.parametrize(
    "card",
    [
        "# No front matter\n", "---\nlicense: unknown\n---\n", "---\nlicense: other\n---\n", "---\nlicense: [a]\n---\n",
        "---\ntags: [x]\n---\n", "", "---\n",
    ],
)  # fmt: skip
def test_a_card_without_a_licence_is_not_sent(
    card: str, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "README.md").write_text(card)
    assert "--licence SPDX" in refusal(exported, capsys)


def test_a_card_that_cannot_be_read(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (exported / "README.md").write_text("---\nlicense: {\n---\n")
    assert "README.md:2: not valid YAML" in refusal(exported, capsys)
    (exported / "README.md").write_bytes(b"\xff\xfe")
    assert "expected a model card" in refusal(exported, capsys)


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_what_is_no_export_is_not_sent(
    name: str, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / name).unlink()
    assert "expected weights, README.md and config.json" in refusal(exported, capsys)
    assert "expected the folder of an export" in refusal(exported / "nowhere", capsys)


def test_what_a_reader_should_know_is_told(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exported / "README.md").write_text(CARD + "| task | contaminated: 3 of 40 |\n")
    (exported / "provenance.json").unlink()
    assert main(["push", str(exported), "someone/encoder"]) == 0
    out = capsys.readouterr().out
    assert "results that are contaminated" in out and "provenance.json is missing" in out


@pytest.mark.parametrize("word", ["encoder", "a/b/c", "/b", "a/", "a b/c", "https://hub/a"])
def test_a_repository_is_owner_and_name(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["push", "x", word])
    assert "expected OWNER/NAME" in capsys.readouterr().err
