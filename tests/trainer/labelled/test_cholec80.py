"""A task of Cholec80's size, in bounded memory: of a rank over a whole evaluation, and at its start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.labelled.cholec80 import NUM_HEADS, NUM_VIDEOS, SECONDS, kept_bytes, write

pytestmark = pytest.mark.slow


def test_a_rank_needs_less_than_two_gigabytes(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(folder, 1)
    out = tmp_path / "told.json"
    words = [sys.executable, "-m", "tests.trainer.labelled.cholec80", str(folder), str(out)]
    subprocess.run(words, cwd=Path(__file__).parents[3], check=True)
    told = json.loads(out.read_text())
    # Every labelled second is a clip.
    assert told["num_clips"] == [NUM_VIDEOS[split] * SECONDS[split] for split in SECONDS]
    assert told["most_bytes"] < 2e9
    # From a head that is always right to one that guesses.
    assert len(told["scores"]) == NUM_HEADS
    assert told["scores"][0] == 1 and told["scores"][-1] < 0.15


@pytest.mark.parametrize("balance", ["none", "classes"])
def test_memory_at_the_start_grows_with_videos_and_not_with_clips(
    tmp_path: Path, balance: str
) -> None:
    kept = []
    for factor in (0.125, 1):
        write(tmp_path / f"labels{factor}", factor)
        kept.append(kept_bytes(tmp_path / f"labels{factor}", factor, balance))
    assert kept[1] < 1.05 * kept[0]
