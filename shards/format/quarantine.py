"""What a corpus says of videos that cannot be packed."""

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
        """Where its file lies."""

    @property
    def hidden(self) -> bool:
        """Whether that is not to be told."""


def quarantined(dataset: str, video: Named, error: VideoError) -> Quarantined:
    """What a corpus says of a video that cannot be packed."""
    source, reason = (video.id, error.nameless) if video.hidden else (video.location, str(error))
    return Quarantined(dataset=dataset, video=video.id, source=source, reason=reason)
