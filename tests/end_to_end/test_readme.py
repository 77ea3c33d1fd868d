"""The Python of README and of its pages is run as it stands there."""

import io
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import surgstream
from tests.end_to_end.conftest import Corpora

ROOT = Path(__file__).parents[2]


def test_the_example_gives_what_it_says(corpora: Corpora, tmp_path: Path) -> None:
    code = example(ROOT / "README.md", "open_corpus")
    assert code == example(ROOT / "docs" / "python.md", "open_corpus")
    assert len([line for line in code.splitlines() if line]) == 7
    demo = tmp_path / "demo"
    demo.mkdir()
    (demo / "shards").symlink_to(corpora.train)
    (demo / "videos").symlink_to(corpora.videos)
    words = ["surgvista_tiny", "run_dir=demo/run", "held_out=null", "max_steps=1"]
    run([sys.executable, "-m", "surgstream", "pretrain", *words], tmp_path)

    printed = run([sys.executable, "-c", code], tmp_path)
    shape = re.escape("torch.Size([8, 3, 4, 64, 64])")
    assert re.fullmatch(rf"{shape} \w+/\w+@\d+ \(\d+, 128\)\n", printed)


def test_a_frame_is_read_as_the_formats_say(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "shards").symlink_to(corpora.train)
    monkeypatch.chdir(tmp_path)

    found: dict[str, Any] = {}
    exec(example(ROOT / "docs" / "formats.md", "offset"), found)
    assert zlib.crc32(found["jpeg"]) == found["frame"]["crc32"]
    dataset, video = found["shard"]["dataset"], found["video"]
    number = video["parts"][0]["first_frame"] + 3
    read = surgstream.open_corpus("demo/shards").frame(dataset, video["id"], number)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found["jpeg"]))), np.asarray(read))


def example(page: Path, word: str) -> str:
    """The one example of a page that has the word."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if word in block)
    return code


def run(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
