"""Single pictures: what their fingerprints survive, what has none, and short videos that are found by them."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from surgstream.shards.leaks.candidates import Library
from surgstream.shards.leaks.matching import Match
from surgstream.shards.leaks.pictures import find_alike, hashes
from surgstream.shards.leaks.thumbnails import EDGE, POSES, WORDS, Bits, Grey, differing, posed
from tests.helpers.films import Pictures

SECONDS = 8


def speckled(seed: int, seconds: int = SECONDS) -> Pictures:
    """Pictures of fine structure, each second another one."""
    grains = np.random.default_rng(seed).integers(0, 256, (seconds, 12, 16), dtype=np.uint8)
    large = [Image.fromarray(grain).resize((96, 72), Image.Resampling.BICUBIC) for grain in grains]
    return np.stack([np.asarray(image) for image in large]) // 2 + 60


def thumbnails_of(pictures: Pictures) -> Grey:
    small = [
        Image.fromarray(picture).resize((EDGE, EDGE), Image.Resampling.BOX) for picture in pictures
    ]
    return np.stack([np.asarray(image) for image in small])


def hashes_of(pictures: Pictures) -> Bits:
    return hashes(thumbnails_of(pictures), np.ones(len(pictures), bool))


ALTERATIONS: dict[str, Callable[[Pictures], Pictures]] = {
    "half the size": lambda film: film[:, ::2, ::2],
    "brighter": lambda film: (255 * (film / 255) ** 0.7).astype(np.uint8),
    "noise": lambda film: (
        (film + np.random.default_rng(1).integers(0, 12, film.shape)).clip(0, 255).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_copy_has_nearly_the_same_hashes(name: str) -> None:
    film = speckled(1)
    assert differing(hashes_of(film), hashes_of(ALTERATIONS[name](film))).max() < 0.12


def test_borders_that_brightening_has_raised_are_still_borders() -> None:
    film = np.pad(speckled(1), ((0, 0), (0, 0), (16, 16)))
    raised = (16 + film * (239 / 255)).astype(np.uint8)
    assert differing(hashes_of(film), hashes_of(raised)).max() < 0.12


def test_other_pictures_have_others() -> None:
    assert differing(hashes_of(speckled(1)), hashes_of(speckled(2))).min() > 0.3


def test_flipped_pictures_have_the_same_hashes_in_another_order() -> None:
    small, known = thumbnails_of(speckled(1)), np.ones(SECONDS, bool)
    flipped = {"upright": small, "mirrored": small[:, :, ::-1], "turned": small[:, ::-1, ::-1]}
    for name, pose in POSES.items():
        assert (
            differing(posed(hashes(small, known), pose), hashes(flipped[name], known)).max() < 0.02
        )


def test_what_is_dark_of_one_colour_or_missing_has_none() -> None:
    film = speckled(1)
    assert not hashes_of(film // 20).any()
    assert not hashes_of(np.full_like(film, 130)).any()
    known = np.arange(SECONDS) != 3
    assert hashes(thumbnails_of(film), known).any(axis=1).tolist() == known.tolist()


def found_in(*videos: Bits, short: list[int], train: int) -> list[Match]:
    mask = np.isin(np.arange(len(videos)), short)
    return list(find_alike([Library(list(videos))], mask, train=train))


def flipped_bits(bits: Bits, share: float) -> Bits:
    flips = np.random.default_rng(5).random((len(bits), 32 * WORDS)) < share
    return bits ^ np.packbits(flips, axis=1).view(np.uint32)


def test_a_clip_is_found_in_a_film_and_a_film_in_a_clip() -> None:
    film, clip = hashes_of(speckled(1, 60)), flipped_bits(hashes_of(speckled(1, 60))[20:26], 0.06)
    for videos, short in (((film, clip), 1), ((clip, film), 0)):
        (match,) = found_in(*videos, short=[short], train=1)
        starts = (match.first_start, match.second_start)
        assert starts == ((20, 0) if short else (0, 20))
        assert match.length == 6 and match.score == pytest.approx(0.88, abs=0.04)


def test_only_short_videos_are_found_so() -> None:
    film = hashes_of(speckled(1))
    assert found_in(film, film, short=[], train=1) == []
    assert len(found_in(film, film, short=[0], train=1)) == 1


def test_less_than_half_of_a_clip_is_not_enough() -> None:
    one, other = hashes_of(speckled(1, 10)), hashes_of(speckled(2, 10))
    assert found_in(one, np.concatenate([one[:4], other[4:]]), short=[0, 1], train=1) == []
    assert len(found_in(one, np.concatenate([one[:6], other[6:]]), short=[0, 1], train=1)) == 1


def test_what_differs_more_than_a_copy_is_none() -> None:
    film = hashes_of(speckled(1))
    assert found_in(film, flipped_bits(film, 0.2), short=[1], train=1) == []


def test_a_long_still_is_compared_in_time_that_does_not_explode() -> None:
    still = np.repeat(hashes_of(speckled(1, 1)), 3000, axis=0)
    (match,) = found_in(flipped_bits(still, 0.02), flipped_bits(still, 0.02), short=[0, 1], train=1)
    assert match.length >= 1500
