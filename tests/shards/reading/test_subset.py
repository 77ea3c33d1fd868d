"""Subsets: the clips of some videos and of no others, numbered, located and identified."""

import hashlib
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.locations import Location
from surgstream.shards.reading.subsets.anchors import Anchors
from surgstream.shards.reading.subsets.runs import Runs
from surgstream.shards.reading.subsets.subset import Subset
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import LAYOUT, write_corpus
from tests.shards.reading.test_frame_table import Layout, made_up

LOOK_BACK = 5

layouts = st.dictionaries(
    st.sampled_from(["a", "a-", "B"]),
    st.lists(
        st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=3), min_size=1, max_size=3),
        min_size=1,
        max_size=2,
    ),
    min_size=1,
)
rates = st.sampled_from([None, 1.0, 0.5, 0.25])


def table_of(layout: Layout, fps: float | None = None) -> FrameTable:
    return FrameTable(open_storage("."), made_up(layout), "of a manifest", fps)


def places(table: FrameTable | Subset) -> Iterator[Location]:
    """Every clip, in order."""
    for size in table.sizes():
        yield from table.locate_all([size.name] * size.num_clips, range(size.num_clips))


def ids(table: FrameTable) -> dict[str, list[str]]:
    """The videos that show a frame, by dataset."""
    found: dict[str, list[str]] = {}
    for place in places(table):
        videos = found.setdefault(place.dataset, [])
        if place.video not in videos:
            videos.append(place.video)
    return found


