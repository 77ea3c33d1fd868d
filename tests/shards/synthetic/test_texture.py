"""Blurs and organs, against slow restatements."""

from dataclasses import replace

import numpy as np
import pytest

from surgstream.shards.synthetic.texture import SIZE, Canvas, Organ, blurs, key

RED = ((0.8, 0.1, 0.1), (0.7, 0.2, 0.1))


def test_blurs_are_sums_over_gaussian_surroundings_with_mirrored_borders() -> None:
    field = np.random.default_rng(0).normal(size=(16, 13)).astype(np.float32)
    sigmas = (1.6, 2.5)
    reach = 13  # five of the larger sigma, and no farther than one mirror image
    around = np.pad(field.astype(np.float64), reach, mode="symmetric")
    steps = np.arange(-reach, reach + 1)

    for sigma, blurred in zip(sigmas, blurs(field, sigmas), strict=True):
        weights = np.exp(-(steps**2) / (2 * sigma**2))
        weights /= weights.sum()
        expected = np.zeros(field.shape)
        for row, column in np.ndindex(field.shape):
            there = around[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            expected[row, column] = weights @ there @ weights
        assert blurred.dtype == np.float32
        np.testing.assert_allclose(blurred, expected, atol=1e-4)


@pytest.fixture(scope="module")
def canvas() -> Canvas:
    canvas = Canvas(key(0, "scene"))
    canvas.lay(Organ(centre=(0, 0), radii=(9, 9), base=-0.1, rise=0.1, colours=RED))
    return canvas


def maps(canvas: Canvas) -> np.ndarray:
    """All maps of a canvas, one above the other."""
    return np.stack([canvas.height, canvas.bump, canvas.gloss, *canvas.colour])


@pytest.mark.parametrize("centre", [(0.3, -0.4), (-1.9, 1.9)])
def test_an_organ_covers_what_lies_lower_and_nothing_else(
    canvas: Canvas, centre: tuple[float, float]
) -> None:
    organ = Organ(centre=centre, radii=(0.3, 0.2), base=0.2, rise=0.3, colours=RED, gloss=0.5)
    before = maps(canvas)
    canvas.lay(organ)
    covered = np.any(maps(canvas) != before, axis=0)
    away = np.hypot(canvas.x - centre[0], canvas.y - centre[1])
    assert covered.any() and away[covered].max() < 0.3 + 0.07 * 5
    assert np.all(canvas.height[covered] > before[0][covered])
    assert np.all(canvas.gloss[covered] == np.float32(0.5))
    assert covered[away < 0.05].all(), "its noise moves an outline by far less"

    once = maps(canvas)
    canvas.lay(replace(organ, base=-5))
    np.testing.assert_array_equal(maps(canvas), once, err_msg="it lies below everything")


def test_an_organ_out_of_sight_changes_nothing(canvas: Canvas) -> None:
    before = maps(canvas)
    canvas.lay(Organ(centre=(7, 7), radii=(0.5, 0.5), base=1, colours=RED))
    assert before.shape == (6, SIZE, SIZE)
    np.testing.assert_array_equal(maps(canvas), before)
