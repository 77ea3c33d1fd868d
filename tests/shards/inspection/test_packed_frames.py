"""Single frames are read as they were packed, in few requests."""

import threading
from pathlib import Path

import numpy as np
import pytest

from surgstream.shards.errors import CorruptSampleError
from surgstream.shards.format.index import ROW
from surgstream.shards.inspection.packed_frames import GAP_FRAMES, find_video, read_frames
from surgstream.shards.storage.stores import LocalStorage
from tests.helpers.handmade import read_frame, write_corpus


class Counting(LocalStorage):
    """Knows how many requests were made of it."""

    requests = 0

    def read_into(
        self, name: str, start: int, out: memoryview, stop: threading.Event | None = None
    ) -> None:
        self.requests += 1
        super().read_into(name, start, out, stop)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "groups"),
    [
        (range(900), 4),
        ([0, 1, 1 + GAP_FRAMES, 2 + 2 * GAP_FRAMES], 2),
        ([600, 10, 10], 3),
        ([], 0),
    ],
)
def test_frames_near_each_other_are_read_together(
    numbers: list[int], groups: int, tmp_path: Path
) -> None:
    manifest = write_corpus(tmp_path, {"d": [{"u": [(0, 3)], "v": [(0, 400), (500, 500)]}]})
    storage, placed = Counting(tmp_path, "here"), find_video(manifest, "v")
    frames = [*range(400), *range(500, 1000)]
    expected = [
        read_frame(tmp_path, manifest.shards[0], "v", frames[number]) for number in numbers[:40]
    ]
    assert list(read_frames(storage, placed, numbers))[:40] == expected
    assert storage.requests == 2 * groups


@pytest.mark.parametrize(("row", "offset"), [(0, 2**63), (39, 2**63), (39, 0)])
def test_an_index_that_leads_out_of_its_shard_is_damaged(
    row: int, offset: int, tmp_path: Path
) -> None:
    manifest = write_corpus(tmp_path, {"d": [{"v": [(0, 40)]}]})
    index = tmp_path / manifest.shards[0].index_name
    rows = np.frombuffer(index.read_bytes(), ROW).copy()
    rows[row]["offset"] = offset
    index.write_bytes(rows.tobytes())
    with pytest.raises(
        CorruptSampleError, match=r"d-000000\.idx: frames 0 to 39 of v are not in its shard"
    ):
        list(read_frames(LocalStorage(tmp_path, "here"), find_video(manifest, "v"), range(40)))
