"""Rates: the frames a second at which videos were packed, and those that a run wants.

A video at k times the wanted rate is read as if it had been packed at that rate: of its frames 0, 1, 2, ... only those
whose number is a multiple of k. Packing at the wanted rate picks the same ones, so clips, their number and their order
are the same.
"""

from collections.abc import Collection, Iterable, Mapping
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


def frames_apart(shard: Shard, video: PackedVideo, fps: float | None, *, where: str) -> int:
    """The distance, in frames of a video, from one frame that a run wants to the next.

    Args:
        shard: Its shard.
        video: The video.
        fps: The wanted frames a second; None takes every frame, whatever the rate.
        where: The name of the corpus in messages.

    Returns:
        The distance; 0 for still images, which have no rate.

    Raises:
        RateError: The video's rate is no whole multiple of the wanted one.
    """
    if shard.stills:
        return 0
    if fps is None:
        return 1
    times = _times(video.fps, fps)
    if times.denominator != 1:
        raise RateError(
            f"{where}: {shard.dataset}: {video.id}: expected data.fps={fps:g} frames a second, "
            f"or a whole multiple, got {video.fps:g}; pack the corpus again with fps={fps:g}, "
            f"or train at its own rate, data.fps={video.fps:g}, "
            "which makes clips as much shorter or longer"
        )
    return times.numerator


def check_rates(
    shards: Iterable[Shard],
    fps: float | None,
    datasets: Collection[str] | None = None,
    *,
    where: str,
) -> None:
    """Check that a run can take the videos of a corpus, or of some of its datasets, at its rate.

    It takes and raises what `frames_apart` does.
    """
    for shard in shards:
        if datasets is None or shard.dataset in datasets:
            for video in shard.videos:
                frames_apart(shard, video, fps, where=where)


def check_rates_at_hand(
    places: Iterable[str], fps: float | None, parts: Mapping[str, Collection[str]]
) -> None:
    """Check the rates of those corpora that lie in a folder of this machine.

    Args:
        places: The corpora.
        fps: See `frames_apart`.
        parts: The datasets that are read, of corpora of which not all are.

    Raises:
        RateError: As `frames_apart`.
        ManifestError: A manifest is damaged.
    """
    for place in places:
        if not is_address(place) and (Path(place) / MANIFEST_NAME).is_file():
            manifest = ManifestFile.load(open_storage(place))
            check_rates(manifest.shards(), fps, parts.get(place), where=place)


@lru_cache
def _times(packed: float, wanted: float) -> Fraction:
    """The ratio of two rates as they are written: 0.3 is three times 0.1."""
    return Fraction(str(packed)) / Fraction(str(wanted))
