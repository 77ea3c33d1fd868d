"""Frames of a film as JPEGs."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from fractions import Fraction
from typing import Any, Generic, Protocol, TypeVar

from PIL import Image

from surgstream.shards.format.records import Box, Change
from surgstream.shards.video.container.shape import Shape
from surgstream.shards.video.framing import Framer
from surgstream.shards.video.picture import Framing, to_image, to_jpeg
from surgstream.shards.video.sources import Film

Seen = TypeVar("Seen")

_Coming = tuple[int, bool, Future[tuple[bytes, Seen | None]]]
"""A frame while it is encoded: its number, whether it is looked at, and its JPEG with the scores."""

MAX_CHANGES = 100
"""Number of changes recorded of a video; one that changes more often is broken."""


class FrameObserver(Protocol[Seen]):
    """Observer of frames while they are packed."""

    def score(self, image: Image.Image) -> Seen:
        """Score a frame; called on several threads."""

    def add(self, number: int, seen: Seen) -> None:
        """Record the scores of frame `number`; called in order."""


class JpegFrames(Generic[Seen]):
    """A film's frames as JPEGs, to be iterated once: frame k is shown k / fps seconds after the first picture.

    Attributes:
        width: Width of the frames in pixels; the first picture decides it.
        height: Height of the frames in pixels.
        changes: Changes of the pictures' shape, complete after the last frame.
    """

    def __init__(
        self,
        film: Film,
        *,
        fps: Fraction,
        short_side: int,
        quality: int,
        crop: tuple[Box, Shape] | None = None,
        threads: int = 1,
        watcher: FrameObserver[Seen] | None = None,
    ) -> None:
        """Prepare the frames, without opening the film.

        Args:
            film: The film.
            fps: Frames a second.
            short_side: See `packed_size`.
            quality: JPEG quality, 1 to 100.
            crop: The part that is kept of pictures of the given stored shape; others are not cropped.
            threads: Number of threads that encode, while another decodes.
            watcher: Observer of one frame a second, or of every frame if there are fewer.
        """
        self.width = 0
        self.height = 0
        self.changes: list[Change] = []

        self._film = film
        self._fps = fps
        self._framer = Framer(short_side, crop)
        self._quality = quality
        self._threads = threads
        self._watcher = watcher

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield each number k and the JPEG. Numbers grow; they jump where frames could not be decoded.

        Raises:
            VideoError: Nothing can be decoded or converted, or frames are too large.
            StorageError: The store fails.
        """
        waiting: deque[_Coming[Seen]] = deque()
        with ThreadPoolExecutor(self._threads) as pool:
            for coming in self._encoding(pool):
                waiting.append(coming)
                # Decoded pictures are large, so no more wait than threads encode.
                if len(waiting) > self._threads:
                    yield self._finished(*waiting.popleft())
            while waiting:
                yield self._finished(*waiting.popleft())

    def _encoding(self, pool: ThreadPoolExecutor) -> Iterator[_Coming[Seen]]:
        """Yield each number, whether its frame is looked at, and its future. A picture that stays is encoded once."""
        encoded = None
        was_looked_at = False
        due = 0
        every = max(1, int(self._fps))
        future: Future[tuple[bytes, Seen | None]] = Future()

        for number, picture in self._film.picked(self._fps):
            look = self._watcher is not None and number >= due
            if look:
                due = number + every

            # A picture that stays is encoded again if only now a look at it is due.
            if picture is not encoded or (look and not was_looked_at):
                if picture is encoded:
                    wait([future])  # one picture cannot be scaled on two threads at a time
                encoded = picture
                was_looked_at = look
                future = pool.submit(self._encode, picture, self._framing_of(picture, number), look)
            yield number, look, future

    def _encode(self, picture: Any, framing: Framing, look: bool) -> tuple[bytes, Seen | None]:
        image = to_image(picture, framing)
        jpeg = to_jpeg(image, self._quality)
        seen = self._watcher.score(image) if self._watcher and look else None
        return jpeg, seen

    def _finished(
        self, number: int, looked: bool, future: Future[tuple[bytes, Seen | None]]
    ) -> tuple[int, bytes]:
        jpeg, seen = future.result()
        if self._watcher and looked and seen is not None:
            self._watcher.add(number, seen)
        return number, jpeg

    def _framing_of(self, picture: Any, number: int) -> Framing:
        """Frame a picture, and note where its shape is another than that of the one before."""
        was = self._framer.shape
        shape = self._film.shape(picture)
        framing = self._framer.of(shape)
        self.width = self._framer.width
        self.height = self._framer.height

        if was is not None and shape != was and len(self.changes) < MAX_CHANGES:
            second = float(number / self._fps)
            self.changes.append(Change(second=second, was=str(was), now=str(shape)))
        return framing
