"""The store: can the corpus be opened with these credentials, how fast does it come, and may checkpoints go there?"""

import threading
import time
import uuid
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate, count
from pathlib import Path

from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.format.rates import check_rates
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.memory import check_buffer
from surgstream.shards.storage.stores import S3Config, open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.mixing import look_back
from surgstream.trainer.resume import order_from
from surgstream.trainer.runs.files import CHECKPOINTS, checkpoints_in

PATIENCE_SECONDS = 8.0
"""A store that gives no byte for this time is down as far as this check goes; a run is more patient."""

_GOLDEN = 0.6180339887498949
_HASH_DIGITS = 12


class Corpora:
    """The corpora of a recipe, as far as this check needs them.

    Attributes:
        storage: The corpus that is trained on, read with less patience than by a run.
        manifest: The beginning of the SHA-256 of the corpus' manifest, and of those of all others that the run reads.
    """

    def __init__(self, config: TrainConfig) -> None:
        """Read the manifests.

        Raises:
            SurgstreamError: The store cannot be reached, access is denied, there is no corpus, it was packed at a rate
                that the recipe cannot take, or it has no such datasets.
        """
        self._read = config.data.read
        impatient = _impatient(config.data.s3)
        self.storage = open_storage(config.data.corpus, impatient)

        manifests = {
            place: ManifestFile.load(open_storage(place, impatient)) for place in config.corpora
        }
        for place, manifest in manifests.items():
            datasets = config.data.parts.get(place)
            check_rates(manifest.shards(), config.data.fps, datasets, where=place)
        self._config = config

        trained_on = manifests[config.data.corpus]
        self._table = FrameTable(
            self.storage,
            trained_on.shards(),
            trained_on.sha256,
            config.data.fps,
            config.data.datasets,
        )
        names = {size.name for size in self._table.sizes()}
        self._shards = [
            (shard.name, shard.num_bytes) for shard in trained_on.shards() if shard.dataset in names
        ]
        self.manifest = "+".join(manifest.sha256[:_HASH_DIGITS] for manifest in manifests.values())

    def check_memory(self, world_size: int) -> None:
        """Make sure that each of so many ranks can hold its open chunks, in the order that the run would continue in.

        Raises:
            SurgstreamError: It cannot, or the order cannot be continued.
        """
        config = self._config
        order = order_from(_newest_progress(config), config, self._table)
        check_buffer(
            self._table,
            order,
            look_back(config),
            buffer_bytes=config.data.read.buffer_bytes,
            world_size=world_size,
        )

    def mb_per_second(self, seconds: float, *, rank: int, world_size: int) -> float:
        """Read ranges all over the corpus, as many at once as a run does, different ones on each rank.

        Args:
            seconds: The time to read; requests under way are waited for.
            rank: This rank.
            world_size: All ranks.

        Returns:
            MB a second, of this rank.

        Raises:
            StorageError: A range cannot be read.
        """
        ends = list(accumulate(num_bytes for _, num_bytes in self._shards))
        # Reads are spread by the golden ratio; a rank's threads share its numbers, ranks do not.
        numbers = count(rank, world_size)
        stop = threading.Event()
        started = time.perf_counter()

        def work() -> int:
            total = 0
            while not total or time.perf_counter() - started < seconds:
                # Far from the reads before
                position = int(next(numbers) * _GOLDEN % 1.0 * ends[-1])
                index = bisect_right(ends, position)
                name, num_bytes = self._shards[index]

                # A range that would end past its shard begins earlier
                length = min(self._read.range_bytes, num_bytes)
                offset = position - (ends[index] - num_bytes)
                start = min(offset, num_bytes - length)
                self.storage.read_into(name, start, memoryview(bytearray(length)), stop)
                total += length
            return total

        with ThreadPoolExecutor(self._read.threads) as pool:
            workers = [pool.submit(work) for _ in range(self._read.threads)]
            try:
                total = sum(worker.result() for worker in workers)
            finally:
                stop.set()
        return total / (time.perf_counter() - started) / 1e6


def try_mirror(address: str, s3: S3Config) -> None:
    """Write a small file to where a run's checkpoints are to be copied, and delete it.

    Raises:
        StorageError: It cannot be done.
    """
    storage = open_storage(address, _impatient(s3))
    name = f".preflight-{uuid.uuid4().hex}"
    storage.write(name, b"preflight")
    storage.delete(name)


def _impatient(s3: S3Config) -> S3Config:
    retry = replace(s3.retry, timeout_seconds=min(s3.retry.timeout_seconds, PATIENCE_SECONDS))
    return replace(s3, retry=retry)


def _newest_progress(config: TrainConfig) -> Progress:
    """Where the run stands. Checkpoints are not hashed here, which takes seconds: any of a run has its order."""
    wanted = config.resume.checkpoint
    is_named = wanted not in ("auto", "none")
    newest_first = checkpoints_in(Path(config.run_dir) / CHECKPOINTS)
    for checkpoint in [Path(wanted)] if is_named else newest_first:
        with suppress(CheckpointError):
            return read_progress(checkpoint)
    return Progress(step=0, clips_seen=0, state={})
