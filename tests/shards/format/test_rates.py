"""Corpora that are packed at a multiple of a run's rate: they are the corpus at that rate, in all that a run sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.index import ROW
from surgstream.shards.format.rates import RateError, check_rates_at_hand
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.clips import BadClipLimits
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from tests.helpers.commands import pack
from tests.helpers.handmade import LAYOUT, jpeg, write_corpus
from tests.helpers.packing import write_corpus as describe_corpus
from tests.helpers.streams import clip_pass, clip_stream
from tests.helpers.videos import make_video
from tests.shards.reading.test_frame_table import made_up

NUM_FRAMES, STRIDE, DRAWS = 4, 2, 240
FPS = {"v0": 5.0, "v1": 3.0, "v2": 1.0, "v3": 2.0, "a": 1.0}
"""Of the videos of `LAYOUT`, for a run at one frame a second."""

Clip = tuple[str, str, int, list[bytes]]


def opened(folder: Path, fps: float | None = 1.0) -> FrameTable:
    return FrameTable.open(open_storage(str(folder)), fps=fps)


def read(table: FrameTable, **changes: Any) -> dict[int, Clip]:
    """The clips of a run, by draw."""
    settings = {
        "num_frames": NUM_FRAMES, "stride": STRIDE, "global_batch_size": 12, "micro_batch_size": 3, "rank": 0,
        "world_size": 1, "start": 0, "stop": DRAWS, "read": ReadConfig(), "limits": BadClipLimits(),
    }  # fmt: skip
    order = Order.create(table.sizes(), 5, OrderConfig(open_chunks=6, chunk_frames=3))
    with clip_stream(table, order, **(settings | changes)) as batches:
        return {
            clip.draw: (
                clip.dataset,
                clip.video,
                clip.anchor_frame,
                [frame.tobytes() for frame in clip.frames],
            )
            for batch in batches
            for clip in batch
        }


def shown(dataset: str) -> list[tuple[str, int, int]]:
    """Video, frame, and the first shown frame of its part, for each clip: by going through `LAYOUT`."""
    clips = []
    for videos in LAYOUT[dataset]:
        for video, parts in videos.items():
            for first, count in parts:
                frames = [frame for frame in range(first, first + count) if frame % FPS[video] == 0]
                clips += [(video, frame, frames[0]) for frame in frames]
    return clips


def test_clips_are_the_frames_that_the_rate_picks(tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=FPS)
    table = opened(tmp_path)
    order = Order.create(table.sizes(), 5, OrderConfig(open_chunks=6, chunk_frames=3))
    draws, found = order.draws(0, DRAWS), read(table)
    assert {size.name: size.num_clips for size in table.sizes()} == {
        name: len(shown(name)) for name in LAYOUT
    }
    for g, number, clip in zip(
        draws.number.tolist(), draws.dataset.tolist(), draws.clip.tolist(), strict=True
    ):
        dataset = order.dataset_names[number]
        video, anchor, first = shown(dataset)[clip]
        step = int(FPS[video]) * STRIDE
        numbers = [anchor - back * step for back in range(NUM_FRAMES)][::-1]
        earliest = min(frame for frame in numbers if frame >= first)
        looked_back = [max(earliest, frame) for frame in numbers]
        assert found[g] == (
            dataset,
            video,
            anchor,
            [jpeg(dataset, video, frame) for frame in looked_back],
        )


def test_a_pass_has_each_clip_once(tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=FPS)
    table, found = opened(tmp_path), []
    for rank in range(2):
        with clip_pass(
            table, num_frames=NUM_FRAMES, stride=STRIDE, micro_batch_size=4, rank=rank, world_size=2, chunk_frames=5,
            read=ReadConfig(),
        ) as batches:  # fmt: skip
            found += [
                (clip.draw, clip.video, clip.anchor_frame)
                for batch in batches
                for clip in batch
                if clip.valid
            ]
    expected = [clip for name in sorted(LAYOUT) for clip in shown(name)]
    assert sorted(found) == [(g, video, anchor) for g, (video, anchor, _) in enumerate(expected)]


@pytest.mark.parametrize("world_size", [2, 4])
def test_any_ranks_from_any_draw_read_the_same(world_size: int, tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=FPS)
    whole, union = read(opened(tmp_path)), {}
    for rank in range(world_size):
        union |= read(opened(tmp_path), rank=rank, world_size=world_size, start=120)
    assert union == {g: clip for g, clip in whole.items() if g >= 120}


@pytest.mark.slow
def test_a_denser_corpus_is_the_corpus_at_the_run_s_rate(tmp_path: Path) -> None:
    """The same videos, packed at both rates, give the same clips, byte by byte, in the same order."""
    for name, frames in (("a", 260), ("b", 70), ("c", 10)):
        make_video(tmp_path / "videos" / f"{name}.mp4", frames)
    described = describe_corpus(tmp_path, {"name": "d", "videos": "videos/*"}, workers=1)
    for fps in (1, 3):
        assert pack([described, str(tmp_path / str(fps)), f"fps={fps}"]) == 0
    one, three = (opened(tmp_path / name) for name in ("1", "3"))
    assert one.sizes() == three.sizes()
    as_packed, thinned = read(one), read(three)
    assert [clip[1:2] + clip[3:] for clip in as_packed.values()] == [
        c[1:2] + c[3:] for c in thinned.values()
    ]
    assert [3 * clip[2] for clip in as_packed.values()] == [clip[2] for clip in thinned.values()]


def test_damage_in_what_is_not_shown_changes_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=FPS)
    whole = read(opened(tmp_path))
    path = tmp_path / "cataract" / "cataract-000000.tar"
    index = np.frombuffer(path.with_suffix(".idx").read_bytes(), ROW)
    tar = bytearray(path.read_bytes())
    for row in set(range(40)) - set(range(0, 40, 5)):
        tar[int(index["offset"][row])] ^= 4
    path.write_bytes(tar)
    assert read(opened(tmp_path)) == whole


counts = st.lists(st.integers(1, 9), min_size=1, max_size=3)
layouts = st.dictionaries(
    st.sampled_from("abc"),
    st.lists(st.lists(counts, min_size=1, max_size=3), min_size=1, max_size=2),
    min_size=1,
)


@given(layouts, st.sampled_from([1, 2, 4, 5]), st.integers(0, 4))
def test_every_clip_is_located_as_by_counting(layout: Any, times: int, gap: int) -> None:
    """Where parts begin anywhere, and some of them show nothing."""
    shards = list(made_up(layout, gap))
    table = FrameTable(open_storage("."), shards, "", 1.0 / times)
    for dataset in layout:
        expected, part_start = [], 0
        for video, part in (
            (v, p)
            for shard in shards
            if shard.dataset == dataset
            for v in shard.videos
            for p in v.parts
        ):
            frames = [i for i in range(part.num_frames) if (part.first_frame + i) % times == 0]
            expected += [
                (video.id, part.first_frame + i, part_start + i, part_start + frames[0])
                for i in frames
            ]
            part_start += part.num_frames
        found = [table.locate(dataset, clip) for clip in range(len(expected))]
        assert [
            (each.video, each.frame, each.number, each.part_start) for each in found
        ] == expected
        assert [each.clip for each in found] == list(range(len(expected)))
        assert all(each.apart == times for each in found)
        assert sum(table.part_frames(dataset).tolist()) == len(expected)


@pytest.mark.parametrize(
    ("packed", "wanted", "apart"),
    [
        (1.0, 1.0, 1),
        (5.0, 1.0, 5),
        (0.3, 0.1, 3),
        (29.97, 29.97, 1),
        (25.0, 6.25, 4),
        (6.25, None, 1),
    ],
)
def test_rates_that_a_run_can_take(
    packed: float, wanted: float | None, apart: int, tmp_path: Path
) -> None:
    write_corpus(tmp_path, fps=packed)
    assert opened(tmp_path, wanted).frames_apart("cataract") == [apart]


@pytest.mark.parametrize(("packed", "wanted"), [(1.0, 5.0), (5.0, 2.0), (30.0, 29.97), (0.1, 0.3)])
def test_others_are_refused(packed: float, wanted: float, tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=FPS | dict.fromkeys(FPS, wanted) | {"v3": packed})
    message = (
        rf"{tmp_path}: cataract: v3: expected data.fps={wanted:g} frames a second, or a whole multiple, got "
        rf"{packed:g}; pack the corpus again with fps={wanted:g}, or train at its own rate, data.fps={packed:g}"
    )
    with pytest.raises(RateError, match=message):
        opened(tmp_path, wanted)
    with pytest.raises(ConfigError, match=message):
        check_rates_at_hand(
            ["s3://elsewhere/corpus", str(tmp_path / "not there"), str(tmp_path)], wanted, {}
        )


def test_one_rate_of_many_is_told(tmp_path: Path) -> None:
    write_corpus(tmp_path, fps=FPS)
    table = opened(tmp_path)
    assert (table.frames_apart("cataract"), table.frames_apart("knee")) == ([1, 2, 3, 5], [1])
