"""The framing of a film's pictures: the first one decides the size of all frames."""

from surgstream.shards.errors import VideoError
from surgstream.shards.format.names import is_frame_size
from surgstream.shards.format.records import Box
from surgstream.shards.video.container.shape import Shape
from surgstream.shards.video.picture import Framing, fit, frame


class Framer:
    """Frames the pictures of one film, in order: the first one as `frame` does, others into its size, as `fit` does.

    Attributes:
        width: Width of the frames in pixels; 0 before the first picture.
        height: Height of the frames in pixels.
        shape: The shape of the latest picture; None before the first one.
    """

    def __init__(self, short_side: int, crop: tuple[Box, Shape] | None = None) -> None:
        """Wait for the first picture.

        Args:
            short_side: See `shards.video.picture.packed_size`.
            crop: The part that is kept of pictures of the given stored shape; others are not cropped.
        """
        self.width = 0
        self.height = 0
        self.shape: Shape | None = None
        self._short_side = short_side
        self._crop = crop
        self._framing: Framing | None = None

    def of(self, shape: Shape) -> Framing:
        """Frame the next picture, which has this shape.

        Raises:
            VideoError: Frames would be too large.
        """
        if self._framing is not None and shape == self.shape:
            return self._framing

        # A crop was found for one stored shape, and means nothing for others.
        crop = self._crop[0] if self._crop and self._crop[1] == shape.stored else None
        if self._framing is None:
            self._framing = frame(shape, self._short_side, crop)
            self.width, self.height = self._framing.size
            self._check_size()
        else:
            self._framing = fit(shape, (self.width, self.height), crop)

        self.shape = shape
        return self._framing

    def _check_size(self) -> None:
        if not is_frame_size(self.width, self.height):
            raise VideoError(
                f"its frames would have {self.width}x{self.height} pixels, and 8K is the most; "
                "lower short_side"
            )
