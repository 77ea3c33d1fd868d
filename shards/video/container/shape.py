"""Shapes of pictures, found for each picture: a recorder's input may change in the middle of a video."""

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
"""Widest pixel for its height, and the narrowest by its inverse; beyond that, square pixels are assumed."""

Turn = Image.Transpose | None

# Transpositions that turn a picture upright, by the signs of the diagonal of its display matrix, or of the other one.
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

_CORNER = (16, 4)  # width and height in pixels of the part that its properties are measured on
_TURNS = 8  # key frames to remember: a picture is looked at when later ones are already decoded
_PARTS = 2048  # units of a pixel's width in its height


class Margins(NamedTuple):
    """Margins that a container declares to be cut off, in stored pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


@dataclass(frozen=True)
class Shape:
    """The geometry of a picture, as it is stored and as it is meant to be shown.

    Attributes:
        width: Stored width in pixels.
        height: Stored height in pixels.
        box: The part of the stored picture that is shown.
        pixel_aspect: Width of a pixel over its height.
        turn: The transposition that turns it upright.
    """

    width: int
    height: int
    box: Box
    pixel_aspect: Fraction = Fraction(1)
    turn: Turn = None

    @property
    def stored(self) -> "Shape":
        """The shape without its turn, which moves nothing in the stored picture."""
        return replace(self, turn=None)

    @property
    def is_quarter_turn(self) -> bool:
        """Whether width and height change places when it is turned."""
        return self.turn in _QUARTERS

    def __str__(self) -> str:
        words = [f"{self.width}x{self.height}"]
        if self.box != whole(self.width, self.height):
            width = self.box.right - self.box.left
            height = self.box.bottom - self.box.top
            words.append(f"of which {width}x{height} are shown")
        if self.pixel_aspect != 1:
            words.append(f"pixels {float(self.pixel_aspect):.4g} as wide as high")
        if self.turn is not None:
            words.append(self.turn.name.lower().replace("_", " "))
        return ", ".join(words)


def whole(width: int, height: int) -> Box:
    """Make the box of a whole picture."""
    return Box(left=0, top=0, right=width, bottom=height)


def square(aspect: Fraction | None) -> Fraction:
    """Return an aspect of pixels if it is possible; 1 if it is not, or not declared."""
    if aspect is None or not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
        return Fraction(1)
    return Fraction(aspect)


class Shapes:
    """Finds the shapes of pictures.

    PyAV tells neither the pixel aspect of a picture nor, without keeping it until the garbage collector comes, its
    display matrix. A graph of filters copies both to the picture's corner, and widens that by the aspect. A picture
    without such a corner, for instance a tiny one, has the shape that its stream declares.

    Args:
        declared: The pixel aspect that the stream declares. Those of the pictures come first.
        overruled: The container's, where it differs from the stream's: then it counts for all pictures.
        margins: Margins that are cut off from all of them.
    """

    def __init__(self, declared: Fraction, overruled: Fraction | None, margins: Margins) -> None:
        self._declared = declared
        self._overruled = overruled
        self._margins = margins
        self._graph = av.filter.Graph()
        self._kind = ""  # size and format of the pictures that the graph is for
        self._turns: deque[tuple[int, Turn]] = deque(maxlen=_TURNS)

    def note(self, key_frame: Any) -> None:
        """Record the turn that a key frame declares: in some streams only key frames do, or only the first one."""
        matrix = _display_matrix(self._corner(key_frame))
        if matrix is not None and key_frame.pts is not None:
            self._turns.append((key_frame.pts, _turn(matrix)))

    def of(self, picture: Any) -> Shape:
        """Find the shape of a picture."""
        corner = self._corner(picture)
        matrix = _display_matrix(corner)
        own = self._declared
        if corner is not None:
            # `_widening` has added 4 * _PARTS pixels times the aspect.
            measured = Fraction((corner.width - _CORNER[0]) // 4, _PARTS)
            # A declared aspect is exact, a measured one is rounded.
            if abs(own - measured) > Fraction(1, _PARTS):
                own = measured

        return Shape(
            width=picture.width,
            height=picture.height,
            box=self._box(picture.width, picture.height),
            pixel_aspect=square(self._overruled or own),
            turn=self._turn_at(picture) if matrix is None else _turn(matrix),
        )

    def _box(self, width: int, height: int) -> Box:
        """Cut the margins off a picture, unless nothing would be left."""
        box = Box(
            left=self._margins.left,
            top=self._margins.top,
            right=width - self._margins.right,
            bottom=height - self._margins.bottom,
        )
        is_possible = box.left < box.right and box.top < box.bottom
        return box if is_possible else whole(width, height)

    def _turn_at(self, picture: Any) -> Turn:
        """Give the turn of the last key frame before a picture that declares one."""
        if picture.pts is None:
            return None
        before = (turn for stamp, turn in reversed(self._turns) if stamp <= picture.pts)
        return next(before, None)

    def _corner(self, picture: Any) -> Any | None:
        if picture.width < _CORNER[0] or picture.height < _CORNER[1]:
            return None

        kind = f"{picture.width}x{picture.height} {picture.format.name}"
        try:
            if kind != self._kind:
                self._graph = _widening(picture)
                self._kind = kind
            self._graph.push(picture)
            return self._graph.pull()
        except av.FFmpegError:
            self._kind = ""  # a graph that has failed is replaced
            return None


def _widening(picture: Any) -> Any:
    """Make a graph that gives a picture's corner, widened by 4 * _PARTS pixels times the pixel aspect."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base or 1,
    )
    crop = graph.add("crop", f"w={_CORNER[0]}:h={_CORNER[1]}:x=0:y=0:exact=1")

    aspect = f"if(between(sar,{float(1 / WIDEST_PIXEL)},{float(WIDEST_PIXEL)}),sar,1)"
    pad = graph.add("pad", f"w='iw+4*round({_PARTS}*{aspect})':h=ih:eval=frame")

    graph.link_nodes(source, crop, pad, graph.add("buffersink")).configure()
    return graph


def _display_matrix(corner: Any | None) -> bytes | None:
    """Read the display matrix of a corner, which only the garbage collector frees afterwards."""
    for data in () if corner is None else corner.side_data:
        if data.type == SideData.DISPLAYMATRIX:
            matrix = bytes(data)
            return matrix if len(matrix) == 36 else None
    return None


def _turn(display_matrix: bytes) -> Turn:
    """Find the transposition that turns a picture upright; angles are taken to the nearest quarter."""
    # The upper left 2x2 of the 3x3 matrix, row by row.
    a, b, _, c, d = struct.unpack("=5i", display_matrix[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _MIRRORED[_sign(a), _sign(d)]
    return _TURNED[_sign(b), _sign(c)]


def _sign(number: int) -> int:
    return -1 if number < 0 else 1
