"""Still images beside videos in one order: one picture each, whatever the recipe, and all that holds for videos."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from surgstream.shards.format.index import ROW
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.stream import ClipStream
from surgstream.shards.reading.subsets.anchors import Anchors
from surgstream.shards.reading.subsets.subset import Subset
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import LAYOUT, Layout, jpeg, write_corpus
from tests.helpers.streams import clip_pass, clip_stream

PHOTOS = [f"p{number:02d}" for number in range(30)]
MIXED: Layout = {
    "cataract": LAYOUT["cataract"],
    "photos": [
        {photo: [(0, 1)] for photo in PHOTOS[:13]},
        {photo: [(0, 1)] for photo in PHOTOS[13:]},
    ],
}
"""Videos, one of them of a single frame, and photographs in two shards."""

NUM_FRAMES = 4
ORDER = OrderConfig(open_chunks=6, chunk_frames=7, weights={"cataract": 0.7, "photos": 0.3})
PERIOD = 10


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path, MIXED, stills=["photos"])
    return tmp_path


def opened(corpus: Path, fps: float | None = None) -> FrameTable:
    return FrameTable.open(open_storage(str(corpus)), fps=fps)


def ranks(corpus: Path, world_size: int, start: int, stop: int, batch: int) -> list[ClipBytes]:
    """The clips of all ranks from one draw to another, in the order of draws."""
    table = opened(corpus)
    order = Order.create(table.sizes(), 5, ORDER)
    found: list[ClipBytes] = []
    for rank in range(world_size):
        with stream_of(table, order, rank, world_size, start, stop, batch) as batches:
            found += [clip for some in batches for clip in some]
    return sorted(found, key=lambda clip: clip.draw)


def stream_of(
    table: FrameTable, order: Order, rank: int, world_size: int, start: int, stop: int, batch: int
) -> ClipStream:
    return clip_stream(
        table, order, num_frames=NUM_FRAMES, stride=3, global_batch_size=batch, micro_batch_size=2,
        rank=rank, world_size=world_size, start=start, stop=stop,
    )  # fmt: skip


def content(clips: list[ClipBytes]) -> list[tuple[object, ...]]:
    return [
        (c.draw, c.dataset, c.video, c.anchor_frame, c.is_still, [bytes(f) for f in c.frames])
        for c in clips
    ]


@pytest.mark.parametrize("fps", [None, 5.0, 2.5])
@pytest.mark.parametrize("stride", [1, 4])
def test_no_rate_and_no_stride_touches_a_still(
    corpus: Path, fps: float | None, stride: int
) -> None:
    """While a video of one frame repeats that, as other short ones do."""
    with clip_pass(
        opened(corpus, fps), num_frames=NUM_FRAMES, stride=stride, micro_batch_size=4,
        chunk_frames=7,
    ) as batches:  # fmt: skip
        clips = [clip for batch in batches for clip in batch if clip.valid]

    stills = [clip for clip in clips if clip.dataset == "photos"]
    assert [clip.video for clip in stills] == PHOTOS
    for clip in stills:
        assert clip.is_still and clip.anchor_frame == 0
        assert [bytes(frame) for frame in clip.frames] == [jpeg("photos", clip.video, 0)]

    videos = [clip for clip in clips if clip.dataset == "cataract"]
    assert not any(clip.is_still for clip in videos)
    assert {len(clip.frames) for clip in videos} == {NUM_FRAMES}
    if fps != 2.5:  # which does not show frame 3
        (single,) = (clip for clip in videos if clip.video == "v2")
        assert [bytes(frame) for frame in single.frames] == [jpeg("cataract", "v2", 3)] * NUM_FRAMES


def test_stills_fit_a_rate_that_they_were_not_packed_at(tmp_path: Path) -> None:
    rates = dict.fromkeys(PHOTOS, 7.0) | dict.fromkeys(["v0", "v1", "v2", "v3"], 5.0)
    write_corpus(tmp_path, MIXED, fps=rates, stills=["photos"])
    sizes = {size.name: size.num_clips for size in opened(tmp_path, 1.0).sizes()}
    assert sizes["photos"] == len(PHOTOS)


def test_a_table_knows_that_stills_look_back_nowhere(corpus: Path) -> None:
    table = opened(corpus, 2.5)
    assert table.frames_apart("photos") == [0] and table.frames_apart("cataract") == [2]
    assert {size.name: size.stills for size in table.sizes()} == {"cataract": False, "photos": True}
    assert table.clips_cut_short("photos", 12) == 0 < table.clips_cut_short("cataract", 12)
    a_still = table.mean_clip_bytes("photos")
    assert table.chunk_bytes("photos", 7, 12) == pytest.approx(7 * a_still)
    assert [(part.first_clip, part.frames) for part in table.parts("photos")] == [
        (number, range(1)) for number in range(len(PHOTOS))
    ]


def test_shares_are_exact_in_every_period(corpus: Path) -> None:
    clips = ranks(corpus, 1, 0, 12 * PERIOD, 12)
    for first in range(0, len(clips), PERIOD):
        drawn = Counter(clip.dataset for clip in clips[first : first + PERIOD])
        assert drawn == {"cataract": 7, "photos": 3}
    # Each photograph is drawn once before any is drawn again
    drawn_photos = [clip.video for clip in clips if clip.is_still]
    assert sorted(drawn_photos[: len(PHOTOS)]) == PHOTOS


def test_the_sequence_is_one_on_any_ranks_and_through_elastic_resumes(corpus: Path) -> None:
    whole = content(ranks(corpus, 1, 0, 240, 12))
    assert content(ranks(corpus, 2, 0, 240, 12)) == whole
    assert content(ranks(corpus, 3, 0, 240, 12)) == whole

    # Three ranks of a batch of 12, then one of 8, then two of 20
    parts = [(3, 0, 84, 12), (1, 84, 140, 8), (2, 140, 240, 20)]
    resumed = [clip for part in parts for clip in ranks(corpus, *part)]
    assert content(resumed) == whole


def damage(corpus: Path, shard: str, rows: range) -> None:
    """Flip a bit in some frames of a shard."""
    path = corpus / f"{shard}.tar"
    index = np.fromfile(path.with_suffix(".idx"), ROW)
    tar = bytearray(path.read_bytes())
    for row in rows:
        tar[int(index["offset"][row])] ^= 4
    path.write_bytes(tar)


def test_a_damaged_still_is_replaced_by_a_still_of_its_dataset(corpus: Path) -> None:
    before = ranks(corpus, 1, 0, 120, 12)
    damage(corpus, "photos/photos-000000", range(5, 8))
    after = ranks(corpus, 1, 0, 120, 12)
    assert content(ranks(corpus, 3, 0, 120, 12)) == content(after)

    damaged = set(PHOTOS[5:8])
    replaced = 0
    for was, clip in zip(before, after, strict=True):
        if was.video in damaged:
            replaced += 1
            assert clip.planned == (was.video, 0)
            assert clip.is_still and clip.video not in damaged
            assert [bytes(frame) for frame in clip.frames] == [jpeg("photos", clip.video, 0)]
        else:
            assert content([clip]) == content([was])
    assert replaced > 0, "the damage is met"


def test_a_still_that_cannot_be_decoded_is_replaced_and_named(corpus: Path) -> None:
    table = opened(corpus)
    order = Order.create(table.sizes(), 5, ORDER)
    with stream_of(table, order, 0, 1, 0, 24, 12) as batches:
        still = next(clip for batch in batches for clip in batch if clip.is_still)
        substitute = batches.substitute(still, 0, "it is broken")
        (bad,) = batches.bad_clips
    assert substitute.is_still and substitute.planned == (still.video, 0)
    assert (bad.cause.video, bad.cause.frame) == (still.video, 0)


def test_a_frame_of_a_video_that_is_shown_alone_is_a_still(corpus: Path) -> None:
    """As tasks of masks ask for: a stride of 0."""
    anchors = Anchors(frames={"cataract": {"v1": [4, 20]}}, stride=0)
    subset = Subset(opened(corpus), {"cataract": ["v1"]}, anchors)
    with clip_pass(
        subset, num_frames=NUM_FRAMES, stride=1, micro_batch_size=2, chunk_frames=7
    ) as batches:
        (clips,) = batches
    assert all(clip.is_still for clip in clips)
    assert [[bytes(frame) for frame in clip.frames] for clip in clips] == [
        [jpeg("cataract", "v1", 4)],
        [jpeg("cataract", "v1", 20)],
    ]
