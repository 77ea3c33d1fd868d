"""Packed labels, against the files that they were packed from."""

from pathlib import Path

import numpy as np
import pytest

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main
from surgstream.shards.errors import LabelError
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.shards.labels.files import LabelFiles
from surgstream.shards.labels.packed import PackedLabels
from surgstream.shards.labels.values import LabelValues
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import Stores, open_storage
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video

PHASES = LabelValues(kind="class", classes=("rest", "cut", "end"))
CONFIG = LabelFilesConfig(files="labels/{video}.csv", column="phase", unlabelled=("", "gap"))
TEXTS = {
    "a": "second,phase\n0.5,rest\n1.3,cut\n2,gap\n3,end\n",
    "b": "second,phase\n0,cut\n2.2,rest\n",
    "c": "second,phase\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of four seconds at five frames a second, in several shards."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "labels").mkdir()
    for video, text in TEXTS.items():
        make_video(folder / "videos" / f"{video}.mp4", 100)
        (folder / "labels" / f"{video}.csv").write_text(text)
    dataset = {"name": "one", "videos": "videos/*", "labels": {"phase": CONFIG.files}}
    corpus = write_corpus(folder, dataset, fps=5, segment_frames=3, shard_bytes=1000, workers=1)
    assert main(["pack", corpus, str(folder / "packed")]) == 0
    return folder


def packed(folder: Path, values: LabelValues = PHASES, fps: float | None = None) -> PackedLabels:
    table = FrameTable.open(open_storage(str(folder / "packed")), fps=fps)
    return PackedLabels(CONFIG, values, table, "one")


@pytest.mark.parametrize(("fps", "frames"), [(None, 20), (1.0, 4)])
def test_packed_frames_have_the_labels_of_the_files(
    folder: Path, fps: float | None, frames: int
) -> None:
    files = LabelFiles(CONFIG, PHASES, str(folder), Stores())
    seconds = np.arange(frames) / (frames / 4)
    labels = packed(folder, fps=fps)
    for video in TEXTS:
        expected = files.at(video, seconds, 4 / frames)
        rows = labels.rows(video)
        assert rows.seconds.tolist() == seconds[expected.labelled].tolist()
        assert rows.truth.tolist() == expected.truth[expected.labelled].tolist()

        found = labels.at(video, seconds, 4 / frames)
        assert found.labelled.tolist() == expected.labelled.tolist()
        assert found.truth.tolist() == expected.truth.tolist()


def test_the_digest_is_the_corpus_s(folder: Path) -> None:
    table = FrameTable.open(open_storage(str(folder / "packed")))
    assert packed(folder).sha256 == table.sha256


def test_a_video_that_is_not_packed_and_an_unknown_label_are_told(folder: Path) -> None:
    with pytest.raises(LabelError, match="one: expected the video 'z', got none of this id"):
        packed(folder).rows("z")

    values = LabelValues(kind="class", classes=("rest", "cut", "ends"))
    message = "one: a, second 3: expected a class of the task, got 'end'; did you mean 'ends'"
    with pytest.raises(LabelError, match=message):
        packed(folder, values).rows("a")


def test_a_dataset_that_is_not_packed_is_told(folder: Path) -> None:
    table = FrameTable.open(open_storage(str(folder / "packed")))
    with pytest.raises(ConfigError, match=r"expected the dataset 'on', got none .* 'one'"):
        PackedLabels(CONFIG, PHASES, table, "on")


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (LabelFilesConfig(files="{video}.csv", column="phase", at="instant"), "instants"),
        (LabelFilesConfig(files="videos.csv", column="phase"), "videos"),
    ],
)
def test_labels_that_do_not_hold_until_the_next_are_not_packed(
    folder: Path, config: LabelFilesConfig, what: str
) -> None:
    table = FrameTable.open(open_storage(str(folder / "packed")))
    with pytest.raises(ConfigError, match=f"expected files for labels of {what}"):
        PackedLabels(config, PHASES, table, "one")
