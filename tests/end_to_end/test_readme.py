"""README's Python is run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.conftest import Corpora

ROOT = Path(__file__).parents[2]


def test_the_example_gives_what_it_says(corpora: Corpora, tmp_path: Path) -> None:
    code = example(ROOT / "README.md")
    assert code == example(ROOT / "docs" / "python.md")
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


def example(page: Path) -> str:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "open_corpus" in block)
    return code


def run(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
