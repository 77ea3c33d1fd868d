"""The whole loader without a model: its own rate, and how busy it keeps a consumer that takes a given time a step.

A folder's corpus has just been written, so the page cache holds it: what is measured there is reading, planning and
decoding, and no disk.

`python -m surgstream.benchmarks.themes.loader CORPUS STARTED` measures a new process's first batch, from STARTED in
unix seconds on.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from surgstream.benchmarks.support.harness import Case, Fact, Findings, ImplausibleError, Row
from surgstream.benchmarks.support.material import long_corpus
from surgstream.benchmarks.support.memory import status_kb
from surgstream.benchmarks.support.utilisation import LEAST, Drive, drive, plot, shortest_step
from surgstream.configs.loading import load
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.buffers import Bytes
from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.addresses import is_address
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.assembly import clip_source
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.augment import ClipTransform, draw_transform
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.data.loader import ClipLoader
from surgstream.trainer.distributed import RankInfo

RECIPE = Path(__file__).parents[2] / "configs" / "pretrain" / "surgvista_vitb.yaml"
BATCH = (
    64 if torch.cuda.is_available() else 16
)  # the recipe's, or about as many steps a second from two cores
LANES = 64  # of the recipe's 2048 the share of one of 32 ranks
WARM_UP = 16
NUM_BATCHES = 40
MIN_STEPS = 20
DRIVE_SECONDS = 10.0
QUEUED = 3  # two batches in the loader's queue, and one in the hand of its thread
SHARE = 0.9
PROBES = 6
SWEEP = (0.5, 0.75, 1.0, 1.25)
PLACES = (0.01, 0.50, 0.99)
MAX_PROCESSES = 3


class Loading:
    """A recipe's data, and the loader that is open."""

    def __init__(self, corpus: str) -> None:
        """Do what a run does before its first batch is asked for."""
        words = [f"data.corpus={corpus}", "data.fps=null", f"data.order.open_chunks={LANES}"]
        words += [f"{size}_batch_size={BATCH}" for size in ("global", "micro")]
        self.config = load(TrainConfig, RECIPE, words)
        self.rank_info = RankInfo(rank=0, local_rank=0, world_size=1)
        table = FrameTable.open(open_storage(corpus))
        self.source = clip_source(self.config, self.rank_info, table, self.config.data.augment)
        self.order = Order.create(table.sizes(), self.config.seed, self.config.data.order)
        self.num_clips = sum(size.num_clips for size in table.sizes())
        self.loader: ClipLoader | None = None

    def open(self, place: float = 0.0) -> ClipLoader:
        """Load from somewhere in the epoch on."""
        return self.source.open(
            self.order, global_batch_size=BATCH, start=int(place * self.num_clips) // BATCH * BATCH
        )

    def reopen(self) -> None:
        """Load from the beginning, past what starting takes."""
        self.close()
        self.loader = self.open()
        take(self.loader, WARM_UP)

    def close(self) -> None:
        """Load no more."""
        if self.loader:
            self.loader.close()
        self.loader = None

    def undecoded(self) -> list[list[ClipBytes]]:
        """The batches that come after `reopen`, as they lie in the shards."""
        with self.source.stream(
            self.order, global_batch_size=BATCH, start=WARM_UP * BATCH
        ) as stream:
            return list(itertools.islice(stream, NUM_BATCHES))

    def decoder(self) -> ClipDecoder:
        """The loader's graph once more."""
        encoder = self.config.objective.encoder
        return ClipDecoder(
            self.config.data.decode,
            max_clips=BATCH,
            num_frames=encoder.num_frames,
            image_size=encoder.image_size,
            device=self.rank_info.device,
        )

    def decodable(
        self, clips: Sequence[ClipBytes]
    ) -> tuple[list[Bytes], ClipTransform, npt.NDArray[np.bool_]]:
        """A batch as the loader gives it to its graph: JPEGs, copied out of their chunks, transform, and its stills."""
        draws = np.array([clip.draw for clip in clips])
        sizes = np.array([(clip.width, clip.height) for clip in clips])
        transform = draw_transform(self.config.data.augment, self.config.seed, draws, sizes)
        frames = itertools.chain.from_iterable(clip.frames for clip in clips)
        stills = np.array([clip.is_still for clip in clips])
        return [frame.copy() for frame in frames], transform, stills


def cases(folder: Path, store: str | None = None) -> list[Case]:
    """The loader as fast as it comes, and its DALI graph alone on the same JPEGs."""
    loading = Loading(filled(folder, store))
    decoder = loading.decoder()
    ready = [loading.decodable(clips) for clips in loading.undecoded()]

    def load_batches() -> int:
        assert loading.loader
        return take(loading.loader, NUM_BATCHES)

    def decode() -> int:
        return sum(decoder.decode(*batch).shape[0] for batch in ready)

    return [
        Case("loader, as fast as it comes", "clips", load_batches, prepare=loading.reopen),
        Case("bare DALI graph, the same JPEGs", "clips", decode, prepare=loading.close),
    ]


