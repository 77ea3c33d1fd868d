"""Decode clips to batches of pixels, ahead of the trainer on a thread of its own."""

import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from surgstream.shards.reading.clips import ClipBytes
from surgstream.shards.reading.feed import ClipFeed
from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.data.augment import draw_transform
from surgstream.trainer.data.config import AugmentConfig, View
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.errors import DamagedFramesError

log = logging.getLogger(__name__)

Truth = Callable[[Sequence[ClipName]], npt.NDArray[Any]]
"""From the names of B clips to what is true of them, as `ClipBatch.labels` has it."""

_POLL_SECONDS = 0.1


class ClipLoader:
    """Iterates over this rank's micro-batches in order, decoding ahead on a thread.

    The consumer sees exactly what the stream yields, in its order; an error on the thread is raised where the batch was
    due. Close it, or use it as a context manager, to end the thread and the stream.

    Attributes:
        stream: The source of the clips.
        waits: Seconds that the trainer waited for each batch; a reader empties the list.
        decode_seconds: Time that the thread has spent on decoding so far, its waits for the GPU included.
    """

    def __init__(
        self,
        stream: ClipFeed,
        decoder: ClipDecoder,
        *,
        augment: AugmentConfig | View,
        seed: int,
        device: torch.device,
        truth: Truth | None = None,
        prefetch_batches: int = 2,
        stall_warning_seconds: float = 60.0,
    ) -> None:
        """Start decoding.

        Args:
            stream: This rank's clips, micro-batch by micro-batch.
            decoder: The DALI graph; used by this loader's thread alone until the loader is closed.
            augment: The recipe's augmentation; or a view, of clips that are judged.
            seed: The run's seed.
            device: The device that the trainer computes on.
            truth: Says what is true of clips, by their names; None where nothing is asked.
            prefetch_batches: The most micro-batches that wait decoded.
            stall_warning_seconds: Each time the trainer has waited this long, the log says what it waits for.
        """
        self.stream = stream
        self.waits: list[float] = []
        self.decode_seconds = 0.0

        self._decoder = decoder
        self._augment = augment
        self._seed = seed
        self._device = device
        self._truth = truth
        self._stall_warning_seconds = stall_warning_seconds

        # From the thread: a batch, the error that ended it, or None at the end of the stream.
        self._ready: queue.Queue[ClipBatch | BaseException | None] = queue.Queue(
            maxsize=prefetch_batches
        )
        self._closing = threading.Event()
        # Batches that kernels may still read, each with an event that comes after those kernels.
        self._in_use: deque[tuple[ClipBatch, torch.Event]] = deque()

        self._thread = threading.Thread(target=self._work, name="decode", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[ClipBatch]:
        """Iterate over batches; ends when the stream ends."""
        return self

    def __next__(self) -> ClipBatch:
        """Wait for the next micro-batch.

        Raises:
            ShardError: The stream could not read a clip, or too many are damaged.
            DecodingDeviceError: Memory or the GPU failed.
        """
        started = time.monotonic()
        item = self._wait()
        self.waits.append(time.monotonic() - started)
        if isinstance(item, ClipBatch):
            return self._keep_while_in_use(item)
        # Put back, so that every later call ends in the same way.
        self._ready.put(item)
        raise StopIteration if item is None else item

    @property
    def num_ready(self) -> int:
        """Batches that wait decoded."""
        return self._ready.qsize()

    def _wait(self) -> "ClipBatch | BaseException | None":
        waited = 0.0
        while True:
            try:
                return self._ready.get(timeout=self._stall_warning_seconds)
            except queue.Empty:
                waited += self._stall_warning_seconds
                log.warning("no batch for %.0f s; %s", waited, self.stream.activities.report())

    def close(self) -> None:
        """End the thread and the stream. May be called twice."""
        self._closing.set()
        self.stream.close()
        self._thread.join()

    def __enter__(self) -> "ClipLoader":
        """Return the loader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the loader."""
        self.close()

    def _work(self) -> None:
        try:
            if self._device.type == "cuda":
                torch.cuda.set_device(self._device)

            for clips in self.stream:
                started = time.monotonic()
                with self.stream.activities.doing("decodes"):
                    batch = self._decode(clips)
                self.decode_seconds += time.monotonic() - started
                if not self._put(batch):
                    return

            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, item: "ClipBatch | BaseException | None") -> bool:
        """Hand over an item; False when the loader is being closed."""
        while not self._closing.is_set():
            try:
                self._ready.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def _decode(self, clips: Sequence[ClipBytes]) -> ClipBatch:
        """Decode a batch, whose clips are replaced until all of them can be decoded."""
        while True:
            try:
                return self._batch(clips)
            except DamagedFramesError as error:
                clips = self._replaced(clips, error.reasons)

    def _replaced(self, clips: Sequence[ClipBytes], reasons: Mapping[int, str]) -> list[ClipBytes]:
        """Replace the clips that damaged frames, by position in the batch, belong to.

        Clips of one draw have one substitute: a pass is filled up with copies of a clip.
        """
        # Of each frame its clip, and its number there: a still has one, other clips have T.
        places = [(clip, number) for clip in clips for number in range(len(clip.frames))]
        substitutes: dict[int, ClipBytes] = {}
        for position, reason in reasons.items():
            clip, frame = places[position]
            if clip.draw not in substitutes:
                substitutes[clip.draw] = self.stream.substitute(clip, frame, reason)
        return [substitutes.get(clip.draw, clip) for clip in clips]

    def _batch(self, clips: Sequence[ClipBytes]) -> ClipBatch:
        g = np.array([clip.draw for clip in clips], dtype=np.int64)
        names = tuple(
            ClipName(clip.dataset, clip.video, clip.anchor_frame, clip.planned) for clip in clips
        )
        valid = np.array([clip.valid for clip in clips])
        stills = np.array([clip.is_still for clip in clips])

        sizes = np.array([(clip.width, clip.height) for clip in clips], dtype=np.int64)
        transform = draw_transform(self._augment, self._seed, g, sizes)
        frames = list(itertools.chain.from_iterable(clip.frames for clip in clips))

        pixels = self._decoder.decode(frames, transform, stills)
        labels = None
        if self._truth:
            labels = torch.from_numpy(self._truth(names)).to(self._device)
        return ClipBatch(
            clips=pixels, draws=g, names=names, valid=valid, stills=stills, labels=labels
        )

    def _keep_while_in_use(self, batch: ClipBatch) -> ClipBatch:
        """On a GPU, hold earlier batches until the kernels that read them have run.

        The pixels belong to DALI, which does not know the trainer's stream and would reuse them at once.
        """
        if self._device.type != "cuda":
            return batch

        while len(self._in_use) > 1 and self._in_use[0][1].query():
            self._in_use.popleft()
        # By now the trainer has queued all of its work on the last batch.
        if self._in_use:
            self._in_use[-1][1].record()
        self._in_use.append((batch, torch.Event("cuda")))
        return batch
