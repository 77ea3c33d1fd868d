"""A synthetic corpus, packed by the commands a user would call, once for all tests."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from launch.__main__ import main

PACKING = ["fps=5", "short_side=72", "workers=2", "segment_frames=8"]


@dataclass(frozen=True)
class Corpora:
    """Folders of the packed training corpus, of the held-out one, and of the videos."""

    train: Path
    held_out: Path
    videos: Path


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    root = tmp_path_factory.mktemp("corpora")
    found = Corpora(train=root / "train", held_out=root / "held_out", videos=root / "videos")
    assert main(["synth", str(found.videos), "--seconds", "4"]) == 0
    corpus = str(found.videos / "corpus.yaml")
    assert main(["pack", corpus, str(found.train), *PACKING]) == 0
    assert main(["pack", corpus, str(found.held_out), *PACKING, "split=held_out"]) == 0
    return found
