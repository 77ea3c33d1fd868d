"""Fingerprints of originals and copies, and the numbers of copies that are found."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from surgstream.benchmarks.experiments.leaks.films import RATE
from surgstream.shards.leaks.candidates import Library, bands_of
from surgstream.shards.leaks.fingerprints import FRAMES, prints
from surgstream.shards.leaks.matching import Match
from surgstream.shards.leaks.pictures import find_alike, hashes
from surgstream.shards.leaks.read import PHASES, num_phases
from surgstream.shards.leaks.thumbnails import WORDS, Bits, Grey

PACKINGS = {
    "5 frames/s": (5, 5),
    "2 frames/s": (2, 2),
    "1 frame/s": (1, 1),
    "1 frame/s, --from-sources": (1, RATE),
}
"""Frames a second that originals, and copies, are looked at."""

STARTS = range(10)
"""Tenths of a second that copies start later, on top of the seconds that are cut."""

CLIP_SECONDS = 8
CLIP_CUT = 1
"""Seconds that are cut from both ends of copies of clips."""

Find = Callable[..., Iterable[Match]]
"""A search among the libraries of all phases."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The copies that were found, by start, and matches with videos that they do not show."""

    packing: str
    kind: str
    num_copies: int
    num_found: tuple[int, ...]
    false_alarms: int


@dataclass(frozen=True)
class Taken:
    """A video's fingerprints from every tenth of a second on, shape (N, WORDS), and the frames of each."""

    bits: Bits
    frames: int

    def packed(self, fps: int, start: int = 0, cut: int = 0) -> list[Bits]:
        """The fingerprints at each phase of a video that is packed at a rate.

        Args:
            fps: The rate.
            start: Tenths of a second that it begins later.
            cut: Tenths that it ends earlier.
        """
        bits = self.bits[: len(self.bits) - cut].copy()
        # These would be of frames that are cut
        bits[len(bits) - self.frames + 1 :] = 0

        count = num_phases(fps, 1)
        phases = []
        for phase in range(count):
            first = start + int(fps * phase / count) * RATE // fps
            phases.append(bits[first::RATE])
        return phases


def moving(thumbnails: Grey) -> Taken:
    """Fingerprints of how a video moves."""
    bits = np.zeros((len(thumbnails), WORDS), np.uint32)
    for at in range(RATE):
        some = thumbnails[at::RATE]
        bits[at::RATE] = prints(some, np.ones(len(some), bool))
    return Taken(bits, (FRAMES - 1) * RATE + 1)


def still(thumbnails: Grey) -> Taken:
    """Fingerprints of its single pictures."""
    return Taken(hashes(thumbnails, np.ones(len(thumbnails), bool)), 1)


def middle(thumbnails: Grey) -> Grey:
    """A clip from the middle of a video, and what is cut from its copies."""
    frames = (CLIP_SECONDS + 2 * CLIP_CUT) * RATE
    start = max(0, (len(thumbnails) - frames) // 2 // RATE * RATE)
    return thumbnails[start : start + frames]


def find_clips(phases: list[Library], bands: object, train: int) -> Iterable[Match]:
    """Find the originals of clips, which have the numbers from `train` on."""
    are_clips = np.arange(len(phases[0].starts) - 1) >= train
    return find_alike(phases, are_clips, train=train)


def rows_of(
    originals: Sequence[Taken], copies: dict[str, list[Taken]], find: Find, cut: int
) -> list[Row]:
    """Look for copies of each packing and start, those of all kinds together, and count.

    Args:
        originals: Videos.
        copies: Copies of them, by kind.
        find: The search for them.
        cut: Tenths of a second that are cut from both ends of copies.
    """
    work = partial(_rows_of, originals, copies, find, cut)
    with ProcessPoolExecutor() as pool:
        return [*itertools.chain.from_iterable(pool.map(work, PACKINGS))]


def _rows_of(
    originals: Sequence[Taken], copies: dict[str, list[Taken]], find: Find, cut: int, packing: str
) -> list[Row]:
    fps, copied_fps = PACKINGS[packing]
    count = len(originals)
    all_copies = [*itertools.chain.from_iterable(copies.values())]

    found = []
    for start in STARTS:
        videos = [each.packed(fps) for each in originals]
        videos += [each.packed(copied_fps, cut + start, cut) for each in all_copies]
        matches = find(_libraries(videos), bands_of(0), train=count)
        found.append(list(matches))

    rows = []
    for place, kind in enumerate(copies):
        first = count * (place + 1)
        rows.append(judged(packing, kind, found, count, first))
    return [*rows, among(packing, found, count)]


def judged(
    packing: str, kind: str, found: Sequence[Sequence[Match]], count: int, first: int
) -> Row:
    """Count what was found of copies of a kind.

    Args:
        packing: One of PACKINGS.
        kind: The kind of the copies.
        found: The matches for each start; originals have the numbers below `count`.
        count: Number of originals, and of copies.
        first: The number of the first original's copy; the others follow in order.
    """
    numbers = []
    wrong = 0
    for matches in found:
        # The copy of original number i is video number `first + i`
        pairs = [(match.first, match.second - first) for match in matches]
        ours = [pair for pair in pairs if pair[0] < count and 0 <= pair[1] < count]
        right = {original for original, copy in ours if copy == original}
        numbers.append(len(right))
        wrong += sum(copy != original for original, copy in ours)

    return Row(
        packing=packing,
        kind=kind,
        num_copies=count,
        num_found=tuple(numbers),
        false_alarms=wrong,
    )


def among(packing: str, found: Sequence[Sequence[Match]], count: int) -> Row:
    """Count false alarms among originals, which have the numbers below `count`."""
    wrong = max(sum(match.second < count for match in some) for some in found)
    return Row(
        packing=packing, kind="among originals", num_copies=0, num_found=(), false_alarms=wrong
    )


def _libraries(videos: list[list[Bits]]) -> list[Library]:
    none = np.zeros((0, WORDS), np.uint32)
    libraries = []
    for phase in range(PHASES):
        of_phase = [each[phase] if phase < len(each) else none for each in videos]
        libraries.append(Library(of_phase))
    return libraries
