"""Damaged frames: what stands in for their clips, wherever and in whatever company they are read."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.format.index import ROW
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.chunks import BadFrame
from surgstream.shards.reading.clips import BadClip, BadClipLimits, ClipBytes
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.stream import ClipStream
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import jpeg, write_corpus
from tests.helpers.streams import clip_stream

NUM_FRAMES, STRIDE, DRAWS = 4, 3, 480


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return tmp_path


def damage(corpus: Path, shard: str, rows: range) -> None:
    """Flip a bit in some frames of a shard."""
    path = corpus / f"{shard}.tar"
    index = np.frombuffer(path.with_suffix(".idx").read_bytes(), ROW)
    tar = bytearray(path.read_bytes())
    for row in rows:
        tar[int(index["offset"][row])] ^= 4
    path.write_bytes(tar)


def stream(corpus: Path, **changes: object) -> ClipStream:
    table = FrameTable.open(open_storage(str(corpus)))
    settings = {
        "num_frames": NUM_FRAMES,
        "stride": STRIDE,
        "global_batch_size": 12,
        "micro_batch_size": 3,
        "rank": 0,
        "world_size": 1,
        "start": 0,
        "stop": DRAWS,
        "read": ReadConfig(),
        "limits": BadClipLimits(in_all=400, in_a_row=50),
    }
    order = Order.create(table.sizes(), 5, OrderConfig(open_chunks=6, chunk_frames=7))
    return clip_stream(table, order, **(settings | changes))  # type: ignore[arg-type]


def collect(corpus: Path, **changes: object) -> dict[int, ClipBytes]:
    with stream(corpus, **changes) as batches:
        return {clip.draw: clip for batch in batches for clip in batch}


def content(clips: dict[int, ClipBytes]) -> dict[int, tuple[object, ...]]:
    return {
        g: (c.dataset, c.video, c.anchor_frame, c.planned, [f.tobytes() for f in c.frames])
        for g, c in clips.items()
    }


def test_only_damaged_clips_are_replaced_by_whole_ones_of_their_dataset(corpus: Path) -> None:
    before = collect(corpus)
    damage(corpus, "cataract/cataract-000000", range(20, 22))
    after = collect(corpus)
    assert after.keys() == before.keys() == set(range(DRAWS)), "no batch shrinks"
    replaced = [g for g in before if after[g].planned]
    assert replaced, "the damage is met"
    for g, clip in after.items():
        was = before[g]
        shows_damage = was.video == "v0" and {20, 21} & {
            max(0, was.anchor_frame - back * STRIDE) for back in range(NUM_FRAMES)
        }
        assert (g in replaced) == bool(shows_damage and was.dataset == "cataract")
        if clip.planned:
            assert clip.planned == (was.video, was.anchor_frame) and clip.dataset == was.dataset
            assert clip.frames[-1].tobytes() == jpeg(clip.dataset, clip.video, clip.anchor_frame)
        else:
            assert (clip.video, clip.anchor_frame) == (was.video, was.anchor_frame)


def test_the_log_names_plan_use_and_cause(corpus: Path) -> None:
    damage(corpus, "cataract/cataract-000000", range(20, 21))
    with stream(corpus) as batches:
        clips = {clip.draw: clip for batch in batches for clip in batch if clip.planned}
        log = batches.bad_clips
    assert [bad.draw for bad in log] == list(clips)
    for bad in log:
        used = clips[bad.draw]
        assert (bad.video, bad.anchor_frame) == used.planned
        assert (bad.used_video, bad.used_anchor_frame) == (used.video, used.anchor_frame)
        assert (bad.cause.shard, bad.cause.video, bad.cause.frame) == (
            "cataract/cataract-000000.tar",
            "v0",
            20,
        )
        assert "expected CRC-32" in bad.cause.reason


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("start", [0, 240])
def test_any_rank_at_any_resume_replaces_a_clip_by_the_same_one(
    corpus: Path, world_size: int, start: int
) -> None:
    damage(corpus, "cataract/cataract-000001", range(5, 25))
    whole = content(collect(corpus))
    union: dict[int, tuple[object, ...]] = {}
    for rank in range(world_size):
        union |= content(collect(corpus, rank=rank, world_size=world_size, start=start))
    assert union == {g: clip for g, clip in whole.items() if g >= start}


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_clip_that_cannot_be_decoded_has_the_substitute_of_one_whose_bytes_are_damaged(
    world_size: int, corpus: Path
) -> None:
    """Frame 20 of v0 is told to be bad by who decodes, then flipped in the store."""
    replaced: dict[int, ClipBytes] = {}
    log: list[BadClip] = []
    for rank in range(world_size):
        with stream(corpus, rank=rank, world_size=world_size) as batches:
            for clip in itertools.chain.from_iterable(batches):
                while shows(clip, "v0", 20):
                    position = NUM_FRAMES - 1 - (clip.anchor_frame - 20) // STRIDE
                    clip = batches.substitute(clip, position, "it is grey")
                replaced[clip.draw] = clip
            log += batches.bad_clips

    damage(corpus, "cataract/cataract-000000", range(20, 21))
    expected = collect(corpus)
    assert content(replaced) == content(expected)
    assert {bad.draw for bad in log} == {g for g, clip in expected.items() if clip.planned}
    for bad in log:
        assert bad.cause == BadFrame("cataract/cataract-000000.tar", "v0", 20, "it is grey")


def shows(clip: ClipBytes, video: str, frame: int) -> bool:
    """Whether a clip of a part that is long enough shows a frame."""
    frames = range(clip.anchor_frame, clip.anchor_frame - NUM_FRAMES * STRIDE, -STRIDE)
    return clip.video == video and frame in frames


@pytest.mark.parametrize(
    ("anchor_frame", "position", "frame"),
    [(13, 3, 13), (13, 2, 10), (13, 1, 10), (13, 0, 10), (38, 0, 29), (38, 3, 38)],
)
def test_the_frame_that_is_bad_is_named_where_a_part_begins_too(
    anchor_frame: int, position: int, frame: int, corpus: Path
) -> None:
    """Parts of v1 are frames 0 to 4 and 9 to 38; that of the first clips repeats its earliest frame."""
    with stream(corpus) as batches:
        clips = itertools.chain.from_iterable(batches)
        clip = next(c for c in clips if (c.video, c.anchor_frame) == ("v1", anchor_frame))
        batches.substitute(clip, position, "it is grey")
        (bad,) = batches.bad_clips
    assert bad.cause == BadFrame("cataract/cataract-000001.tar", "v1", frame, "it is grey")


def test_undecodable_clips_are_limited_as_well(corpus: Path) -> None:
    with stream(corpus, limits=BadClipLimits(in_all=100, in_a_row=100)) as batches:
        clip = next(iter(batches))[0]
        with pytest.raises(CorruptSampleError, match=r"16 clips .* damaged as well.*it is grey"):
            for _ in range(17):
                clip = batches.substitute(clip, 0, "it is grey")
    assert len(batches.bad_clips) == 16 and clip.planned != (clip.video, clip.anchor_frame)

    with stream(corpus, limits=BadClipLimits(in_all=2)) as batches:
        clips = next(iter(batches))
        with pytest.raises(CorruptSampleError, match="3 clips are damaged"):
            for clip in clips:
                batches.substitute(clip, 0, "it is grey")


def expect_end(
    corpus: Path, limits: BadClipLimits, message: str, *, spoil: Callable[[], None]
) -> None:
    spoil()
    with pytest.raises(CorruptSampleError, match=message):
        collect(corpus, limits=limits)


def test_too_many_in_all_end_the_run(corpus: Path) -> None:
    expect_end(
        corpus,
        BadClipLimits(in_all=3, in_a_row=100),
        r"4 clips are damaged, the last one by cataract/cataract-000000\.tar: video v0, frame 20.*surgstream verify",
        spoil=lambda: damage(corpus, "cataract/cataract-000000", range(20, 21)),
    )


def test_too_many_in_a_row_end_the_run(corpus: Path) -> None:
    def spoil() -> None:
        damage(corpus, "cataract/cataract-000000", range(2, 40))
        damage(corpus, "cataract/cataract-000001", range(36))

    expect_end(
        corpus, BadClipLimits(in_all=10**6, in_a_row=2), "3 clips in a row are damaged", spoil=spoil
    )


def test_a_dataset_without_a_whole_clip_ends_the_run(corpus: Path) -> None:
    expect_end(
        corpus,
        BadClipLimits(in_all=10**6, in_a_row=10**6),
        "16 clips that should stand in for another one are damaged as well",
        spoil=lambda: damage(corpus, "knee/knee-000000", range(11)),
    )
