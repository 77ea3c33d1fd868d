"""What a picture is like, each for itself: a recorder's input may change in the middle of a video."""

import struct
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.filter
from av.sidedata.sidedata import Type as SideData
from PIL import Image

from surgstream.shards.format.records import Box

WIDEST_PIXEL = Fraction(4)
"""What is declared to be wider, or as narrow, is a mistake: then pixels are taken to be square."""

Turn = Image.Transpose | None

# What turns a picture upright, by the signs of the diagonal of its display matrix, or else of its counterdiagonal.
_MIRRORED = {
    (1, 1): None,
    (-1, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, -1): Image.Transpose.ROTATE_180,
}
_TURNED = {
    (-1, 1): Image.Transpose.ROTATE_90,
    (1, -1): Image.Transpose.ROTATE_270,
    (1, 1): Image.Transpose.TRANSPOSE,
    (-1, -1): Image.Transpose.TRANSVERSE,
}
_QUARTERS = frozenset(_TURNED.values())

_CORNER = (16, 4)  # width and height in pixels of what its properties are asked of
_TURNS = (
    8  # key frames that are remembered: a picture is asked when the next ones are already there
)
_PARTS = 2048  # of a pixel's height that its width is measured in


class Margins(NamedTuple):
    """What a container declares to be cut off, in stored pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


@dataclass(frozen=True)
class Shape:
    """A picture as it is stored, and how it is meant to be shown.

    Attributes:
        width: Stored, in pixels.
        height: Stored, in pixels.
        box: What of it is shown.
        pixel_aspect: How wide a pixel is for its height.
        turn: What turns it upright.
    """

    width: int
    height: int
    box: Box
    pixel_aspect: Fraction = Fraction(1)
    turn: Turn = None

    @property
    def stored(self) -> "Shape":
        """The same without its turn, which changes nothing about where things lie in the stored picture."""
        return replace(self, turn=None)

    @property
    def is_quarter_turn(self) -> bool:
        """Whether width and height change places when it is turned."""
        return self.turn in _QUARTERS

    def __str__(self) -> str:
        words = [f"{self.width}x{self.height}"]
        if self.box != whole(self.width, self.height):
            words.append(
                f"of which {self.box.right - self.box.left}x{self.box.bottom - self.box.top} are "
                "shown"
            )
        if self.pixel_aspect != 1:
            words.append(f"pixels {float(self.pixel_aspect):.4g} as wide as high")
        if self.turn is not None:
            words.append(self.turn.name.lower().replace("_", " "))
        return ", ".join(words)


def whole(width: int, height: int) -> Box:
    """All of a picture."""
    return Box(left=0, top=0, right=width, bottom=height)


def square(aspect: Fraction | None) -> Fraction:
    """An aspect of pixels that can be; 1 for one that cannot, or that is not declared."""
    possible = aspect is not None and 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL
    return Fraction(aspect) if aspect is not None and possible else Fraction(1)


class Shapes:
    """Asks pictures what they are like.

    PyAV tells neither the pixel aspect of a picture nor, without keeping it until the garbage collector comes, its
    display matrix. A graph of filters copies both to the picture's corner, and widens that by the aspect. A picture of
    which there is no such corner, a tiny one, say, is as its stream declares it.

    Args:
        declared: The pixel aspect as the stream declares it. Pictures' own ones count.
        overruled: The container's, where it says otherwise than the stream: then that counts for all pictures.
        margins: What is cut off from all of them.
    """

    def __init__(self, declared: Fraction, overruled: Fraction | None, margins: Margins) -> None:
        self._declared, self._overruled, self._margins = declared, overruled, margins
        self._graph, self._kind = av.filter.Graph(), ""
        self._turns: deque[tuple[int, Turn]] = deque(maxlen=_TURNS)

    def note(self, key_frame: Any) -> None:
        """Take note of what a key frame says of its turn: in some streams only key frames do, or only the first one."""
        matrix = _display_matrix(self._corner(key_frame))
        if matrix is not None and key_frame.pts is not None:
            self._turns.append((key_frame.pts, _turn(matrix)))

    def of(self, picture: Any) -> Shape:
        """What a picture is like."""
        corner = self._corner(picture)
        matrix, own = _display_matrix(corner), self._declared
        if corner is not None:
            # `_widening` has added 4 * _PARTS pixels times the aspect
            measured = Fraction((corner.width - _CORNER[0]) // 4, _PARTS)
            own = (
                own if abs(own - measured) <= Fraction(1, _PARTS) else measured
            )  # what is declared is exact

        width, height, margins = picture.width, picture.height, self._margins
        box = Box(
            left=margins.left,
            top=margins.top,
            right=width - margins.right,
            bottom=height - margins.bottom,
        )
        possible = box.left < box.right and box.top < box.bottom

        return Shape(
            width=width,
            height=height,
            box=box if possible else whole(width, height),
            pixel_aspect=square(self._overruled or own),
            turn=self._turn_at(picture) if matrix is None else _turn(matrix),
        )

    def _turn_at(self, picture: Any) -> Turn:
        """By the last key frame before a picture that says it."""
        before = (
            turn
            for stamp, turn in reversed(self._turns)
            if picture.pts is not None and stamp <= picture.pts
        )
        return next(before, None)

    def _corner(self, picture: Any) -> Any | None:
        if picture.width < _CORNER[0] or picture.height < _CORNER[1]:
            return None
        kind = f"{picture.width}x{picture.height} {picture.format.name}"
        try:
            if kind != self._kind:
                self._graph, self._kind = _widening(picture), kind
            self._graph.push(picture)
            return self._graph.pull()
        except av.FFmpegError:
            self._kind = ""  # a graph that has failed is made anew
            return None


def _widening(picture: Any) -> Any:
    """A graph that gives a picture's corner, wider by as many times 4 * _PARTS pixels as its pixels are wide."""
    graph = av.filter.Graph()
    graph.threads = 1
    aspect = f"if(between(sar,{float(1 / WIDEST_PIXEL)},{float(WIDEST_PIXEL)}),sar,1)"
    graph.link_nodes(
        graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base or 1,
        ),
        graph.add("crop", f"w={_CORNER[0]}:h={_CORNER[1]}:x=0:y=0:exact=1"),
        graph.add("pad", f"w='iw+4*round({_PARTS}*{aspect})':h=ih:eval=frame"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _display_matrix(corner: Any | None) -> bytes | None:
    """What a picture says of its turn. What was asked is freed by the garbage collector alone."""
    data_of = () if corner is None else corner.side_data
    matrix = next((bytes(data) for data in data_of if data.type == SideData.DISPLAYMATRIX), None)
    return None if matrix is None or len(matrix) != 36 else matrix


def _turn(display_matrix: bytes) -> Turn:
    """What turns a picture upright; angles are taken to the nearest quarter."""
    # The upper left 2x2 of the 3x3 matrix, row by row
    a, b, _, c, d = struct.unpack("=5i", display_matrix[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _MIRRORED[_sign(a), _sign(d)]
    return _TURNED[_sign(b), _sign(c)]


def _sign(number: int) -> int:
    return -1 if number < 0 else 1
