"""What fingerprints survive, what tells them apart, and what has none."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from surgstream.shards.leaks.fingerprints import FRAMES, prints
from surgstream.shards.leaks.matching import CHANCE
from surgstream.shards.leaks.thumbnails import EDGE, POSES, Bits, posed
from tests.helpers.films import Pictures, drifting

SECONDS = 60


def prints_of(pictures: Pictures) -> Bits:
    thumbnails = [
        Image.fromarray(picture).resize((EDGE, EDGE), Image.Resampling.BOX) for picture in pictures
    ]
    return prints(
        np.stack([np.asarray(thumbnail) for thumbnail in thumbnails]), np.ones(len(pictures), bool)
    )


def differing(one: Bits, other: Bits) -> float:
    known = one.any(axis=1) & other.any(axis=1)
    assert known.sum() >= SECONDS // 2
    return float(np.bitwise_count(one ^ other)[known].sum(axis=1).mean()) / 256


def bordered(film: Pictures) -> Pictures:
    return np.pad(film, ((0, 0), (11, 5), (30, 14)))


def under_a_logo(film: Pictures) -> Pictures:
    film = film.copy()
    film[:, 4:12, 4:24] = 255
    film[:, -8:-2, 30:70] = 0
    return film


ALTERATIONS: dict[str, Callable[[Pictures], Pictures]] = {
    "borders": bordered,
    "cropped": lambda film: film[:, 4:-4, 5:-5],
    "logo": under_a_logo,
    "brighter": lambda film: (255 * (film / 255) ** 0.7).astype(np.uint8),
    "squeezed": lambda film: film[:, :, ::2],
    "noise": lambda film: (
        (film + np.random.default_rng(1).integers(0, 12, film.shape)).clip(0, 255).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_copy_has_nearly_the_same_prints(name: str) -> None:
    film = drifting(1, SECONDS)
    assert differing(prints_of(film), prints_of(ALTERATIONS[name](film))) < 0.15


def test_other_films_differ_in_half_of_the_bits() -> None:
    assert 0.4 < differing(prints_of(drifting(1, SECONDS)), prints_of(drifting(2, SECONDS))) < 0.6


def test_films_do_not_resemble_each_other_by_their_vignette_and_brightness() -> None:
    down, across = (np.linspace(-1, 1, edge) ** 2 for edge in (72, 96))
    vignette = np.clip(1.2 - down[:, None] - across, 0.3, 1)
    brightness = np.random.default_rng(3).uniform(0.5, 1, (SECONDS, 1, 1))
    pale = (100 + drifting(seed, SECONDS) / 2 for seed in (1, 2))
    one, other = (prints_of((film * vignette * brightness).astype(np.uint8)) for film in pale)
    assert differing(one, other) > 0.45


def test_a_print_is_of_its_own_seconds_alone() -> None:
    film = drifting(1, 200)
    whole, last = prints_of(film), 200 - FRAMES + 1
    for start in (0, 60, 110, 150):
        piece = prints_of(film[start : start + 50])[: 50 - FRAMES + 1]
        assert piece.any(axis=1).all() and np.array_equal(whole[start : start + len(piece)], piece)
    assert not whole[last:].any()


def test_a_film_shorter_than_a_print_has_none() -> None:
    assert not prints_of(drifting(1, FRAMES - 1)).any()


def test_what_stands_still_or_is_dark_has_no_prints() -> None:
    film = drifting(1, SECONDS)
    still = np.repeat(film[:1], SECONDS, axis=0)
    assert not prints_of(still).any()
    assert not prints_of(
        still + np.random.default_rng(1).integers(0, 3, still.shape, dtype=np.uint8)
    ).any()
    assert not prints_of(film // 20).any()
    assert not prints_of(np.zeros_like(film)).any()


def test_a_cut_between_still_pictures_has_no_prints() -> None:
    film = drifting(1, SECONDS)
    assert not prints_of(np.repeat(film[[0, 30]], SECONDS // 2, axis=0)).any()


def test_a_missing_second_takes_the_prints_around_it() -> None:
    thumbnails = np.stack(
        [np.asarray(Image.fromarray(picture).resize((EDGE, EDGE))) for picture in drifting(1, 40)]
    )
    known = np.ones(40, bool)
    known[20] = False
    with_gap, without = prints(thumbnails, known), prints(thumbnails, np.ones(40, bool))
    gap = slice(21 - FRAMES, 21)
    assert not with_gap[gap].any() and without[gap].any()
    assert np.array_equal(np.delete(with_gap, gap, axis=0), np.delete(without, gap, axis=0))


FLIPS: dict[str, Callable[[Pictures], Pictures]] = {
    "upright": lambda film: film,
    "mirrored": lambda film: film[:, :, ::-1],
    "turned": lambda film: film[:, ::-1, ::-1],
}


@pytest.mark.parametrize("name", POSES)
def test_the_prints_of_a_flipped_film_are_those_of_the_film_in_another_order(name: str) -> None:
    film = drifting(1, SECONDS)
    flipped = prints_of(FLIPS[name](film))
    assert differing(posed(prints_of(film), POSES[name]), flipped) < 0.02
    for other in POSES.keys() - {name}:
        assert differing(posed(prints_of(film), POSES[other]), flipped) > 0.3


def test_a_fade_that_films_share_does_not_make_them_alike() -> None:
    fade = np.clip((np.arange(SECONDS) - 20) / 10, 0, 1)[:, None, None] * np.linspace(0, 1, 96)
    one, other = (
        prints_of((80 + 0.3 * drifting(seed, SECONDS) + 70 * fade).astype(np.uint8))
        for seed in (3, 4)
    )
    during = slice(15, 25)
    assert differing_in(one[during], other[during]) > CHANCE


def differing_in(one: Bits, other: Bits) -> float:
    assert one.any(axis=1).all() and other.any(axis=1).all()
    return float(np.bitwise_count(one ^ other).sum(axis=1).mean()) / 256
