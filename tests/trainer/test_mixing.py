"""What a run says of its order before the first step."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.configs.loading import load
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.subsets.anchors import Anchors
from surgstream.shards.reading.subsets.subset import Subset
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.estimates import cut_short_share, repeated_share
from surgstream.trainer.mixing import corpus_warnings, report_mixing
from surgstream.trainer.objectives.config import SupervisedConfig
from tests.helpers.handmade import LAYOUT, write_corpus

NEW = Progress(step=0, clips_seen=0, state={})


@pytest.fixture
def corpus(tmp_path: Path) -> FrameTable:
    write_corpus(tmp_path)
    return FrameTable.open(open_storage(str(tmp_path)))


def config_of(*overrides: str) -> TrainConfig:
    recipe = Path(__file__).parents[2] / "configs" / "pretrain" / "surgvista_tiny.yaml"
    return load(
        TrainConfig, recipe, ["global_batch_size=16", "data.order.open_chunks=16", *overrides]
    )


def told(
    corpus: FrameTable,
    config: TrainConfig,
    caplog: pytest.LogCaptureFixture,
    progress: Progress = NEW,
    last: int = 100,
) -> list[tuple[int, str]]:
    caplog.set_level(logging.INFO)
    order = Order.create(corpus.sizes(), 0, config.data.order)
    report_mixing(order, config, corpus, progress, last)
    return [(record.levelno, record.message) for record in caplog.records]


@pytest.mark.parametrize("back", [0, 1, 5, 15, 39, 60])
def test_clips_that_begin_before_their_part(corpus: FrameTable, back: int) -> None:
    for name in LAYOUT:
        share = cut_short_share(corpus, name, back)
        parts = [count for shard in LAYOUT[name] for spans in shard.values() for _, count in spans]
        anchors = [anchor for count in parts for anchor in range(count)]
        assert share == pytest.approx(sum(anchor - back < 0 for anchor in anchors) / len(anchors))


def test_how_often_clips_are_seen_is_of_the_run(
    corpus: FrameTable, caplog: pytest.LogCaptureFixture
) -> None:
    lines = told(corpus, config_of(), caplog)
    assert lines[0][1].startswith("cataract (cataract")
    total = sum(size.num_clips for size in corpus.sizes())
    assert f"each clip {1600 / total:.3g} times in this run of 1600 draws; " in lines[0][1]


def test_a_run_that_goes_on_with_another_batch_counts_all_it_draws(
    corpus: FrameTable, caplog: pytest.LogCaptureFixture
) -> None:
    lines = told(corpus, config_of(), caplog, Progress(step=40, clips_seen=320, state={}))
    assert f"in this run of {320 + 60 * 16} draws" in lines[0][1]


@pytest.mark.parametrize(
    ("overrides", "level", "expected"),
    [
        (
            ["data.order.open_chunks=2", "data.order.chunk_frames=4"],
            logging.WARNING,
            "data.order.open_chunks >= global_batch_size",
        ),
        (
            ["data.order.chunk_frames=64"],
            logging.INFO,
            "all that this corpus has at data.order.chunk_frames=64",
        ),
        (["data.order.chunk_frames=4"], None, ""),
    ],
)
def test_few_lanes_are_a_warning_only_where_more_can_be_had(
    corpus: FrameTable,
    caplog: pytest.LogCaptureFixture,
    overrides: list[str],
    level: int | None,
    expected: str,
) -> None:
    found = [
        (at, line)
        for at, line in told(corpus, config_of(*overrides), caplog)
        if " lanes for batches of " in line
    ]
    assert [at for at, _ in found] == ([level] if level else [])
    assert all(expected in line for _, line in found)


def test_clips_that_repeat_a_frame_are_warned_of(
    corpus: FrameTable, caplog: pytest.LogCaptureFixture
) -> None:
    """Clips of 64 frames of videos of a few seconds show their first frame over and over."""
    lines = told(corpus, config_of("objective.encoder.num_frames=64"), caplog)
    warned = [
        line
        for level, line in lines
        if level == logging.WARNING and "frames that its clips show" in line
    ]
    assert [line.split(":")[0] for line in warned] == ["cataract", "knee"]
    assert (
        "knee: 91 % of the frames that its clips show are a clip's earliest one again" in warned[1]
    )
    assert "since clips look back 63 frames, 12.6 s" in warned[1] and "min_seconds" in warned[1]
    caplog.clear()
    lines = told(corpus, config_of("objective.encoder.num_frames=2"), caplog)
    assert not any("frames that its clips show" in line for _, line in lines)


@pytest.mark.parametrize("stills", [(), ("photos",)])
def test_stills_repeat_their_one_picture_without_a_warning(
    stills: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = {f"p{number}": [(0, 1)] for number in range(40)}
    write_corpus(tmp_path, {"knee": [{"a": [(0, 400)]}], "photos": [photos]}, stills=stills)
    table = FrameTable.open(open_storage(str(tmp_path)), fps=1.0)
    config = config_of("objective.encoder.num_frames=16", "data.fps=1")
    lines = [line for _, line in told(table, config, caplog)]

    repeated = [line for line in lines if "frames that its clips show" in line]
    assert [line.split(":")[0] for line in repeated] == ([] if stills else ["photos"])
    begin_before = 0 if stills else 100
    assert f"; {begin_before} % of them would begin before" in lines[1]

    denser = "knee" if stills else "knee, photos"
    assert any(line.startswith(f"{denser}: one in 5 packed frames is shown") for line in lines)


def test_of_a_subset_the_clips_that_are_drawn_count(
    corpus: FrameTable, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a video of 40 frames, the anchors 9, 19, 29 and 39; clips look back three strides of ten frames."""
    anchors = Anchors(frames={"cataract": {"v0": [9, 19, 29, 39]}}, stride=10)
    subset = Subset(corpus, {"cataract": ["v0"]}, anchors)
    assert cut_short_share(subset, "cataract", 3) == 0.75
    assert repeated_share(subset, "cataract", num_frames=4, stride=1) == (3 + 2 + 1) / 16

    config = config_of("objective.encoder.num_frames=4", "data.stride=1")
    caplog.set_level(logging.INFO)
    report_mixing(Order.create(subset.sizes(), 0, config.data.order), config, subset, NEW, 100)
    assert "4 clips" in caplog.text and "75 % of them would begin before their part" in caplog.text
    assert "38 % of the frames that its clips show are a clip's earliest one again" in caplog.text


def test_a_task_s_clips_are_told_to_have_a_smaller_stride(corpus: FrameTable) -> None:
    subset = Subset(corpus, {"cataract": ["v0"]}, Anchors(frames="last", stride=30))
    config = config_of("objective.encoder.num_frames=4", "data.stride=1")
    task = replace(
        config, task="a_task", objective=SupervisedConfig(encoder=config.objective.encoder)
    )
    (warning,) = corpus_warnings(task, subset)
    assert warning.startswith("cataract: 50 % of the frames that its clips show")
    assert warning.endswith("lower clips.stride or encoder.num_frames")
