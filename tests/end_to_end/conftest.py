"""A synthetic corpus, packed by the commands a user would call, once for all tests."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from surgstream.launch.__main__ import main

SYNTH = ["--seconds", "4", "--datasets", "larkspur,foxglove,speedwell,meander"]
"""Operations, which are packed. Nothing here looks at clips and exercises, which would take as long again."""

PACKING = ["fps=5", "short_side=72", "workers=2", "segment_frames=8"]


@dataclass(frozen=True)
class Corpora:
    """Folders of the packed training corpus, of the held-out one, and of the videos."""

    train: Path
    held_out: Path
    videos: Path


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    """Made by the first of the processes that the tests are spread over."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # which all of them have
    found = Corpora(train=root / "train", held_out=root / "held_out", videos=root / "videos")
    done = root / "corpora_are_made"
    with FileLock(root / "corpora.lock"):
        if not done.exists():
            make_corpora(found)
            done.touch()
    return found


def make_corpora(corpora: Corpora) -> None:
    """Make the videos, and pack both corpora."""
    assert main(["synth", str(corpora.videos), *SYNTH]) == 0
    corpus = str(corpora.videos / "corpus.yaml")
    assert main(["pack", corpus, str(corpora.train), *PACKING]) == 0
    assert main(["pack", corpus, str(corpora.held_out), *PACKING, "split=held_out"]) == 0
