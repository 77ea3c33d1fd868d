"""Clips of bytes to batches of pixels, ahead of the trainer on a thread of its own."""

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from shards.stream import ClipBytes, ClipStream
from trainer.batch import ClipBatch, ClipName
from trainer.data.augment import CropConfig, center_crop, multi_scale_crop
from trainer.data.decode import ClipDecoder
from trainer.errors import DecodeError

_POLL_SECONDS = 0.1


class ClipLoader:
    """Iterates over this rank's micro-batches in order, decoding ahead on a thread.

    The consumer sees exactly what the stream yields, in its order; an error on the thread is raised where the batch was
    due. Close it, or use it as a context manager, to end the thread and the stream.
    """

    def __init__(
        self,
        stream: ClipStream,
        decoder: ClipDecoder,
        *,
        crop: CropConfig | None,
        seed: int,
        device: torch.device,
        prefetch_batches: int = 2,
    ) -> None:
        """Start decoding.

        Args:
            stream: This rank's clips, micro-batch by micro-batch.
            decoder: The DALI graph; used by this loader's thread alone until the loader is closed.
            crop: How to draw crop windows; None takes the centre square, for evaluation.
            seed: The run's seed.
            device: Where the trainer wants the clips.
            prefetch_batches: Micro-batches that may wait decoded.
        """
        self._stream, self._decoder, self._crop, self._seed, self._device = stream, decoder, crop, seed, device
        self._ready: queue.Queue[ClipBatch | BaseException | None] = queue.Queue(maxsize=prefetch_batches)
        self._closing = threading.Event()
        self._in_use: deque[tuple[ClipBatch, torch.Event]] = deque()
        self._thread = threading.Thread(target=self._work, name="decode", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[ClipBatch]:
        """Iterate over batches; ends when the stream ends."""
        return self

    def __next__(self) -> ClipBatch:
        """Wait for the next micro-batch.

        Raises:
            ShardError: The stream could not read a clip.
            DecodeError: A clip's bytes could not be decoded.
        """
        item = self._ready.get()
        if isinstance(item, ClipBatch):
            return self._keep_while_in_use(item)
        self._ready.put(item)
        raise StopIteration if item is None else item

    def close(self) -> None:
        """End the thread and the stream. May be called twice."""
        self._closing.set()
        self._stream.close()
        self._thread.join()

    def __enter__(self) -> "ClipLoader":
        """Return the loader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the loader."""
        self.close()

    def _work(self) -> None:
        try:
            for clips in self._stream:
                if not self._put(self._decode(clips)):
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
        g = np.array([clip.g for clip in clips], dtype=np.int64)
        sizes = np.array([(clip.width, clip.height) for clip in clips], dtype=np.int64)
        names = tuple(ClipName(clip.dataset, clip.video, clip.anchor_frame) for clip in clips)
        windows = multi_scale_crop(self._crop, self._seed, g, sizes) if self._crop else center_crop(sizes)
        try:
            pixels = self._decoder.decode([frame for clip in clips for frame in clip.frames], windows)
        except DecodeError as error:
            raise DecodeError(f"draws {g.min()} to {g.max()}, clips {', '.join(map(str, names))}: {error}") from None
        if pixels.device != self._device:
            pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        return ClipBatch(clips=pixels, g=g, names=names)

    def _keep_while_in_use(self, batch: ClipBatch) -> ClipBatch:
        """On a GPU, hold earlier batches until the kernels that read them have run.

        The pixels belong to DALI, which does not know the trainer's stream and would reuse them at once.
        """
        if self._device.type == "cuda":
            while len(self._in_use) > 1 and self._in_use[0][1].query():
                self._in_use.popleft()
            if self._in_use:
                self._in_use[-1][1].record()
            self._in_use.append((batch, torch.Event("cuda")))
        return batch
