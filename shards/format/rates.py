"""Rates: the frames a second that videos were packed at, and those that a run wants.

A video at k times the wanted rate is seen as if it had been packed at that rate: of its frames 0, 1, 2, ... those whose
number k divides. They are the very ones that packing at the wanted rate picks, so clips, their number and their order
are the same.
"""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.format.names import MANIFEST_NAME
from surgstream.shards.format.records import PackedVideo, Shard
from surgstream.shards.storage.addresses import is_address
from surgstream.shards.storage.stores import open_storage


class RateError(ConfigError):
    """A corpus was packed at a rate that a run cannot take."""


def frames_apart(dataset: str, video: PackedVideo, fps: float | None, *, where: str) -> int:
    """How many frames of a video pass from one that a run wants to the next.

    Args:
        dataset: Its dataset.
        video: The video.
        fps: The wanted frames a second; None takes every frame, whatever the rate.
        where: What to call the corpus in messages.

    Raises:
        RateError: The video's rate is no whole multiple of the wanted one.
    """
    if fps is None:
        return 1
    times = _times(video.fps, fps)
    if times.denominator != 1:
        raise RateError(
            f"{where}: {dataset}: {video.id}: expected data.fps={fps:g} frames a second, or a whole multiple, got "
            f"{video.fps:g}; pack the corpus again with fps={fps:g}, or train at its own rate, data.fps={video.fps:g}, "
            "which makes clips as much shorter or longer"
        )
    return times.numerator


def check_rates(shards: Iterable[Shard], fps: float | None, *, where: str) -> None:
    """Check that a run can take all videos of a corpus at its rate; takes and raises what `frames_apart` does."""
    for shard in shards:
        for video in shard.videos:
            frames_apart(shard.dataset, video, fps, where=where)


def check_rates_at_hand(places: Iterable[str], fps: float | None) -> None:
    """The same for those of some corpora that lie in a folder of this machine.

    Raises:
        RateError: As `frames_apart`.
        ManifestError: A manifest is damaged.
    """
    for place in places:
        if not is_address(place) and (Path(place) / MANIFEST_NAME).is_file():
            check_rates(ManifestFile.load(open_storage(place)).shards(), fps, where=place)


@lru_cache
def _times(packed: float, wanted: float) -> Fraction:
    """How many times one rate is the other, as these are written: 0.3 is three times 0.1."""
    return Fraction(str(packed)) / Fraction(str(wanted))
