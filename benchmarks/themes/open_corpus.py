"""The cost, on every rank, of opening 10^9 frames in 10^5 shards and of finding the clips of a step in them."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from surgstream.benchmarks.support.harness import Case
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import FORMAT_VERSION, MANIFEST_NAME, shard_name
from surgstream.shards.format.records import PackedVideo, Part, Shard
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage

NUM_DATASETS = 50
NUM_SPECIALTIES = 13
SHARDS_PER_DATASET = 2_000
SHARD_FRAMES = 10_000
NUM_SHARDS = NUM_DATASETS * SHARDS_PER_DATASET
STEP = 2_048


def cases(folder: Path) -> list[Case]:
    """Opening it, as a rank does that does not check sizes; then lookups, all at once and one by one."""
    corpus = folder / "large"
    corpus.mkdir()
    (corpus / MANIFEST_NAME).write_bytes(_manifest().to_bytes())
    table, order = open_corpus(corpus)
    draws = order.draws(10**8, STEP)
    names = [order.dataset_names[dataset] for dataset in draws.dataset.tolist()]
    clips = draws.clip.tolist()

    def run_open() -> int:
        open_corpus(corpus)
        return NUM_SHARDS

    def peak_mb() -> float:
        command = [sys.executable, "-m", "surgstream.benchmarks.themes.open_corpus", str(corpus)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return [
        Case(f"open {NUM_SHARDS:,} shards", "shards", run_open, peak_mb=peak_mb),
        Case(f"find {STEP:,} clips at once", "clips", lambda: len(table.locate_all(names, clips))),
        Case("find them one by one", "clips", lambda: len(list(map(table.locate, names, clips)))),
    ]


def open_corpus(folder: Path) -> tuple[FrameTable, Order]:
    """All that stands between a rank's start and its first plan."""
    table = FrameTable.open(open_storage(str(folder)), check=False)
    return table, Order.create(table.sizes(), 0, OrderConfig())


def _manifest() -> Manifest:
    return Manifest(format_version=FORMAT_VERSION, packing={"fps": 1.0}, shards=tuple(_shards()))


def _shards() -> Iterator[Shard]:
    """One to three videos a shard; every tenth shard's have two parts."""
    for dataset in range(NUM_DATASETS):
        for number in range(SHARDS_PER_DATASET):
            name = shard_name(f"dataset{dataset:02d}", number)
            num_videos = 1 + number % 3
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            frames = SHARD_FRAMES // num_videos

            parts: tuple[Part, ...] = (Part(first_frame=0, num_frames=frames),)
            if number % 10 == 0:
                parts = (
                    Part(first_frame=0, num_frames=60),
                    Part(first_frame=65, num_frames=frames - 60),
                )

            videos = (
                PackedVideo(
                    id=f"video{number:05d}_{i}",
                    source=f"video{number:05d}_{i}.mp4",
                    parts=parts,
                    first_row=i * frames,
                    fps=1.0,
                    width=455,
                    height=256,
                )
                for i in range(num_videos)
            )

            yield Shard(
                name=name,
                num_bytes=20_000 * SHARD_FRAMES,
                sha256=sha256,
                index_sha256=sha256[::-1],
                dataset=f"dataset{dataset:02d}",
                specialty=f"specialty{dataset % NUM_SPECIALTIES}",
                procedure=f"procedure{dataset % NUM_SPECIALTIES}",
                videos=tuple(videos),
            )


def _memory_mb(which: str) -> float:
    """Resident memory of this process: `VmRSS` now, `VmHWM` at most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(which)).split()[1]) / 1e3


if __name__ == "__main__":
    before = _memory_mb("VmRSS")
    open_corpus(Path(sys.argv[1]))
    print(_memory_mb("VmHWM") - before)
