"""Some datasets of a corpus: in all that a run sees they are a corpus that has no others."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.errors import ManifestError
from surgstream.shards.format.rates import RateError, check_rates_at_hand
from surgstream.shards.order.mixture import Weights
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import LAYOUT, Layout, write_corpus
from tests.helpers.streams import clip_stream

THREE: Layout = {**LAYOUT, "hip": [{"b": [(0, 23)]}, {"c": [(2, 8), (20, 4)]}]}


def opened(
    folder: Path, datasets: list[str] | None = None, *, fps: float | None = None, check: bool = True
) -> FrameTable:
    return FrameTable.open(open_storage(str(folder)), fps=fps, check=check, datasets=datasets)


def written(folder: Path, *datasets: str) -> Path:
    """A corpus that has these datasets alone."""
    folder.mkdir(exist_ok=True)
    write_corpus(folder, {name: THREE[name] for name in datasets})
    return folder


def read(table: FrameTable, weights: Weights) -> list[tuple[int, str, str, int, list[bytes]]]:
    order = Order.create(
        table.sizes(), 5, OrderConfig(weights=weights, open_chunks=6, chunk_frames=3)
    )
    with clip_stream(
        table, order, num_frames=4, stride=2, global_batch_size=12, micro_batch_size=3, stop=240
    ) as batches:
        return [
            (
                clip.draw,
                clip.dataset,
                clip.video,
                clip.anchor_frame,
                [bytes(f) for f in clip.frames],
            )
            for batch in batches
            for clip in batch
        ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("whole"), *THREE)


CHOICES = (["hip"], ["knee", "cataract"], ["hip", "knee"], [*THREE])
Pair = tuple[FrameTable, FrameTable]
"""Datasets of a corpus, and a corpus of these alone."""


@pytest.mark.parametrize("weights", ["uniform", "balanced"])
@pytest.mark.parametrize("datasets", CHOICES, ids=" ".join)
def test_clips_are_those_of_a_corpus_without_the_others(
    datasets: list[str], weights: Weights, whole: Path, tmp_path: Path
) -> None:
    part = opened(whole, datasets)
    alone = opened(written(tmp_path / "alone", *datasets))
    assert part.sizes() == alone.sizes()
    found = read(part, weights)
    assert found == read(alone, weights)
    assert {clip[1] for clip in found} == set(datasets)


@pytest.fixture(scope="module")
def pairs(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    folders = [written(tmp_path_factory.mktemp("alone"), *datasets) for datasets in CHOICES]
    return [
        (opened(whole, datasets), opened(folder))
        for datasets, folder in zip(CHOICES, folders, strict=True)
    ]


@given(st.data())
def test_all_that_a_table_tells_is_that_of_a_corpus_without_the_others(
    pairs: list[Pair], data: st.DataObject
) -> None:
    part, alone = data.draw(st.sampled_from(pairs))
    name = data.draw(st.sampled_from([size.name for size in part.sizes()]))
    num_clips = next(size.num_clips for size in part.sizes() if size.name == name)
    start = data.draw(st.integers(0, num_clips - 1))
    stop = data.draw(st.integers(start + 1, num_clips))

    assert [*part.rows(name, start, stop)] == [*alone.rows(name, start, stop)]
    assert part.spans(name, start, stop - start, 6) == alone.spans(name, start, stop - start, 6)
    assert part.locate(name, start) == alone.locate(name, start)
    assert part.video_frame(name, start) == alone.video_frame(name, start)
    assert part.picture_sizes(name, start, stop) == alone.picture_sizes(name, start, stop)
    assert part.mean_clip_bytes(name) == alone.mean_clip_bytes(name)
    assert [*part.parts(name)] == [*alone.parts(name)]
    assert part.clips_cut_short(name, 6) == alone.clips_cut_short(name, 6)


def test_a_part_has_an_identity_of_its_own_and_all_is_the_whole(whole: Path) -> None:
    names = [["hip"], ["knee"], ["hip", "knee"], ["cataract", "hip"]]
    identities = [opened(whole, datasets).sha256 for datasets in (None, *names)]
    assert len(set(identities)) == 5
    assert opened(whole, ["knee", "hip"]).sha256 == opened(whole, ["hip", "knee"]).sha256
    assert opened(whole, [*THREE]).sha256 == opened(whole).sha256


def test_a_part_of_another_corpus_is_another_part(whole: Path, tmp_path: Path) -> None:
    other = written(tmp_path, "knee", "hip")
    assert opened(whole, ["knee"]).sha256 != opened(other, ["knee"]).sha256


def test_a_name_that_no_dataset_has_is_told(whole: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"{whole}: data.datasets: expected some of its datasets cataract, hip, knee, got 'kne'; "
        "did you mean 'knee'",
    ):
        opened(whole, ["hip", "kne"])


def test_what_is_left_out_may_be_missing(tmp_path: Path) -> None:
    written(tmp_path, *THREE)
    for path in (tmp_path / "hip").iterdir():
        path.unlink()
    opened(tmp_path, ["knee", "cataract"])
    with pytest.raises(ManifestError, match=r"hip/hip-000000.tar: .* it is missing"):
        opened(tmp_path, ["knee", "hip"])


def test_what_is_left_out_may_be_of_any_rate(tmp_path: Path) -> None:
    videos = {"v0": 3.0, "v1": 3.0, "v2": 3.0, "v3": 3.0, "a": 4.0}
    write_corpus(tmp_path, fps=videos)
    assert opened(tmp_path, ["knee"], fps=2.0).frames_apart("knee") == [2]
    check_rates_at_hand([str(tmp_path)], 2.0, {str(tmp_path): ["knee"]})
    for datasets in (None, ["cataract"], ["knee", "cataract"]):
        with pytest.raises(RateError, match="cataract: v0"):
            opened(tmp_path, datasets, fps=2.0)
        parts = {} if datasets is None else {str(tmp_path): datasets}
        with pytest.raises(RateError, match="cataract: v0"):
            check_rates_at_hand([str(tmp_path)], 2.0, parts)
