"""The code of a run: the commit of a real checkout, and a digest that tells any change."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.provenance.code import digest_of_rooms

ROOT = Path(__file__).parents[3]

PROGRAM = """\
import json, sys
from surgstream.trainer.provenance.code import describe_code
print(json.dumps(describe_code()))
"""


def describe(place: Path, **environment: str) -> dict[str, object]:
    """What the code of a folder says of itself, in a process of its own."""
    import json

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(place)} | environment,
        capture_output=True,
        check=True,
        cwd="/",
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the little of the package that describes its code."""
    root = tmp_path / "checkout"
    (root / "src" / "surgstream").mkdir(parents=True)
    (root / "src" / "surgstream" / "__init__.py").write_text("")
    for room in ("configs", "launch", "shards", "trainer"):
        (root / room).mkdir()
        (root / room / "__init__.py").write_text("")
        (root / "src" / "surgstream" / room).symlink_to(f"../../{room}")
    (root / "trainer" / "provenance").mkdir()
    for name in ("__init__.py", "code.py"):
        shutil.copy(ROOT / "trainer" / "provenance" / name, root / "trainer" / "provenance")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "x")
    return root


def git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(checkout: Path) -> None:
    clean = describe(checkout / "src")
    assert clean["commit"] == git(checkout, "rev-parse", "HEAD") and clean["changed"] is False

    (checkout / "shards" / "__init__.py").write_text("x = 1\n")
    changed = describe(checkout / "src")
    assert changed["commit"] == clean["commit"] and changed["changed"] is True
    assert changed["sha256"] != clean["sha256"]


def test_variables_of_another_repository_say_nothing(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "clone", "-q", str(checkout), str(tmp_path / "other"))
    found = describe(checkout / "src", GIT_DIR=str(tmp_path / "nowhere"))
    assert found["commit"] == git(checkout, "rev-parse", "HEAD")


def test_what_is_installed_inside_of_another_repository_is_no_checkout(
    checkout: Path, tmp_path: Path
) -> None:
    site = checkout / "venv" / "surgstream"
    shutil.copytree(checkout / "src" / "surgstream", site)
    found = describe(site.parent)
    assert found["commit"] is None and found["changed"] is None
    assert found["sha256"] == describe(checkout / "src")["sha256"], "the same code is the same"


def test_without_git_a_checkout_is_told_by_its_files(checkout: Path) -> None:
    found = describe(checkout / "src", PATH="/nowhere")
    assert found["commit"] is None and found["changed"] is None
    assert found["sha256"] == describe(checkout / "src")["sha256"]


@given(
    files=st.dictionaries(
        st.sampled_from(["a.py", "b.py", "c/d.yaml"]), st.binary(max_size=4), min_size=1
    ),
    name=st.sampled_from(["a.py", "b.py", "c/d.yaml", "e.py"]),
    content=st.binary(max_size=4),
)
def test_the_digest_tells_names_and_contents(
    files: dict[str, bytes], name: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def digest(files: dict[str, bytes]) -> str:
        room = tmp_path_factory.mktemp("x") / "room"
        for path, data in files.items():
            (room / path).parent.mkdir(parents=True, exist_ok=True)
            (room / path).write_bytes(data)
        (room / "note.txt").write_text(str(room))
        return digest_of_rooms([room])

    other = files | {name: content}
    assert (digest(files) == digest(other)) == (files == other)
