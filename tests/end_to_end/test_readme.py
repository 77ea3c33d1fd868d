"""README's Python is run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.conftest import Corpora

README = Path(__file__).parents[2] / "README.md"


def test_the_example_gives_the_batch_that_it_says(corpora: Corpora, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "clip_source" in block)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "shards").symlink_to(corpora.train)

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(r"torch\.Size\(\[8, 3, 4, 64, 64\]\) \w+/\w+@\d+\n", run.stdout)
