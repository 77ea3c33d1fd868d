"""Classes that are drawn alike: the clips of each as a dataset, through the exact order to the bytes."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.index import ROW
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.cache import ChunkCache
from surgstream.shards.reading.clips import BadClip, ClipBytes
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import SizedTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.batch import ClipName
from surgstream.trainer.config import load_recipe
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.labelled.clips import SplitClips
from surgstream.trainer.resume import order_from
from tests.helpers.handmade import jpeg, write_corpus
from tests.helpers.streams import clip_stream
from tests.trainer.labelled.made_up import (
    CLASSES,
    DATASET,
    Rows,
    names_of,
    phases,
    task_clips,
    task_config,
)
from tests.trainer.labelled.test_clips import tasks

NUM_FRAMES = 4
ORDER = OrderConfig(open_chunks=8, chunk_frames=3)

# Of 23 clips one is of the first class, 14 of the second, 8 of the third and none of the fourth.
LABELS: dict[str, Rows] = {
    "a": {float(s): 0 if s == 3 else 1 for s in range(12)},
    "b": {float(s): 1 if s < 3 else 2 for s in range(11)},
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path, {DATASET: [{"a": [(0, 60)]}, {"b": [(0, 55)]}]})
    return tmp_path


def split_of(corpus: Path, labels: dict[str, Rows] = LABELS, **settings_: Any) -> SplitClips:
    table = FrameTable.open(open_storage(str(corpus)))
    config = task_config({"train": ["a", "b"], "test": ["c"]}, num_frames=NUM_FRAMES, stride=2)
    return task_clips(config, table, labels, balance="classes", **settings_).split("train")


def drawn(
    table: SizedTable, order: Order, world_size: int = 1, steps: int = 30, **more: Any
) -> tuple[list[Counter[ClipName]], list[ClipBytes], list[BadClip]]:
    """The clips of each step of 12, over all ranks; all clips as bytes; and the damaged ones."""
    found: list[Counter[ClipName]] = [Counter() for _ in range(steps)]
    clips, bad = [], []
    for rank in range(world_size):
        with clip_stream(
            table,
            order,
            num_frames=NUM_FRAMES,
            stride=1,
            global_batch_size=12,
            micro_batch_size=2,
            rank=rank,
            world_size=world_size,
            stop=12 * steps,
            **more,
        ) as batches:
            for number, batch in enumerate(batches):
                found[number // (6 // world_size)].update(
                    ClipName(clip.dataset, clip.video, clip.anchor_frame) for clip in batch
                )
                clips += batch
            bad += batches.bad_clips
    return found, clips, bad


def order_of(split: SplitClips) -> Order:
    return Order.create(split.training_table.sizes(), 5, split.training_order(ORDER))


def test_every_class_is_drawn_as_often(corpus: Path) -> None:
    split = split_of(corpus)
    steps, clips, _ = drawn(split.training_table, order_of(split))
    for step in steps:
        by_class = Counter[str]()
        for name, times in step.items():
            by_class[name.dataset] += times
        assert by_class == dict.fromkeys([f"{DATASET}/{name}" for name in CLASSES[:3]], 4)

    # What is true of a clip is the class that it was drawn as, and its frames are its own.
    names = [ClipName(clip.dataset, clip.video, clip.anchor_frame) for clip in clips]
    told = [CLASSES[number] for number in split.truth(names)]
    assert told == [name.dataset.partition("/")[2] for name in names]
    for clip in clips:
        numbers = [max(0, clip.anchor_frame - 2 * back) for back in (3, 2, 1, 0)]
        earliest = clip.anchor_frame % 2
        expected = [jpeg(DATASET, clip.video, max(number, earliest)) for number in numbers]
        assert [bytes(frame) for frame in clip.frames] == expected


def test_every_clip_of_a_class_is_drawn_as_often(corpus: Path) -> None:
    split = split_of(corpus)
    # 14 clips of a class, 4 draws of it a step: 14 steps are 4 of its epochs, 7 of that of 8 clips.
    steps, _, _ = drawn(split.training_table, order_of(split), steps=14)
    times = sum(steps, Counter())
    wanted = {"cut": 56, "rest": 4, "sew": 7}
    assert {name.dataset: count for name, count in times.items()} == {
        f"{DATASET}/{name}": count for name, count in wanted.items()
    }
    assert all(count == wanted[name.dataset.partition("/")[2]] for name, count in times.items())


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_same_draws(corpus: Path, world_size: int) -> None:
    split = split_of(corpus)
    one, _, _ = drawn(split.training_table, order_of(split))
    many, _, _ = drawn(split.training_table, order_of(split), world_size)
    assert one == many


def test_classes_without_clips_are_left_out_and_told(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    names = [size.name for size in split_of(corpus).training_table.sizes()]
    assert names == [f"{DATASET}/{name}" for name in ("cut", "rest", "sew")]
    assert "no clips to train on of 1 of 4 classes, which are left out: look" in caplog.text


def test_weights_of_a_recipe_hold_where_it_gives_some(corpus: Path) -> None:
    split = split_of(corpus)
    assert split.training_order(ORDER).weights == "balanced"
    weights = {f"{DATASET}/{name}": 1.0 + (name == "cut") for name in ("cut", "rest", "sew")}
    for asked in (weights, {"temperature": 0.5}):
        order = OrderConfig(weights=asked)
        assert split.training_order(order) is order
    report = Order.create(split.training_table.sizes(), 0, OrderConfig(weights=weights)).report()
    assert [each.share for each in report] == [0.5, 0.25, 0.25]


def test_a_damaged_clip_is_replaced_by_one_of_its_class(corpus: Path) -> None:
    split = split_of(corpus)
    path = corpus / DATASET / f"{DATASET}-000001.tar"
    tar = bytearray(path.read_bytes())
    tar[int(np.fromfile(path.with_suffix(".idx"), ROW)["offset"][50])] ^= 4
    path.write_bytes(tar)

    _, clips, bad = drawn(split.training_table, order_of(split))
    assert {each.anchor_frame for each in bad} == {50}
    line = json.loads(json.dumps(bad[0].as_json()))
    assert line["dataset"] == f"{DATASET}/sew"
    assert line["cause"]["shard"] == f"{DATASET}/{DATASET}-000001.tar"

    replaced = [clip for clip in clips if clip.planned]
    assert len(replaced) == len(bad)
    names = [ClipName(clip.dataset, clip.video, clip.anchor_frame) for clip in replaced]
    assert split.truth(names).tolist() == [CLASSES.index("sew")] * len(names)
    assert ("b", 50) not in {(clip.video, clip.anchor_frame) for clip in clips}


def test_chunks_of_classes_are_cached(corpus: Path, tmp_path: Path) -> None:
    split = split_of(corpus)
    table = split.training_table
    folder = tmp_path / "cache"
    without = drawn(table, order_of(split))[0]
    for _ in range(2):
        assert (
            drawn(table, order_of(split), cache=ChunkCache(folder, 10**8, table.sha256))[0]
            == without
        )
    assert [*folder.glob("*/*")]


def test_other_clips_of_a_class_are_another_table(corpus: Path) -> None:
    split = split_of(corpus)
    moved = LABELS | {"b": {second: 1 if second < 4 else 2 for second in LABELS["b"]}}
    shas = {
        split.table.sha256,
        split.training_table.sha256,
        split_of(corpus, moved).training_table.sha256,
    }
    assert len(shas) == 3
    assert split_of(corpus).training_table.sha256 in shas


def test_a_run_goes_on_with_the_same_clips_alone(corpus: Path) -> None:
    split = split_of(corpus)
    table = split.training_table
    recipe = Path(__file__).parents[3] / "configs" / "pretrain" / "surgvista_tiny.yaml"
    config = load_recipe(recipe, ["data.order.weights=balanced", "data.order.chunk_frames=3"])
    order = order_from(Progress(step=0, clips_seen=0, state={}), config, table)
    assert {each.share for each in order.report()} == {1 / 3}

    state = {"order": order.to_json(), "manifest": table.sha256}
    later = Progress(step=2, clips_seen=24, state=state)
    assert order_from(later, config, table) == order

    # As many clips of each class, but others.
    moved = LABELS | {"a": {float(s): 0 if s == 4 else 1 for s in range(12)}}
    other = split_of(corpus, moved).training_table
    assert other.sizes() == table.sizes()
    with pytest.raises(CheckpointError, match="belongs to another order: its manifest was"):
        order_from(later, config, other)


def test_whole_videos_can_be_balanced(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    config = task_config({"train": ["a", "b"], "test": ["c"]}, per_video=True)
    labels: dict[str, Rows] = {"a": {0.0: 2}, "b": {0.0: 0}}
    split = task_clips(config, table, labels, balance="classes").split("train")
    sizes = {size.name: size.num_clips for size in split.training_table.sizes()}
    assert sizes == {f"{DATASET}/cut": 55, f"{DATASET}/sew": 60}


@given(tasks())
@settings(derandomize=True, max_examples=40, deadline=None)
def test_classes_have_all_clips_and_no_others(task: Any) -> None:
    config, table, _, labels = task
    split = task_clips(config, table, labels, balance="classes").split("train")
    try:
        clips = names_of(split.table)
    except ConfigError:
        return

    classes = split.training_table
    found = names_of(classes)
    assert sorted(name._replace(dataset=DATASET) for name in found) == clips
    told = [f"{DATASET}/{CLASSES[number]}" for number in split.truth(found)]
    assert told == [name.dataset for name in found]

    names = [size.name for size in classes.sizes()]
    cut_short = [classes.clips_cut_short(name, NUM_FRAMES - 1) for name in names]
    assert sum(cut_short) == split.table.clips_cut_short(DATASET, NUM_FRAMES - 1)


def test_without_balance_there_is_one_table(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    config = task_config({"train": ["a"], "test": ["b"]})
    split = task_clips(config, table, {"a": phases(12)}).split("train")
    assert split.training_table is split.table
    assert split.training_order(ORDER) is ORDER
