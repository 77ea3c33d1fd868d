"""The findings of a comparison of corpora, and the videos that could not be compared, as text and as JSON."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from surgstream.configs.loading import to_tree

KINDS = ("held_out", "across", "within")
Way = Literal["frames", "motion", "pictures"]

LISTED = 10
"""Names that the terminal shows of a list; JSON has them all."""


@dataclass(frozen=True, kw_only=True)
class SharedInterval:
    """Seconds of a video, from its first picture on."""

    corpus: str
    dataset: str
    video: str
    start: float
    stop: float


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Two stretches that show the same; `second` is the held-out one where one is.

    Attributes:
        kind: One of KINDS.
        way: Frames that are the same byte for byte, the same motion, single pictures that look the same.
        pose: The orientation of the one, seen from the other: upright, mirrored, or turned by half a turn.
        first: Of a video.
        second: Of another one.
        score: 0, as by chance, to 1, the same.
    """

    kind: str
    way: Way
    pose: str
    first: SharedInterval
    second: SharedInterval
    score: float


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """A video that could not be compared by its motion, and why: it is too short, still, or dark or of one colour."""

    corpus: str
    dataset: str
    video: str
    seconds: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """The part of a corpus that was looked at; `silent_seconds` are those without a fingerprint of motion."""

    corpus: str
    videos: int
    seconds: float
    silent_seconds: float


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The result of comparing corpora.

    Attributes:
        findings: What is shown twice.
        corpora: What was compared, TRAIN first.
        by_pictures: Videos that were compared by single pictures and whole frames alone.
        not_compared: Videos that were compared by whole frames alone: copies that are coded again are not found.
        missed_between_seconds: Kinds of pairs in which a copy that starts between two seconds may be missed, since
            neither video has four frames a second.
    """

    findings: tuple[Leak, ...]
    corpora: tuple[Side, ...]
    by_pictures: tuple[Doubtful, ...]
    not_compared: tuple[Doubtful, ...]
    missed_between_seconds: tuple[str, ...]


def best_of(findings: Iterable[Leak]) -> list[Leak]:
    """Drop findings that a surer one of the same videos mostly covers: one of equal frames, or a longer one."""
    kept: dict[tuple[SharedInterval, ...], list[Leak]] = {}
    for finding in sorted(findings, key=_surest_first):
        videos = _whole(finding.first), _whole(finding.second)
        same = kept.setdefault(videos, [])
        most = _length(finding.first) / 2
        if all(_shared(finding.first, better.first) <= most for better in same):
            same.append(finding)

    return sorted(itertools.chain.from_iterable(kept.values()), key=_place)


def as_json(compared: Compared) -> str:
    """All findings, and what was not compared, as one JSON object."""
    return json.dumps(to_tree(compared), indent=1) + "\n"


def as_text(compared: Compared) -> str:
    """A line for each finding, how many of each kind there are, and what could not be compared."""
    lines = [_told(finding) for finding in compared.findings]
    counts = Counter(finding.kind for finding in compared.findings)
    by_kind = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    lines.append(f"stretches that two videos show: {by_kind}")

    for side in compared.corpora:
        lines += _about(side, compared)
    if compared.missed_between_seconds:
        kinds = ", ".join(compared.missed_between_seconds)
        lines.append(
            f"{kinds}: videos of both sides have fewer than four frames a second, so copies that "
            "start between seconds may be missed; --from-sources compares the videos themselves"
        )
    return "\n".join(lines) + "\n"


def some_of(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:LISTED])
    return f"{shown}, and {len(names) - LISTED} more" if len(names) > LISTED else shown


def _about(side: Side, compared: Compared) -> Iterator[str]:
    share = side.silent_seconds / max(side.seconds, 1)
    yield (
        f"{side.corpus}: {side.videos} videos, {side.seconds:,.0f} s, "
        f"of which {side.silent_seconds:,.0f} s ({share:.0%}) have no fingerprint of motion"
    )

    lists = {
        "compared by single pictures alone, since too short or still": compared.by_pictures,
        "NOT compared, but for equal frames": compared.not_compared,
    }
    for what, videos in lists.items():
        named = [
            f"{video.dataset}/{video.video} ({video.seconds:,.0f} s, {video.why})"
            for video in videos
            if video.corpus == side.corpus
        ]
        if named:
            yield f"  {len(named)} videos {what}: {some_of(named)}"


def _told(finding: Leak) -> str:
    how = finding.way if finding.pose == "upright" else f"{finding.way}, {finding.pose}"
    sides = f"{_named(finding.first)}  =  {_named(finding.second)}"
    return f"{finding.score:.2f}  {finding.kind:<8}  {sides}  ({how})"


def _named(stretch: SharedInterval) -> str:
    return f"{stretch.dataset}/{stretch.video} {stretch.start:,.0f} to {stretch.stop:,.0f} s"


def _surest_first(finding: Leak) -> tuple[bool, float]:
    return finding.way != "frames", -finding.score * _length(finding.first)


def _whole(stretch: SharedInterval) -> SharedInterval:
    return SharedInterval(
        corpus=stretch.corpus, dataset=stretch.dataset, video=stretch.video, start=0, stop=0
    )


def _length(stretch: SharedInterval) -> float:
    return stretch.stop - stretch.start


def _shared(one: SharedInterval, other: SharedInterval) -> float:
    return min(one.stop, other.stop) - max(one.start, other.start)


def _place(finding: Leak) -> tuple[int, str, str, float]:
    first = finding.first
    return KINDS.index(finding.kind), first.dataset, first.video, first.start
