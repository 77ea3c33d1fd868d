"""Finite passes: every clip once over all ranks, equally many steps, padding that says so."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.index import ROW
from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.passes import ClipPass, share
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import LAYOUT, jpeg, write_corpus
from tests.helpers.streams import clip_pass, one_step_share

NUM_FRAMES, STRIDE = 4, 3
CLIPS = [
    (dataset, video, first + i)
    for dataset, shards in LAYOUT.items()
    for videos in shards
    for video, parts in videos.items()
    for first, count in parts
    for i in range(count)
]


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 20))
@example(1, 8, 16)
@example(17, 16, 1)
def test_every_clip_falls_to_one_rank_and_only_the_last_step_is_padded(
    num_clips: int, micro_batch_size: int, world_size: int
) -> None:
    shares = [
        share(num_clips, one_step_share(rank, world_size, micro_batch_size))
        for rank in range(world_size)
    ]
    assert [clip for part in shares for clip in range(part.start, part.stop)] == list(
        range(num_clips)
    )
    (num_steps,) = {part.num_steps for part in shares}
    for part in shares:
        size = part.stop - part.start
        assert (num_steps - 1) * micro_batch_size <= size <= num_steps * micro_batch_size
    assert num_steps * micro_batch_size * world_size - num_clips < micro_batch_size * world_size


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return tmp_path


def open_pass(folder: Path, **changes: object) -> ClipPass:
    settings = {
        "num_frames": NUM_FRAMES,
        "stride": STRIDE,
        "micro_batch_size": 4,
        "rank": 0,
        "world_size": 1,
        "chunk_frames": 7,
        "read": ReadConfig(threads=3),
    }
    table = FrameTable.open(open_storage(str(folder)))
    return clip_pass(table, **(settings | changes))  # type: ignore[arg-type]


def collect(folder: Path, world_size: int, **changes: object) -> list[list[list[ClipBytes]]]:
    """The micro-batches of all ranks."""
    ranks = []
    for rank in range(world_size):
        with open_pass(folder, rank=rank, world_size=world_size, **changes) as batches:
            ranks.append(list(batches))
    return ranks


def valid(ranks: list[list[list[ClipBytes]]]) -> list[ClipBytes]:
    return [clip for batches in ranks for batch in batches for clip in batch if clip.valid]


def names(clips: list[ClipBytes]) -> list[tuple[str, str, int]]:
    return [(clip.dataset, clip.video, clip.anchor_frame) for clip in clips]


@pytest.mark.parametrize(
    ("world_size", "micro_batch_size"),
    [(1, 4), (2, 4), (3, 5), (7, 2), (len(CLIPS) + 3, 2), (2, len(CLIPS))],
)
def test_the_ranks_together_read_the_corpus_once(
    folder: Path, world_size: int, micro_batch_size: int
) -> None:
    ranks = collect(folder, world_size, micro_batch_size=micro_batch_size)
    clips = valid(ranks)
    assert names(clips) == CLIPS and [clip.draw for clip in clips] == list(range(len(CLIPS)))
    assert len({len(batches) for batches in ranks}) == 1
    assert all(len(batch) == micro_batch_size for batches in ranks for batch in batches)
    for clip in clips:
        assert clip.frames[-1].tobytes() == jpeg(clip.dataset, clip.video, clip.anchor_frame)


def test_every_chunk_is_read_once(folder: Path) -> None:
    with open_pass(folder, chunk_frames=16, num_frames=1) as batches:
        clips = [clip for batch in batches for clip in batch if clip.valid]
        assert batches.counters.chunks_read == -(-93 // 16) + 1, "of both datasets"
        frames = sum(clip.frames[0].nbytes for clip in clips)
        assert batches.counters.bytes_used == frames
    assert names(clips) == CLIPS


def test_no_more_chunks_are_read_ahead_than_threads(folder: Path) -> None:
    with open_pass(folder, chunk_frames=4, read=ReadConfig(threads=2)) as batches:
        next(iter(batches))
        time.sleep(0.2)
        assert 1 <= batches.counters.chunks_read <= 3


def test_one_dataset_alone(folder: Path) -> None:
    assert names(valid(collect(folder, 2, datasets=["knee"]))) == [
        clip for clip in CLIPS if clip[0] == "knee"
    ]
    with pytest.raises(ConfigError, match="expected a dataset out of cataract, knee, got hip"):
        open_pass(folder, datasets=["hip"])


@pytest.mark.parametrize("num_clips", [1, 10, len(CLIPS) - 1, 5000])
@pytest.mark.parametrize("world_size", [1, 3])
def test_some_clips_lie_evenly_over_the_corpus(
    folder: Path, num_clips: int, world_size: int
) -> None:
    numbers = [clip.draw for clip in valid(collect(folder, world_size, num_clips=num_clips))]
    expected = min(num_clips, len(CLIPS))
    assert len(numbers) == expected
    gaps = np.diff([-numbers[0] - 1, *numbers, 2 * len(CLIPS) - numbers[-1]])
    assert gaps.min() >= len(CLIPS) // expected and gaps.max() <= -(-len(CLIPS) // expected) + 1


def test_a_damaged_clip_is_not_valid_and_told(folder: Path) -> None:
    path = folder / "cataract" / "cataract-000000.tar"
    tar = bytearray(path.read_bytes())
    tar[int(np.frombuffer(path.with_suffix(".idx").read_bytes(), ROW)["offset"][20])] ^= 4
    path.write_bytes(tar)
    with open_pass(folder) as batches:
        clips = [clip for batch in batches for clip in batch if clip.valid]
        told = [bad.anchor_frame for bad in batches.bad_clips]
    assert told == [20, 23, 26, 29], "every clip that shows the frame"
    assert names(clips) == [
        clip for clip in CLIPS if clip[:2] != ("cataract", "v0") or clip[2] not in told
    ]


def test_a_clip_that_cannot_be_decoded_is_not_valid_and_told(folder: Path) -> None:
    with open_pass(folder) as batches:
        clip = next(iter(batches))[0]
        substitute = batches.substitute(clip, 3, "it is grey")
        (told,) = batches.bad_clips
    assert not substitute.valid and substitute.planned == (clip.video, clip.anchor_frame)
    assert (told.cause.video, told.cause.frame) == (clip.video, clip.anchor_frame)
