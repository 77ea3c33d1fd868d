"""The motion map against a slow restatement of its equations, and on clips whose motion is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from surgstream.trainer.models.config import Grid
from surgstream.trainer.objectives.terms.motion_map import motion_map
from tests.trainer.objectives.slow_surgmotion import slow_motion_map

GRID = Grid(4, 6, 6)
SIZE = (3, 8, 48, 48)


def texture(seed: int, rows: int = 64, columns: int = 64) -> Tensor:
    """A still picture with detail everywhere, (3, rows, columns)."""
    noise = torch.rand(1, 3, rows // 4, columns // 4, generator=torch.Generator().manual_seed(seed))
    size = (rows, columns)
    return 4.0 * torch.nn.functional.interpolate(noise, size, mode="bicubic")[0]


def still(seed: int) -> Tensor:
    """(1, 3, 8, 48, 48): one picture again and again."""
    return texture(seed)[None, :, None, :48, :48].expand(1, *SIZE).clone()


def with_square(clip: Tensor, first: int = 4, speed: int = 2) -> Tensor:
    """A clip with another texture in a square of 12 x 12, which moves to the right in rows 16 to 28."""
    square = texture(99)[:, :12, :12]
    clip = clip.clone()
    for t in range(clip.shape[2]):
        left = first + speed * t
        clip[0, :, t, 16:28, left : left + 12] = square
    return clip


def of(clip: Tensor) -> Tensor:
    """The map by slice, row and column: (4, 6, 6)."""
    return motion_map(clip, GRID).view(GRID)


@pytest.mark.parametrize("shape", [(4, 16, 24), (6, 16, 16)], ids=str)
def test_the_map_is_that_of_the_slow_restatement(shape: tuple[int, int, int]) -> None:
    frames, height, width = shape
    grid = Grid(frames // 2, height // 4, width // 4)
    generator = torch.Generator().manual_seed(3)
    clips = torch.randn(2, 3, *shape, generator=generator)
    # Parts without texture, and slow ones
    clips[0, :, :, :6] = 0.3
    clips[1] = 0.02 * clips[1] + clips[1, :, :1]

    found = motion_map(clips, grid)
    expected = [slow_motion_map(clip, grid) for clip in clips.double().numpy()]
    assert found.shape == (2, grid.num_tokens) and found.std(1).min() > 0.005
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_nothing_moves_in_a_still_clip() -> None:
    assert not of(still(1)).any()


def test_what_moves_on_still_ground_is_highest_where_it_is() -> None:
    found = of(with_square(still(1)))
    for slice_, moving in enumerate(found):
        row, column = divmod(int(moving.argmax()), 6)
        left = 4 + 4 * slice_
        assert row in (2, 3) and left // 8 <= column <= (left + 14) // 8
        assert moving.max() > 0.1
        assert moving[5].max() < 0.1 * moving.max(), "the Gaussian reaches two tokens"


def test_a_camera_that_moves_everything_alike_has_three_tenths() -> None:
    """A slope that runs to the left: all pixels have one speed, their median, so no object is faster."""
    places = torch.arange(48.0) + 2 * torch.arange(8.0)[:, None]
    clip = 0.2 * places[None, None, :, None, :].expand(1, *SIZE)
    found = of(clip)
    assert found.max() <= 0.3
    # Away from the edges in space, those in time have the Gaussian's middle tap and two of its four others
    taps = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    assert found[0, 2, 2].item() == pytest.approx(0.3 * taps[2:].sum() / taps.sum(), rel=1e-4)


def test_an_object_stands_out_of_a_pan_which_weighs_more_than_it_on_still_ground() -> None:
    """So the map compares the tokens of a clip, not clips: the source adds what it thinks the camera does."""
    picture = texture(1, 64, 256)
    panned = torch.stack([picture[:, :48, t : t + 48] for t in range(8)], dim=1)[None]
    pan, both = of(panned), of(with_square(panned, first=28, speed=-2))
    added = (both - pan)[1]
    row, column = divmod(int(added.argmax()), 6)
    assert row in (2, 3) and column in (2, 3, 4)
    assert added.max() > 0.05 and added[:, 0].abs().max() < 0.03
    assert pan[1, 1:5, 1:5].min() > of(with_square(still(1))).max()


def test_clips_have_maps_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(3, *SIZE, generator=generator)
    clips[1] *= 0.1
    order = [2, 0, 1]
    torch.testing.assert_close(motion_map(clips[order], GRID), motion_map(clips, GRID)[order])
    torch.testing.assert_close(motion_map(clips[1:2], GRID), motion_map(clips, GRID)[1:2])


def test_bf16_around_it_changes_nothing() -> None:
    clips = torch.randn(2, *SIZE, generator=torch.Generator().manual_seed(0))
    plain = motion_map(clips, GRID)
    with torch.autocast("cpu", torch.bfloat16):
        found = motion_map(clips, GRID)
    assert found.dtype == torch.float32 and torch.equal(found, plain)


@given(seed=st.integers(0, 2**32 - 1), contrast=st.floats(1e-4, 30), speed=st.integers(1, 4))
def test_the_map_lies_between_0_and_1(seed: int, contrast: float, speed: int) -> None:
    found = of(contrast * with_square(still(seed), speed=speed))
    assert found.min() >= 0.0 and found.max() <= 1.0


def test_what_has_no_texture_does_not_move() -> None:
    """Steps of 0.005 from pixel to pixel are below the least steepness, however fast they go."""
    places = torch.arange(48.0) + 9 * torch.arange(8.0)[:, None]
    slope = places[None, None, :, None, :].expand(1, *SIZE)
    assert not of(0.005 * slope).any()
    assert of(0.02 * slope).all()
