"""The records of videos that cannot be packed."""

from dataclasses import dataclass
from typing import Protocol

from surgstream.shards.errors import VideoError


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A video that is not packed, and why."""

    dataset: str
    video: str
    source: str
    reason: str


class Named(Protocol):
    """A video, planned or not."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def location(self) -> str:
        """The path or address of its file."""

    @property
    def hidden(self) -> bool:
        """Whether the location must not be told."""


def quarantined(dataset: str, video: Named, error: VideoError) -> Quarantined:
    """The record of a video that cannot be packed; it does not name the file of a hidden one."""
    return Quarantined(
        dataset=dataset,
        video=video.id,
        source=video.id if video.hidden else video.location,
        reason=error.nameless if video.hidden else str(error),
    )