def findings(
    folder: Path, store: str | None = None, *, rows: Sequence[Row], repeats: int
) -> Findings:
    """Measure a consumer: its utilisation over its rate, its waits, and the time to its first batch."""
    ratio = over_bare(*rows)
    corpus = filled(folder, store)

    with Loading(corpus).open() as loader:
        take(loader, WARM_UP)
        runs = [at_share_of_top(loader) for _ in range(repeats)]
        top = float(np.median([rate for rate, _ in runs]))
        curve: list[tuple[float, float]] = []

        def utilisation(step_seconds: float) -> float:
            run = drive(loader, step_seconds, steps_at(step_seconds), queued=QUEUED)
            curve.append((BATCH / step_seconds, run.utilisation))
            return run.utilisation

        # An even loader would keep up from BATCH / top on: the search begins on both sides of that
        shortest = shortest_step(utilisation, 0.9 * BATCH / top, 1.4 * BATCH / top, probes=PROBES)
        # More points of the curve, which `utilisation` notes
        for share in SWEEP:
            utilisation(BATCH / (share * top))

    waits = 1e3 * np.concatenate([run.waits for _, run in runs])
    at = f"consumer at {SHARE} of the loader's own rate"

    facts = [
        ratio,
        Fact.of(f"{at}: stall, 1 - AU", "%", *(100 * (1 - run.utilisation) for _, run in runs)),
        Fact.of(f"{at}: data wait, p50", "ms", float(np.percentile(waits, 50))),
        Fact.of(f"{at}: data wait, p99", "ms", float(np.percentile(waits, 99))),
        Fact.of(f"{at}: data wait, most", "ms", float(waits.max())),
        Fact.of(f"largest rate of a consumer at AU >= {LEAST}", "clips/s", BATCH / shortest),
        Fact.of("the loader's own rate in the same run", "clips/s", *(rate for rate, _ in runs)),
        *starts(corpus, min(repeats, MAX_PROCESSES)),
    ]
    return Findings(facts, plot(curve, top))


def filled(folder: Path, store: str | None) -> str:
    """The corpus, in the store or in the folder; made unless it is there."""
    uri = store or str(folder / "long")
    long_corpus(folder, open_storage(uri))
    return uri


def take(loader: ClipLoader, num_batches: int) -> int:
    """Take batches as fast as they come; returns how many clips they had."""
    return sum(len(next(loader).draws) for _ in range(num_batches))


def over_bare(loader: Row, bare: Row) -> Fact:
    """The loader's rate over its graph's, repeat by repeat.

    Raises:
        ImplausibleError: It is faster than its own graph, by more than the intervals say.
    """
    if loader.low > bare.high:
        raise ImplausibleError(
            f"{loader.name}: expected at most {bare.high:,.1f} clips/s, as {bare.name}, got "
            f"{loader.low:,.1f}; one of them does not decode what it says"
        )
    return Fact.of(
        "loader over bare DALI graph", "x", *np.divide(loader.rates, bare.rates).tolist()
    )


def at_share_of_top(loader: ClipLoader) -> tuple[float, Drive]:
    """The loader's own rate in clips a second, and at once a consumer at SHARE of it."""
    free = drive(loader, 0.0, NUM_BATCHES, queued=QUEUED)
    rate = BATCH * len(free.waits) / free.seconds
    step_seconds = BATCH / (SHARE * rate)
    return rate, drive(loader, step_seconds, steps_at(step_seconds), queued=QUEUED)


def steps_at(step_seconds: float) -> int:
    """The number of steps that a consumer takes in DRIVE_SECONDS."""
    return max(MIN_STEPS, round(DRIVE_SECONDS / step_seconds))


def starts(corpus: str, repeats: int) -> list[Fact]:
    """Seconds to the first batch: in new processes, from a disk where it is one's own, and in this one."""
    cold = [new_process(corpus) for _ in range(repeats) if evict(corpus)]
    warm = [new_process(corpus) for _ in range(repeats)]
    again = {
        place: [first_batch(corpus, place) for _ in range(repeats)] for place in (0.0, *PLACES)
    }

    facts = []
    for runs, state in ((cold, "cold: not in the page cache"), (warm, "warm")):
        if not runs:
            continue
        name = f"first batch of a new process, {state}"
        facts.append(Fact.of(name, "s", *(run["process"] for run in runs)))
        facts.append(Fact.of(f"{name}, without imports", "s", *(run["corpus"] for run in runs)))

    facts.append(Fact.of("first batch again in one process", "s", *again[0.0]))
    for place in PLACES:
        facts.append(Fact.of(f"resume at {100 * place:g} % of an epoch", "s", *again[place]))
    facts.append(Fact.of("peak memory beyond imports", "MB", *(run["peak_mb"] for run in warm)))
    return facts


def evict(corpus: str) -> bool:
    """Let the page cache forget a folder's files; returns False for a store, whose caches are not ours."""
    if is_address(corpus):
        return False
    for path in filter(Path.is_file, Path(corpus).rglob("*")):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # what is not on the disk yet cannot be forgotten
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def new_process(corpus: str) -> dict[str, float]:
    """Run `main` in a new process; returns the numbers that it prints."""
    command = [
        sys.executable,
        "-m",
        "surgstream.benchmarks.themes.loader",
        corpus,
        str(time.time()),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    printed: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return printed


def first_batch(corpus: str, place: float) -> float:
    """Seconds from opening the corpus to the first batch on the device."""
    began = time.perf_counter()
    with Loading(corpus).open(place) as loader:
        next(loader)
        return time.perf_counter() - began


def main() -> None:
    """Print what a new process sees, as JSON."""
    corpus = sys.argv[1]
    started = float(sys.argv[2])
    before = status_kb("VmRSS")
    opening = time.perf_counter()
    with Loading(corpus).open() as loader:
        next(loader)
        seconds = time.time() - started
        since = time.perf_counter() - opening
        take(loader, WARM_UP + NUM_BATCHES)
        peak_mb = 1.024e-3 * (status_kb("VmHWM") - before)
    print(json.dumps({"process": seconds, "corpus": since, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
