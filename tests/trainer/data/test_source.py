"""The effect of a configuration on training and held-out clips."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from surgstream.configs.loading import load
from surgstream.trainer.assembly import clip_source, held_out_clips, open_corpus, periodic_tasks
from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.augment import ClipTransform, view_windows
from surgstream.trainer.data.augmentation.config import CropConfig
from surgstream.trainer.data.augmentation.windows import multi_scale_crop
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.resume import order_from
from tests.helpers.handmade import jpeg, write_corpus

pytestmark = pytest.mark.usefixtures("alone")

CROP = CropConfig(scales=(0.5, 0.25), max_distortion=0)
SEED, STRIDE, NUM_FRAMES = 3, 5, 4
SIZES = np.tile([[64, 48]], (2, 1))


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Micro-batches of 2, 2 of them a step on each of 2 ranks."""
    write_corpus(tmp_path / "train", {"knee": [{"a": [(0, 70)]}], "hip": [{"b": [(0, 10)]}]})
    write_corpus(tmp_path / "held_out", {"knee": [{"c": [(0, 8)]}], "hip": [{"d": [(0, 1)]}]})
    return load(
        TrainConfig,
        Path(__file__).parents[3] / "configs" / "pretrain" / "surgvista_tiny.yaml",
        [
            f"seed={SEED}", "global_batch_size=8", "micro_batch_size=2", f"data.stride={STRIDE}",
            "data.augment.crop={scales: [0.5, 0.25], max_distortion: 0}", "data.order.weights=balanced",
            "data.stall_warning_seconds=7", "data.read.prefetch_steps=5", f"data.corpus={tmp_path / 'train'}",
            f"held_out={{corpus: {tmp_path / 'held_out'}, clips: 5, every_steps: 30}}",
        ],
    )  # fmt: skip


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Replaces decoding: a clip's pixels are the lengths of its frames, and its windows are kept here."""
    seen: list[np.ndarray] = []

    class Decoder:
        def __init__(self, _: object, **sizes: object) -> None:
            assert sizes == {
                "max_clips": 2,
                "num_frames": 4,
                "image_size": 64,
                "device": torch.device("cpu"),
                "gpu_decodes": False,
            }

        def decode(
            self, frames: list[np.ndarray], transform: ClipTransform, _: np.ndarray
        ) -> torch.Tensor:
            seen.append(transform.windows)
            return torch.tensor([frame.size for frame in frames]).view(2, NUM_FRAMES)

    monkeypatch.setattr("surgstream.trainer.data.source.ClipDecoder", Decoder)
    return seen


def by_draw(ranks: list[list[ClipBatch]]) -> list[int]:
    batches = itertools.chain.from_iterable(ranks)
    return sorted(itertools.chain.from_iterable(batch.draws.tolist() for batch in batches))


def lengths(batch: ClipBatch, stride: int) -> list[list[int]]:
    """The lengths of the frames of a batch's clips, which identify them."""
    return [clip_lengths(name, stride) for name in batch.names]


def clip_lengths(name: ClipName, stride: int) -> list[int]:
    earliest = name.anchor_frame % stride
    first = name.anchor_frame - (NUM_FRAMES - 1) * stride
    frames = [max(earliest, first + t * stride) for t in range(NUM_FRAMES)]
    return [len(jpeg(name.dataset, name.video, frame)) for frame in frames]


def test_training_clips_have_the_stride_and_crop_of_the_configuration(
    config: TrainConfig, windows: list[np.ndarray]
) -> None:
    corpus = open_corpus(config.data.corpus, config.data)
    order = order_from(Progress(step=0, clips_seen=0, state={}), config, corpus)

    ranks = []
    for rank in (0, 1):
        source = clip_source(config, RankInfo(rank=rank, world_size=2), corpus, config.data.augment)
        windows.clear()
        with source.open(order, global_batch_size=8, start=16) as loader:
            assert loader._stall_warning_seconds == 7 and loader.stream._prefetch_steps == 5
            batches = list(itertools.islice(loader, 4))

        for batch, window in zip(batches, windows, strict=False):
            assert batch.clips.tolist() == lengths(batch, STRIDE)
            np.testing.assert_array_equal(window, multi_scale_crop(CROP, SEED, batch.draws, SIZES))
        ranks.append(batches)

    assert by_draw(ranks) == list(range(16, 32))
    names = itertools.chain.from_iterable(batch.names for batch in itertools.chain(*ranks))
    assert [name.dataset for name in names].count("hip") == 8, "balanced"


def test_held_out_clips_are_centre_squares_each_once_over_all_ranks_alike_each_time(
    config: TrainConfig, windows: list[np.ndarray]
) -> None:
    assert config.held_out
    nothing: Any = SimpleNamespace(against_collapse="")
    ranks = []
    for rank in (0, 1):
        rank_info = RankInfo(rank=rank, world_size=2)
        source = held_out_clips(config, config.held_out, rank_info)
        loss, _, pictures = periodic_tasks(config, rank_info, nothing, nothing, source)
        opened: Any = loss.run
        drawn: Any = pictures.run
        assert loss.every_steps == 30
        with opened.open_clips() as first, opened.open_clips() as again:
            batches, repeated = list(first), list(again)
        assert [batch.names for batch in batches] == [batch.names for batch in repeated]
        assert all(batch.clips.tolist() == lengths(batch, STRIDE) for batch in batches)
        assert [len(batch.draws) for batch in batches] == [2, 2]
        with drawn.open_clips() as shown:
            names = [str(name) for batch in shown for name in batch.without_padding().names]
            assert names == ["knee/c@0", "knee/c@3", "knee/c@6"], "every rank has them all"
        ranks.append(batches)

    valid = [[batch.draws[batch.valid].tolist() for batch in batches] for batches in ranks]
    assert valid == [[[0, 2], [4]], [[6, 8], []]], (
        "5 of 9 clips, filled up to 2 batches on each of 2 ranks"
    )
    for window in windows:
        np.testing.assert_array_equal(window, view_windows("centre", SIZES))


@pytest.mark.parametrize(
    "state", [{}, {"order": None}, {"order": 3}, {"order": "x", "manifest": 4}]
)
def test_a_forged_state_is_told_in_a_sentence(
    config: TrainConfig, state: dict[str, object]
) -> None:
    corpus = open_corpus(config.data.corpus, config.data)
    with pytest.raises(
        CheckpointError,
        match=r"checkpoint of step 4: state\.json: order: expected what a run saves",
    ):
        order_from(Progress(step=4, clips_seen=32, state={"format": 2, **state}), config, corpus)
    sound = order_from(Progress(step=0, clips_seen=0, state={}), config, corpus).to_json()
    for manifest in ({}, {"manifest": None}, {"manifest": ["x"]}):
        with pytest.raises(
            CheckpointError, match=r"state\.json: manifest: expected what a run saves there, got"
        ):
            order_from(
                Progress(step=4, clips_seen=32, state={"order": sound, **manifest}), config, corpus
            )
