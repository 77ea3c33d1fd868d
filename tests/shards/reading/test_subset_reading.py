"""The clips of a subset as the exact order and the finite passes read them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from surgstream.shards.format.index import ROW
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.subsets.anchors import Anchors
from surgstream.shards.reading.subsets.subset import Subset
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import LAYOUT, jpeg, write_corpus
from tests.helpers.streams import clip_pass, clip_stream

VIDEOS = {"cataract": ["v0", "v1", "v2"], "knee": ["a"]}
NUM_FRAMES, STRIDE = 4, 3
PARTS = {
    (dataset, video): parts
    for dataset, shards in LAYOUT.items()
    for videos in shards
    for video, parts in videos.items()
}
Clip = tuple[str, str, int]
"""Dataset, video and anchor frame."""


@pytest.fixture
def table(tmp_path: Path) -> FrameTable:
    write_corpus(tmp_path)
    return FrameTable.open(open_storage(str(tmp_path)))


def subset_of(table: FrameTable) -> Subset:
    """Every second frame of four videos."""
    return Subset(table, VIDEOS, Anchors(every=2))


def clips_of_it() -> list[Clip]:
    return [
        (dataset, video, frame)
        for (dataset, video), parts in PARTS.items()
        if video in VIDEOS[dataset]
        for first, count in parts
        for frame in range(first, first + count)
        if frame % 2 == 0
    ]


def shown(clip: Clip, num_frames: int, stride: int) -> list[bytes]:
    """The frames of a clip, oldest first: on its own stride, and none from before its part."""
    dataset, video, anchor = clip
    first = next(f for f, count in PARTS[dataset, video] if f <= anchor < f + count)
    frames = [anchor]
    while len(frames) < num_frames:
        before = frames[0] - stride
        frames.insert(0, before if before >= first else frames[0])
    return [jpeg(dataset, video, frame) for frame in frames]


def name(clip: ClipBytes) -> Clip:
    return clip.dataset, clip.video, clip.anchor_frame


def pass_over(subset: Subset, world_size: int = 1, **changes: int) -> list[ClipBytes]:
    """The valid clips of a pass, rank by rank."""
    settings = {"num_frames": NUM_FRAMES, "stride": STRIDE, "chunk_frames": 7} | changes
    found = []
    for rank in range(world_size):
        with clip_pass(
            subset, micro_batch_size=3, rank=rank, world_size=world_size, **settings
        ) as batches:
            found += [clip for batch in batches for clip in batch if clip.valid]
    return found


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 60])
def test_a_pass_shows_each_clip_once_over_all_ranks(table: FrameTable, world_size: int) -> None:
    found = pass_over(subset_of(table), world_size)
    assert [name(clip) for clip in found] == clips_of_it()
    assert [clip.draw for clip in found] == list(range(len(found)))
    for clip in found:
        assert [bytes(frame) for frame in clip.frames] == shown(name(clip), NUM_FRAMES, STRIDE)


@pytest.mark.parametrize("stride", [0, 1, 2, 9])
def test_frames_of_a_clip_are_its_anchors_stride_apart(table: FrameTable, stride: int) -> None:
    frames = {"cataract": {"v0": [0, 1, 30, 39], "v1": [9, 38]}}
    subset = Subset(table, {"cataract": ["v0", "v1"]}, Anchors(frames=frames, stride=stride))
    found = pass_over(subset, stride=1)
    assert len(found) == 6
    for clip in found:
        # A frame that is shown alone is given once.
        num_given = NUM_FRAMES if stride else 1
        assert [bytes(frame) for frame in clip.frames] == shown(name(clip), num_given, stride)


def test_a_clip_can_spread_over_its_video(table: FrameTable) -> None:
    videos = {"cataract": ["v0", "v2", "v3"], "knee": ["a"]}
    anchors = Anchors(frames="last", stride="uniform", spread=NUM_FRAMES)
    found = pass_over(Subset(table, videos, anchors), stride=1)
    strides = {"v0": 10, "v2": 1, "v3": 4, "a": 2}
    assert [clip.video for clip in found] == list(strides)
    for clip in found:
        expected = shown(name(clip), NUM_FRAMES, strides[clip.video])
        assert [bytes(frame) for frame in clip.frames] == expected


def test_what_lies_between_distant_clips_is_not_read(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"d": [{"v": [(0, 1000)]}]})
    table = FrameTable.open(open_storage(str(tmp_path)))
    subset = Subset(table, {"d": ["v"]}, Anchors(frames={"d": {"v": [100, 500, 505, 999]}}))
    with clip_pass(subset, num_frames=3, stride=1, micro_batch_size=4, chunk_frames=100) as batches:
        (clips,) = batches
        read = [row for span in subset.spans("d", 0, 4, 2) for row in span]
        assert read == [*range(98, 101), *range(498, 506), *range(997, 1000)]
        assert batches.counters.chunks_read == 1
        sizes = np.fromfile(tmp_path / "d" / "d-000000.idx", ROW)["size"]
        assert batches.counters.bytes_read < 1024 * len(read) * 3 + sizes[read].sum()
    for clip in clips:
        anchor = clip.anchor_frame
        expected = [jpeg("d", "v", frame) for frame in range(anchor - 2, anchor + 1)]
        assert [bytes(frame) for frame in clip.frames] == expected


def steps(
    subset: Subset, order: Order, world_size: int, start: int, stop: int
) -> list[Counter[Clip]]:
    """The clips of each step, over all ranks."""
    found: list[Counter[Clip]] = [Counter() for _ in range((stop - start) // 12)]
    for rank in range(world_size):
        with clip_stream(
            subset,
            order,
            num_frames=NUM_FRAMES,
            stride=STRIDE,
            global_batch_size=12,
            micro_batch_size=2,
            rank=rank,
            world_size=world_size,
            start=start,
            stop=stop,
        ) as batches:
            for number, batch in enumerate(batches):
                step = found[number // (6 // world_size)]
                step.update(name(clip) for clip in batch)
                for clip in batch:
                    expected = shown(name(clip), NUM_FRAMES, STRIDE)
                    assert [bytes(frame) for frame in clip.frames] == expected
    return found


def test_the_order_is_exact_and_elastic_on_it(table: FrameTable) -> None:
    subset = subset_of(table)
    order = Order.create(subset.sizes(), 5, OrderConfig(open_chunks=4, chunk_frames=7))
    num_clips = len(clips_of_it())
    num_draws = 12 * num_clips

    one = steps(subset, order, 1, 0, num_draws)
    # Three ranks take over in the middle, then six, then two.
    thirds = [0, num_draws // 3, 2 * num_draws // 3, num_draws]
    changed = [
        step
        for world_size, start, stop in zip((3, 6, 2), thirds, thirds[1:], strict=False)
        for step in steps(subset, order, world_size, start // 12 * 12, stop // 12 * 12)
    ]
    assert changed == one
    # Twelve epochs of uniform weights, so each clip of each dataset is drawn twelve times.
    assert sum(one, Counter()) == Counter({clip: 12 for clip in clips_of_it()})


def test_a_damaged_clip_is_replaced_from_the_subset(table: FrameTable, tmp_path: Path) -> None:
    path = tmp_path / "cataract" / "cataract-000000.tar"
    tar = bytearray(path.read_bytes())
    tar[int(np.fromfile(path.with_suffix(".idx"), ROW)["offset"][20])] ^= 4
    path.write_bytes(tar)

    subset = Subset(table, {"cataract": ["v0", "v2"]}, Anchors(every=4))
    order = Order.create(subset.sizes(), 0, OrderConfig())
    used = []
    with clip_stream(
        subset,
        order,
        num_frames=1,
        stride=1,
        global_batch_size=1,
        micro_batch_size=1,
        stop=subset.sizes()[0].num_clips * 3,
    ) as batches:
        used += [name(clip) for batch in batches for clip in batch]
        told = [bad.anchor_frame for bad in batches.bad_clips]
    assert told == [20] * 3
    assert ("cataract", "v0", 20) not in used
    assert {video for _, video, _ in used} <= {"v0", "v2"}
    assert all(frame % 4 == 0 for _, _, frame in used)
