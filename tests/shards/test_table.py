from dataclasses import replace

import pytest

from shards.errors import ManifestError
from shards.order import DatasetSize
from shards.storage import open_storage
from shards.table import FrameTable
from tests.helpers.handmade import LAYOUT, write_corpus


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tmp_path)
    return tmp_path


def test_sizes(corpus):
    sizes = FrameTable.open(open_storage(str(corpus))).sizes()
    assert sizes == (DatasetSize("cataract", "cataract surgery", 93), DatasetSize("knee", "knee surgery", 11))


def test_every_frame_is_located(corpus):
    table = FrameTable.open(open_storage(str(corpus)))
    for dataset, shards in LAYOUT.items():
        number = 0
        for shard in shards:
            for video, parts in shard.items():
                for first, count in parts:
                    part_start = number
                    for frame in range(first, first + count):
                        found = table.locate(dataset, number)
                        assert (found.video.id, found.frame, found.part_start) == (video, frame, part_start)
                        number += 1
        for outside in (-1, number):
            with pytest.raises(IndexError, match=rf"{dataset}: expected a frame in \[0, {number}\), got {outside}"):
                table.locate(dataset, outside)


def test_rows_are_split_at_the_edges_of_shards(corpus):
    table = FrameTable.open(open_storage(str(corpus)))

    def rows(start, stop):
        return [(rows.shard.name[-5], rows.start, rows.stop) for rows in table.rows("cataract", start, stop)]

    assert rows(3, 40) == [("0", 3, 40)]
    assert rows(39, 93) == [("0", 39, 40), ("1", 0, 36), ("2", 0, 17)]
    assert rows(40, 41) == [("1", 0, 1)]
    assert rows(76, 76) == []


@pytest.mark.parametrize("name", ["cataract/cataract-000001.tar", "cataract/cataract-000001.idx"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_corpus_that_is_not_all_there_is_refused(corpus, name, damage):
    path = corpus / name
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
        got = "it is missing"
    else:
        path.write_bytes(path.read_bytes()[:-16])
        got = f"got {size - 16}"
    with pytest.raises(ManifestError, match=f"{name}: expected {size} bytes by the manifest, {got}; copy"):
        FrameTable.open(open_storage(str(corpus)))
    FrameTable.open(open_storage(str(corpus)), check=False)


def test_the_first_damage_in_the_manifest_is_named(corpus):
    for number in (0, 2):
        (corpus / f"cataract/cataract-00000{number}.tar").unlink()
    with pytest.raises(ManifestError, match=r"cataract-000000\.tar"):
        FrameTable.open(open_storage(str(corpus)))


def test_a_dataset_has_one_specialty(corpus):
    manifest = FrameTable.open(open_storage(str(corpus))).manifest
    first, second, *rest = manifest.shards
    manifest = replace(manifest, shards=(first, replace(second, specialty="another"), *rest))
    with pytest.raises(ManifestError, match=r"cataract-000001\.tar: expected specialty 'cataract surgery'"):
        FrameTable(open_storage(str(corpus)), manifest)
