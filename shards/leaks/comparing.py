"""Compare packed corpora: processes look at every video, then all videos are compared with each other in three ways."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.records import PackedVideo
from surgstream.shards.leaks.candidates import Library, bands_of
from surgstream.shards.leaks.findings import (
    Compared,
    Doubtful,
    Leak,
    SharedInterval,
    Side,
    Way,
    best_of,
)
from surgstream.shards.leaks.fingerprints import FRAMES
from surgstream.shards.leaks.frames import find_equal
from surgstream.shards.leaks.looking import Sources, look_tasks, looks_at
from surgstream.shards.leaks.matching import Match, evidence_needed, find_matches, num_comparisons
from surgstream.shards.leaks.pictures import find_alike
from surgstream.shards.leaks.read import PHASES, VideoFingerprints
from surgstream.shards.leaks.thumbnails import POSES, WORDS, Bits
from surgstream.shards.progress import progress_bar

Mask = npt.NDArray[np.bool_]

_GAIN = 0.16
"""The evidence of a second of a good copy; a copy with too little of it in all is not found by its motion."""


@dataclass(frozen=True)
class ComparedVideo:
    """A video of a corpus, and what is known of it."""

    corpus: str
    dataset: str
    video: PackedVideo
    look: VideoFingerprints

    def stretch(self, start: float, seconds: float) -> SharedInterval:
        """Some seconds of it."""
        return SharedInterval(
            corpus=self.corpus,
            dataset=self.dataset,
            video=self.video.id,
            start=start,
            stop=start + seconds,
        )


def compare(
    corpora: dict[str, Manifest],
    *,
    workers: int,
    sources: dict[str, Sources] | None = None,
    kept: Path | None = None,
) -> Compared:
    """Compare corpora.

    Args:
        corpora: Manifests by address, first that to train on, then those that are held out.
        workers: Processes at a time; 1 is this one.
        sources: By address of a corpus, the files to look at instead of packed frames.
        kept: The folder in which fingerprints of packed frames are kept; None keeps none.

    Returns:
        What videos of the first corpus share with each other and with the other corpora, and what was not compared.

    Raises:
        CorruptSampleError: A frame is damaged.
        StorageError: A store fails.
        VideoError: A source cannot be decoded.
    """
    train = next(iter(corpora))
    tasks = look_tasks(corpora, sources or {})

    # In the order of the corpora: the first `num_train` videos are those to train on.
    seen: list[ComparedVideo] = []
    for task, looks in zip(tasks, looks_at(tasks, workers=workers, kept=kept), strict=True):
        for video, look in zip(task.shard.videos, looks, strict=True):
            seen.append(ComparedVideo(task.corpus, task.shard.dataset, video, look))

    step = tasks[0].step
    num_train = sum(each.corpus == train for each in seen)
    motion = _libraries([list(each.look.motion) for each in seen])
    # How many telling fingerprints a video needs for a copy to be found by its motion.
    needed = evidence_needed(num_comparisons(motion, num_train)) / _GAIN
    telling = [each.look.motion[0].any(axis=1).sum() for each in seen]
    moving = np.array(telling) >= needed

    return Compared(
        findings=tuple(best_of(_findings(seen, motion, ~moving, num_train, step))),
        corpora=tuple(_side(uri, seen, step) for uri in corpora),
        by_pictures=tuple(_doubtful(seen, moving, needed, step, told=True)),
        not_compared=tuple(_doubtful(seen, moving, needed, step, told=False)),
        missed_between_seconds=tuple(_missed(seen, num_train)),
    )


def _findings(
    seen: list[ComparedVideo],
    motion: list[Library],
    short: Mask,
    train: int,
    step: float,
) -> Iterator[Leak]:
    """Stretches that are shown twice, found in any way; several ways may find the same one."""
    keys = [each.look.keys for each in seen]
    videos = [each.video for each in seen]
    for equal in find_equal(keys, videos, train=train):
        starts = equal.first_start, equal.second_start
        yield _finding(
            seen[equal.first],
            seen[equal.second],
            train <= equal.second,
            starts,
            equal.seconds,
            way="frames",
            pose=0,
            score=1.0,
        )

    def found(match: Match, way: Way, more: int) -> Leak:
        one = seen[match.first]
        other = seen[match.second]
        first = match.first_start + match.first_phase / len(one.look.motion)
        second = match.second_start + match.second_phase / len(other.look.motion)
        # The last fingerprint of motion is of `more` further pictures.
        seconds = (match.length + more) * step
        return _finding(
            one,
            other,
            train <= match.second,
            (first * step, second * step),
            seconds,
            way=way,
            pose=match.pose,
            score=match.score,
        )

    bands = bands_of(len(motion[0].bits))
    shown_bands = progress_bar("compare", len(bands), unit=" bands", over=bands)
    for match in find_matches(motion, shown_bands, train=train):
        yield found(match, "motion", FRAMES - 1)

    pictures = _libraries([list(each.look.pictures) for each in seen])
    for match in find_alike(pictures, short, train=train):
        yield found(match, "pictures", 0)


def _finding(
    one: ComparedVideo,
    other: ComparedVideo,
    held_out: bool,
    starts: tuple[float, float],
    seconds: float,
    *,
    way: Way,
    pose: int,
    score: float,
) -> Leak:
    kind = "within" if other.dataset == one.dataset else "across"
    return Leak(
        kind="held_out" if held_out else kind,
        way=way,
        pose=next(name for name, number in POSES.items() if number == pose),
        first=one.stretch(starts[0], seconds),
        second=other.stretch(starts[1], seconds),
        score=round(score, 3),
    )


def _libraries(looks: list[list[Bits]]) -> list[Library]:
    """The fingerprints of all videos at each phase."""
    none = np.zeros((0, WORDS), np.uint32)
    libraries = []
    for number in range(PHASES):
        videos = []
        for phases in looks:
            has_phase = number < len(phases)
            videos.append(phases[number] if has_phase else none)
        libraries.append(Library(videos))
    return libraries


def _side(uri: str, seen: list[ComparedVideo], step: float) -> Side:
    here = [each.look for each in seen if each.corpus == uri]
    looked_at = sum(look.num_pictures for look in here)
    silent = looked_at - sum(_told_seconds(look) for look in here)
    return Side(
        corpus=uri, videos=len(here), seconds=looked_at * step, silent_seconds=silent * step
    )


def _told_seconds(look: VideoFingerprints) -> int:
    """The number of a video's pictures that are part of a fingerprint of motion."""
    tells: Mask = np.asarray(look.motion[0].any(axis=1))
    if not len(tells):
        return 0
    # Fingerprint n is of the pictures n to n + FRAMES - 1, over which the convolution spreads it.
    spread = np.convolve(tells, np.ones(FRAMES, int))
    return int((spread[: len(tells)] > 0).sum())


def _doubtful(
    seen: list[ComparedVideo], moving: Mask, needed: float, step: float, *, told: bool
) -> Iterator[Doubtful]:
    """Videos that cannot be told by their motion, and can, or cannot, by their pictures."""
    for each, moves in zip(seen, moving, strict=True):
        look = each.look
        shown = int(look.pictures[0].any(axis=1).sum())
        if moves or (shown > 0) != told:
            continue

        why = "still"
        if 2 * shown < look.num_pictures:
            why = "dark or of one colour"
        elif look.num_pictures < needed + FRAMES:
            why = "too short"
        seconds = look.num_pictures * step
        yield Doubtful(
            corpus=each.corpus, dataset=each.dataset, video=each.video.id, seconds=seconds, why=why
        )


def _missed(seen: list[ComparedVideo], train: int) -> Iterator[str]:
    """Kinds of pairs in which neither video has enough frames a second."""
    slow = [len(each.look.motion) < PHASES for each in seen]
    if any(slow[:train]) and any(slow[train:]):
        yield "held_out"
    if sum(slow[:train]) > 1:
        yield from ("across", "within")
