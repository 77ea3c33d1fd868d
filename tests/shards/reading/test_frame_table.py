import hashlib
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import ManifestError
from surgstream.shards.format.manifest import Manifest, ManifestFile
from surgstream.shards.format.names import shard_name
from surgstream.shards.format.records import PackedVideo, Part, Shard
from surgstream.shards.order.sequence import DatasetSize
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import LocalStorage, open_storage
from tests.helpers.handmade import LAYOUT, write_corpus

Layout = dict[str, list[list[list[int]]]]
"""Dataset -> shards -> videos -> frames of each part."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return tmp_path


def test_sizes(corpus: Path) -> None:
    sizes = FrameTable.open(open_storage(str(corpus))).sizes()
    assert sizes == (
        DatasetSize("cataract", "cataract surgery", 93),
        DatasetSize("knee", "knee surgery", 11),
    )


def test_every_frame_is_located(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))
    for dataset, shards in LAYOUT.items():
        number = 0
        for shard in shards:
            for video, parts in shard.items():
                for first, count in parts:
                    part_start = number
                    for frame in range(first, first + count):
                        found = table.locate(dataset, number)
                        assert (found.video, found.frame, found.part_start) == (
                            video,
                            frame,
                            part_start,
                        )
                        assert (found.dataset, found.number, found.width, found.height) == (
                            dataset,
                            number,
                            64,
                            48,
                        )
                        number += 1
        for outside in (-1, number):
            with pytest.raises(
                IndexError, match=rf"{dataset}: expected a clip in \[0, {number}\), got {outside}"
            ):
                table.locate(dataset, outside)


def test_rows_are_split_at_the_edges_of_shards(corpus: Path) -> None:
    table = FrameTable.open(open_storage(str(corpus)))

    def rows(start: int, stop: int) -> list[tuple[str, int, int]]:
        return [
            (rows.shard[-5], rows.start, rows.stop) for rows in table.rows("cataract", start, stop)
        ]

    assert rows(3, 40) == [("0", 3, 40)]
    assert rows(39, 93) == [("0", 39, 40), ("1", 0, 36), ("2", 0, 17)]
    assert rows(40, 41) == [("1", 0, 1)]
    assert rows(76, 76) == []


@pytest.mark.parametrize("name", ["cataract/cataract-000001.tar", "cataract/cataract-000001.idx"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_corpus_that_is_not_all_there_is_refused(corpus: Path, name: str, damage: str) -> None:
    path = corpus / name
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
        got = "it is missing"
    else:
        path.write_bytes(path.read_bytes()[:-16])
        got = f"got {size - 16}"
    with pytest.raises(
        ManifestError, match=f"{name}: expected {size} bytes by the manifest, {got}; copy"
    ):
        FrameTable.open(open_storage(str(corpus)))
    FrameTable.open(open_storage(str(corpus)), check=False)


def test_the_first_damage_in_the_manifest_is_named(corpus: Path) -> None:
    for number in (0, 2):
        (corpus / f"cataract/cataract-00000{number}.tar").unlink()
    with pytest.raises(ManifestError, match=r"cataract-000000\.tar"):
        FrameTable.open(open_storage(str(corpus)))


def test_sizes_are_checked_by_one_listing(corpus: Path) -> None:
    class Counting(LocalStorage):
        listings, asked = 0, []

        def sizes(self) -> dict[str, int]:
            self.listings += 1
            return super().sizes()

        def size(self, name: str) -> int | None:
            self.asked.append(name)
            return super().size(name)

    storage = Counting(corpus, str(corpus))
    FrameTable.open(storage)
    assert (storage.listings, storage.asked) == (1, ["manifest.json"])


def test_a_corpus_is_named_by_its_manifest(corpus: Path) -> None:
    data = (corpus / "manifest.json").read_bytes()
    assert FrameTable.open(open_storage(str(corpus))).sha256 == hashlib.sha256(data).hexdigest()


def made_up(layout: Layout, gap: int = 3) -> Iterator[Shard]:
    """The shards of a corpus that exists only on paper: dataset -> shards -> videos -> frames of each part."""
    for dataset in sorted(layout, key=lambda name: f"{name}/"):
        for number, videos in enumerate(layout[dataset]):
            packed, row = [], 0
            for i, counts in enumerate(videos):
                firsts = np.cumsum([gap, *(count + gap for count in counts)]).tolist()
                parts = tuple(
                    Part(first_frame=f, num_frames=n) for f, n in zip(firsts, counts, strict=False)
                )
                video = f"{dataset}-{number}-{i}"
                packed.append(
                    PackedVideo(
                        id=video,
                        source="s",
                        parts=parts,
                        first_row=row,
                        fps=1.0,
                        width=9 + i,
                        height=7 + number,
                    )
                )
                row += sum(counts)
            yield Shard(
                name=shard_name(dataset, number),
                num_bytes=1024 * row,
                sha256=hashlib.sha256(video.encode()).hexdigest(),
                index_sha256=hashlib.sha256(b"index").hexdigest(),
                dataset=dataset,
                specialty="s",
                procedure="p",
                videos=tuple(packed),
            )


counts = st.lists(st.integers(1, 6) | st.just(10**12), min_size=1, max_size=3)
layouts = st.dictionaries(
    st.sampled_from(["a", "a-", "a-b", "a_", "a0", "B"]),
    st.lists(st.lists(counts, min_size=1, max_size=3), min_size=1, max_size=3),
    min_size=1,
)


def by_counting(
    shards: Sequence[Shard], dataset: str, number: int
) -> tuple[PackedVideo, Part, int]:
    """Video and part of a frame, and the number that the part starts with."""
    start = 0
    for video, part in (
        (v, p)
        for shard in shards
        if shard.dataset == dataset
        for v in shard.videos
        for p in v.parts
    ):
        if number < start + part.num_frames:
            return video, part, start
        start += part.num_frames


@given(layouts, st.data())
@settings(derandomize=True, max_examples=100)
def test_many_frames_are_located_as_by_counting(layout: Layout, data: st.DataObject) -> None:
    shards = list(made_up(layout))
    manifest = Manifest(format_version=1, packing={}, shards=tuple(shards))
    table = FrameTable(
        open_storage("."), ManifestFile(manifest.to_bytes(), where="here").shards(), ""
    )
    sizes = {size.name: size.num_clips for size in table.sizes()}
    assert list(sizes) == sorted(layout)
    assert sizes == {
        name: sum(n for shard in layout[name] for video in shard for n in video) for name in layout
    }
    names = data.draw(st.lists(st.sampled_from(sorted(layout)), max_size=20))
    wanted = [(name, data.draw(st.integers(0, sizes[name] - 1))) for name in names]
    found = table.locate_all([name for name, _ in wanted], [number for _, number in wanted])
    assert [(where.dataset, where.number) for where in found] == wanted
    for (name, number), where in zip(wanted, found, strict=True):
        assert where == table.locate(name, number)
        video, part, start = by_counting(shards, name, number)
        assert (where.video, where.frame) == (video.id, part.first_frame + number - start)
        assert (where.part_start, where.width, where.height) == (start, video.width, video.height)
        stop = min(number + 50, sizes[name])
        between = [table.locate(name, other) for other in range(number, stop)]
        assert table.picture_sizes(name, number, stop) == [
            (each.width, each.height) for each in between
        ]


def megabytes_to_open(num_shards: int, num_frames: int) -> tuple[float, float]:
    """Most memory while opening, and what is kept, in megabytes."""
    shards = made_up({"d": [[[num_frames]] * 3] * num_shards})
    data = Manifest(format_version=1, packing={}, shards=tuple(shards)).to_bytes()
    tracemalloc.start()
    table = FrameTable(open_storage("."), ManifestFile(data, where="here").shards(), "")
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.sizes()[0].num_clips == 3 * num_shards * num_frames
    return np.array([most, kept]) / 2**20


def test_memory_is_of_columns_and_does_not_grow_with_frames() -> None:
    few, as_few = megabytes_to_open(300, 1), megabytes_to_open(300, 10**10)
    assert max(as_few - few) < 0.5
    assert max(megabytes_to_open(1300, 1) - few) < 1, (
        "3000 videos, of which objects would take over 3 MB"
    )