@given(layouts, rates, st.integers(0, LOOK_BACK))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_a_subset_of_all_videos_is_the_table(
    layout: Layout, fps: float | None, look_back: int
) -> None:
    table = table_of(layout, fps)
    videos = ids(table)
    subset = Subset(table, videos, Anchors())
    sizes = [size for size in table.sizes() if size.num_clips]
    assert list(subset.sizes()) == sizes
    assert list(places(subset)) == list(places(table))

    for size in sizes:
        chunk = (size.name, size.num_clips // 2, size.num_clips - size.num_clips // 2, look_back)
        assert subset.spans(*chunk) == table.spans(*chunk)
        read = (size.name, size.num_clips, look_back)
        assert subset.chunk_bytes(*read) == pytest.approx(table.chunk_bytes(*read))


def chosen_by_looking(
    table: FrameTable, videos: dict[str, list[str]], anchors: Anchors
) -> list[Location]:
    """The places of a subset's clips, from those of all clips of the table, one by one."""
    shown = [place for place in places(table) if place.video in videos.get(place.dataset, ())]
    kept: list[Location] = []
    for place in shown:
        same = [other for other in shown if other.video == place.video]
        if anchors.frames == "all":
            wanted = place.frame // place.apart % anchors.every == 0
        elif anchors.frames == "last":
            wanted = place == same[-1]
        else:
            wanted = place.frame in anchors.frames.get(place.dataset, {}).get(place.video, ())
        if not wanted:
            continue

        stride = anchors.stride
        if stride == "uniform":
            stride = max(1, len(same) // anchors.spread)
        clip = sum(other.dataset == place.dataset for other in kept)
        kept.append(replace(place, clip=clip, apart=place.apart * stride))
    return kept


@st.composite
def choices(draw: st.DrawFn) -> tuple[FrameTable, dict[str, list[str]], Anchors]:
    """A table, some of its videos, and anchors in them."""
    table = table_of(draw(layouts), draw(rates))
    videos = {}
    frames: dict[str, dict[str, list[int]]] = {}
    for dataset, known in ids(table).items():
        some = draw(st.lists(st.sampled_from(known), max_size=3))
        if some:
            videos[dataset] = some
        labelled = frames.setdefault(dataset, {})
        for place in places(table):
            if place.dataset == dataset and draw(st.booleans()):
                labelled.setdefault(place.video, []).append(place.frame)

    anchors = Anchors(
        frames=draw(st.sampled_from(["all", "last"]) | st.just(frames)),
        every=draw(st.integers(1, 7)),
        stride=draw(st.sampled_from([0, 1, 3, "uniform"])),
        spread=draw(st.integers(1, 16)),
    )
    return table, videos, anchors


@given(choices())
@settings(derandomize=True, max_examples=100, deadline=None)
def test_clips_are_the_asked_ones_of_its_videos_and_no_others(
    choice: tuple[FrameTable, dict[str, list[str]], Anchors],
) -> None:
    table, videos, anchors = choice
    expected = chosen_by_looking(table, videos, anchors)
    if {place.dataset for place in expected} != videos.keys():
        with pytest.raises(ConfigError, match="expected at least one clip, got none of"):
            Subset(table, videos, anchors)
        return
    assert list(places(Subset(table, videos, anchors))) == expected


@given(choices(), st.integers(0, LOOK_BACK))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_what_is_read_is_what_clips_show_and_what_lies_near(
    choice: tuple[FrameTable, dict[str, list[str]], Anchors], look_back: int
) -> None:
    table, videos, anchors = choice
    try:
        subset = Subset(table, videos, anchors)
    except ConfigError:
        return

    for size in subset.sizes():
        shown: set[int] = set()
        for place in subset.locate_all([size.name] * size.num_clips, range(size.num_clips)):
            first = max(place.part_start, place.number - look_back * place.apart)
            shown.update(range(first, place.number + 1))

        spans = subset.spans(size.name, 0, size.num_clips, look_back)
        read = [frame for span in spans for frame in span]
        assert shown <= set(read)
        assert read == sorted(set(read))
        assert {spans[0].start, *(span.stop - 1 for span in spans)} <= shown
        assert all(b.start - a.stop > 64 for a, b in pairwise(spans))
        assert max(runs_unshown(read, shown), default=0) <= 64


def runs_unshown(read: Sequence[int], shown: set[int]) -> Iterator[int]:
    """Lengths of the runs of frames that are read and not shown."""
    length = 0
    for frame in read:
        length = 0 if frame in shown else length + 1
        yield length


@pytest.mark.parametrize("stride", [0, 1, 4])
@pytest.mark.parametrize("every", [1, 10, 300])
def test_bytes_of_a_chunk_are_those_of_its_spans(stride: int, every: int) -> None:
    table = table_of({"d": [[[5000]]]})
    subset = Subset(table, ids(table), Anchors(every=every, stride=stride))
    num_clips = subset.sizes()[0].num_clips - 1
    # From the second clip on: none begins before its part.
    num_frames = sum(map(len, subset.spans("d", 1, num_clips, 15)))
    expected = num_frames * table.mean_clip_bytes("d")
    if stride * every == 1:
        expected = table.chunk_bytes("d", num_clips, 15)
    assert subset.chunk_bytes("d", num_clips, 15) == pytest.approx(expected, rel=0.1)


@pytest.fixture
def table(tmp_path: Path) -> FrameTable:
    write_corpus(tmp_path)
    return FrameTable.open(open_storage(str(tmp_path)))


def test_a_subset_is_told_from_every_other(table: FrameTable) -> None:
    one = Subset(table, {"cataract": ["v0", "v1"]}, Anchors())
    assert one.sha256 == Subset(table, {"cataract": ["v1", "v0", "v1"]}, Anchors()).sha256

    others = [
        table,
        Subset(table, {"cataract": ["v0"]}, Anchors()),
        Subset(table, {"cataract": ["v0", "v1"], "knee": ["a"]}, Anchors()),
        Subset(table, {"cataract": ["v0", "v1"]}, Anchors(every=2)),
        Subset(table, {"cataract": ["v0", "v1"]}, Anchors(stride=2)),
        Subset(table, {"cataract": ["v0", "v1"]}, Anchors(frames="last")),
        Subset(table, {"cataract": ["v0", "v1"]}, Anchors(frames="last", stride="uniform")),
        Subset(table_of({"cataract": [[[40], [40]]]}), {"cataract": ["cataract-0-0"]}, Anchors()),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("videos", "anchors", "message"),
    [
        ({"kne": ["a"]}, Anchors(), "expected a dataset of the corpus, got 'kne'; did .* 'knee'"),
        (
            {"cataract": ["v0", "v_1", "w"]},
            Anchors(),
            r"cataract: expected a video of the corpus, got 'v_1' \(of 2 such\); did you mean 'v",
        ),
        ({"cataract": []}, Anchors(), "expected at least one clip, got none of 0 videos"),
        ({"knee": ["a"]}, Anchors(frames={}), "expected at least one clip, got none of 1 videos"),
        (
            {"cataract": ["v1"]},
            Anchors(frames={"cataract": {"v1": [4, 7, 39]}}),
            r"cataract: v1: expected frames that are packed and shown, got frame 7 \(of 2 such\)",
        ),
    ],
)
def test_what_is_not_in_the_corpus_is_said(
    table: FrameTable, videos: dict[str, list[str]], anchors: Anchors, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Subset(table, videos, anchors)


def test_clips_outside_of_it_are_refused(table: FrameTable) -> None:
    subset = Subset(table, {"cataract": ["v3"]}, Anchors())
    for outside in (-1, 17):
        with pytest.raises(IndexError, match=rf"expected a clip in \[0, 17\), got {outside}"):
            subset.locate("cataract", outside)


def test_labels_of_other_videos_are_no_matter(table: FrameTable) -> None:
    frames = {"cataract": {"v0": [1], "v1": [2, 3]}, "hip": {"b": [4]}}
    subset = Subset(table, {"cataract": ["v1"]}, Anchors(frames=frames))
    assert [(place.video, place.frame) for place in places(subset)] == [("v1", 2), ("v1", 3)]
    assert {"v1"} < {video for shard in LAYOUT["cataract"] for video in shard}


def test_memory_grows_with_breaks_and_not_with_clips() -> None:
    videos = ids(table_of({"d": [[[1]] * 4]}))
    kept = {}
    for num_frames in (100, 100_000):
        table = table_of({"d": [[[num_frames]] * 4]})
        tracemalloc.start()
        subset = Subset(table, videos, Anchors(every=2))
        kept[num_frames], _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert subset.sizes()[0].num_clips == 2 * num_frames
    # Other threads allocate, too: far less than a byte a clip.
    assert kept[100_000] < kept[100] + 50_000


@given(choices(), st.integers(0, LOOK_BACK))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_clips_that_begin_before_their_part_are_counted(
    choice: tuple[FrameTable, dict[str, list[str]], Anchors], look_back: int
) -> None:
    table, videos, anchors = choice
    try:
        subset = Subset(table, videos, anchors)
    except ConfigError:
        return

    for size in subset.sizes():
        clips = [place for place in places(subset) if place.dataset == size.name]
        short = [place.number - look_back * place.apart < place.part_start for place in clips]
        assert subset.clips_cut_short(size.name, look_back) == sum(short)
        assert subset.frames_apart(size.name) == table.frames_apart(size.name)


@given(choices())
@settings(derandomize=True, max_examples=30, deadline=None)
def test_its_identity_is_that_of_the_list_of_its_clips(
    choice: tuple[FrameTable, dict[str, list[str]], Anchors],
) -> None:
    """Runs are a way of keeping them: other runs of the same clips are the same subset."""
    table, videos, anchors = choice
    try:
        subset = Subset(table, videos, anchors)
    except ConfigError:
        return

    hashed = hashlib.sha256(table.sha256.encode())
    for dataset in sorted(videos):
        known = [place for place in places(table) if place.dataset == dataset]
        clips = [(clip.video, clip.frame) for clip in places(subset) if clip.dataset == dataset]
        numbers = [place.clip for place in known if (place.video, place.frame) in clips]
        strides = {}
        for video in sorted({*videos[dataset]}):
            shown = sum(place.video == video for place in known)
            uniform = max(1, shown // anchors.spread)
            strides[video] = uniform if anchors.stride == "uniform" else anchors.stride
        about = (dataset, table.frames_apart(dataset), [*strides.items()])
        hashed.update(repr(about).encode() + np.array(numbers, "<i8").tobytes())
    assert subset.sha256 == hashed.hexdigest()


def test_anchors_may_be_runs(table: FrameTable) -> None:
    frames = [0, 2, 4, 5, 39]
    as_runs = Anchors(frames={"cataract": {"v0": Runs.of(np.array(frames))}})
    as_list = Anchors(frames={"cataract": {"v0": frames[::-1]}})
    one, other = (Subset(table, {"cataract": ["v0"]}, anchors) for anchors in (as_runs, as_list))
    assert [place.frame for place in places(one)] == frames
    assert one.sha256 == other.sha256
