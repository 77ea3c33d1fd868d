import importlib
from itertools import chain
from pathlib import Path

import pytest

from surgstream.benchmarks.peers.samples import as_tensor, clips, pack, unpack

RUNS = [[bytes([i, j]) * (i + j) for j in range(9)] for i in range(40)]


def test_frames_come_out_of_samples_as_they_went_in() -> None:
    samples = [pack(frames) for frames in RUNS]
    assert [list(map(bytes, frames)) for sample in samples for frames in unpack(sample)] == RUNS
    together = as_tensor(map(memoryview, samples)).numpy().data
    assert [list(map(bytes, frames)) for frames in unpack(together)] == RUNS


def test_a_run_of_64_frames_has_four_whole_clips_and_every_frame_once() -> None:
    run = [memoryview(bytes([i])) for i in range(64)]
    found = list(clips(run, 16, 4))
    assert len(found) == 4
    assert sorted(frame[0] for frame in chain.from_iterable(found)) == list(range(64))
    assert [frame[0] for frame in found[1]] == list(range(1, 62, 4))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    ["webdataset", *(pytest.param(n, marks=pytest.mark.peers) for n in ("litdata", "streaming"))],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_peer_reads_every_sample_once(name: str, workers: int, tmp_path: Path) -> None:
    importlib.import_module(
        "surgstream.trainer.models.images.teacher"
    )  # see benchmarks/themes/read_peers.py
    peer = importlib.import_module(f"surgstream.benchmarks.peers.{name}")
    (tmp_path / "data").mkdir()
    peer.write(map(pack, RUNS), tmp_path / "data")
    read = chain.from_iterable(
        map(unpack, peer.samples(str(tmp_path / "data"), tmp_path / "cache", workers))
    )
    assert sorted([list(map(bytes, frames)) for frames in read]) == sorted(RUNS)
