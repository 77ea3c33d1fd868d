"""Deinterlacing of pictures."""

import contextlib
from collections.abc import Iterator
from typing import Any

import av
import av.filter


class Deinterlacer:
    """FFmpeg's bwdif, which makes one picture of both fields; progressive pictures pass as they are."""

    _graph: Any = None
    _kind: Any = None

    def push(self, picture: Any | None) -> Iterator[Any]:
        """Put a picture in, or None at an end, and yield what is ready: each picture waits for the next one."""
        kind = None
        if picture is not None:
            kind = (picture.width, picture.height, picture.format.name, picture.time_base)

        # A graph takes pictures of one kind only.
        if self._graph is not None and kind != self._kind:
            yield from self._put(None)
            self._graph = None

        if picture is not None:
            if self._graph is None:
                self._graph = _bwdif(picture)
                self._kind = kind
            yield from self._put(picture)

    def _put(self, picture: Any | None) -> Iterator[Any]:
        self._graph.push(picture)
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while True:
                yield self._graph.pull()


def _bwdif(picture: Any) -> Any:
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base,
        ),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph
