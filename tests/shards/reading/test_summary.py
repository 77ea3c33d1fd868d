"""The summary of a corpus, counted off what was packed."""

from pathlib import Path

import pytest

from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.subsets.summary import DatasetSummary, summarise
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack
from tests.helpers.handmade import LAYOUT, write_corpus
from tests.helpers.packing import write_corpus as describe_corpus
from tests.helpers.videos import make_video


def opened(folder: Path, **settings: object) -> FrameTable:
    return FrameTable.open(open_storage(str(folder)), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("fps", "apart"), [(None, 1), (2.5, 2)])
def test_videos_and_hours_are_those_that_are_shown(
    fps: float | None, apart: int, tmp_path: Path
) -> None:
    write_corpus(tmp_path)
    summary = summarise(opened(tmp_path, fps=fps))
    for dataset in summary.datasets:
        videos = set()
        seconds = 0.0
        for shard in LAYOUT[dataset.name]:
            for video, parts in shard.items():
                for first, count in parts:
                    shown = [frame for frame in range(first, first + count) if frame % apart == 0]
                    seconds += len(shown) * apart / 5.0
                    videos |= {video} if shown else set()
        assert dataset.videos == len(videos)
        assert dataset.hours == pytest.approx(seconds / 3600)
        assert dataset.specialty == f"{dataset.name} surgery"
    assert summary.videos == sum(dataset.videos for dataset in summary.datasets)
    assert [dataset.name for dataset in summary.datasets] == ["cataract", "knee"]


def test_stills_have_no_hours(tmp_path: Path) -> None:
    write_corpus(tmp_path, stills=["knee"])
    cataract, knee = summarise(opened(tmp_path)).datasets
    assert (knee.videos, knee.hours) == (1, 0.0) and cataract.hours > 0


def test_of_some_datasets_these_alone(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    assert [each.name for each in summarise(opened(tmp_path, datasets=["knee"])).datasets] == [
        "knee"
    ]


def test_a_licence_that_cannot_be_read_is_none_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_corpus(tmp_path)  # whose samples have no checksum
    assert {each.licence for each in summarise(opened(tmp_path)).datasets} == {None}
    assert "the licence of knee cannot be told: " in caplog.text

    for content in (bytes(10240), b"\xff" * 10240):
        (tmp_path / "knee" / "knee-000000.tar").write_bytes(content)
        summarise(opened(tmp_path, check=False))
    assert "expected the description of a segment; run `surgstream verify`" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("licence", ["CC-BY-4.0", None])
def test_a_licence_is_that_which_was_packed(licence: str | None, tmp_path: Path) -> None:
    make_video(tmp_path / "v.mp4", 50)
    corpus = describe_corpus(tmp_path, {"name": "d", "videos": "*.mp4", "licence": licence}, fps=5)
    assert pack([corpus, str(tmp_path / "out")]) == 0
    (found,) = summarise(opened(tmp_path / "out")).datasets
    assert found == DatasetSummary(
        name="d",
        specialty=found.specialty,
        videos=1,
        hours=pytest.approx(2 / 3600),
        licence=licence,
    )
