"""A corpus in a notebook: what is in it, one frame of it, and that looking at it takes no torch."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import surgstream
from surgstream.configs.errors import ConfigError
from tests.helpers.labelled import LENGTHS, picture, write_labelled

PROGRAM = """
import sys
import surgstream

corpus = surgstream.open_corpus(sys.argv[1])
corpus.frame("knee", "v3", 5)
print(corpus, "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards, _ = write_labelled(tmp_path_factory.mktemp("corpus"))
    return shards


def test_it_tells_what_is_in_it(shards: Path) -> None:
    corpus = surgstream.open_corpus(str(shards))
    assert [dataset.name for dataset in corpus.datasets] == ["knee", "other"]
    assert corpus.videos("knee") == [f"v{i}" for i in range(8)]
    assert "2 datasets, 9 videos, 0.0" in repr(corpus)

    alone = surgstream.open_corpus(shards, datasets=["other"])
    assert [dataset.name for dataset in alone.datasets] == ["other"]


def test_a_frame_is_the_packed_one(shards: Path) -> None:
    corpus = surgstream.open_corpus(str(shards))
    for number in (0, 7, LENGTHS[3] - 1):
        expected = Image.open(io.BytesIO(picture("knee", "v3", number))).convert("RGB")
        assert np.array_equal(corpus.frame("knee", "v3", number), expected)


def test_names_that_are_not_there_are_told(shards: Path) -> None:
    corpus = surgstream.open_corpus(str(shards))
    with pytest.raises(ConfigError, match="no dataset has the name 'kne'; did you mean 'knee'"):
        corpus.videos("kne")
    with pytest.raises(ConfigError, match="knee has no video 'v33'"):
        corpus.frame("knee", "v33", 0)
    # The third video has a hole
    with pytest.raises(
        ConfigError, match="knee/v2: expected a frame from 0 to 20 that was packed, got 10"
    ):
        corpus.frame("knee", "v2", 10)


def test_looking_at_it_takes_no_torch(shards: Path) -> None:
    program = PROGRAM.replace("\n    ", "\n")
    words = [sys.executable, "-c", program, str(shards)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("False\n")


def test_what_is_offered_is_there_and_nothing_else() -> None:
    for name in surgstream.__all__:
        assert getattr(surgstream, name).__doc__
        assert name in dir(surgstream)
    with pytest.raises(AttributeError, match="no attribute 'open_copus'"):
        _ = surgstream.open_copus  # type: ignore[attr-defined]
