import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from surgstream.trainer.models.config import Grid
from surgstream.trainer.models.embed import (
    TubeletEmbedding,
    from_tubelets,
    sincos_positions,
    take_tokens,
    to_tubelets,
)
from tests.trainer import reference

SETTINGS = settings(max_examples=20, derandomize=True, deadline=None)


def test_grid_counts_the_published_tokens() -> None:
    grid = Grid(8, 14, 14)
    assert (grid.num_tubes, grid.num_tokens) == (196, 1568)


@SETTINGS
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3)
)
def test_tubelets_are_the_pixels_at_their_place_and_go_back(
    slices: int, rows: int, columns: int, tubelet_size: int, patch_size: int
) -> None:
    clips = torch.rand(2, 3, slices * tubelet_size, rows * patch_size, columns * patch_size)
    tubelets = to_tubelets(clips, tubelet_size, patch_size)
    assert tubelets.shape == (2, slices * rows * columns, 3 * tubelet_size * patch_size**2)
    for clip, row in zip(clips.numpy(), tubelets.numpy(), strict=True):
        for token, pixels in enumerate(row):
            assert (
                pixels == reference.tubelet(clip, token, tubelet_size, patch_size).reshape(-1)
            ).all()
    assert torch.equal(
        from_tubelets(tubelets, Grid(slices, rows, columns), tubelet_size, patch_size), clips
    )


def test_take_tokens_picks_for_each_clip_its_own() -> None:
    tokens = torch.arange(2 * 5 * 3).view(2, 5, 3)
    taken = take_tokens(tokens, torch.tensor([[4, 0], [1, 1]]))
    assert torch.equal(taken[0], tokens[0, [4, 0]])
    assert torch.equal(taken[1], tokens[1, [1, 1]])


def test_positions_have_their_known_values() -> None:
    positions = sincos_positions(32, Grid(2, 3, 4))
    assert positions.shape == (24, 32) and positions.dtype == torch.float32
    # Time has 8 numbers, the column 12, the row 12: sines, then cosines.
    origin = [0.0] * 4 + [1.0] * 4 + ([0.0] * 6 + [1.0] * 6) * 2
    assert positions[0].tolist() == origin
    last = positions[23]
    assert last[0].item() == pytest.approx(math.sin(1))
    assert last[7].item() == pytest.approx(math.cos(1 / 10000 ** (6 / 8)))
    assert last[8].item() == pytest.approx(math.sin(3))
    assert last[20].item() == pytest.approx(math.sin(2))
    assert last[31].item() == pytest.approx(math.cos(2 / 10000 ** (10 / 12)))


def test_positions_follow_the_reference_and_tell_all_tokens_apart() -> None:
    grid = Grid(8, 14, 14)
    positions = sincos_positions(384, grid)
    for token in (0, 1, 13, 14, 195, 196, 777, 1567):
        expected = reference.position(384, *reference.coordinates(token, 14, 14))
        torch.testing.assert_close(positions[token], torch.tensor(expected))
    distances = torch.cdist(positions.double(), positions.double()).fill_diagonal_(math.inf)
    assert distances.min() > 0.1


def test_embedding_is_a_strided_convolution_plus_positions() -> None:
    grid = Grid(2, 3, 3)
    embedding = TubeletEmbedding(32, grid, tubelet_size=2, patch_size=4)
    clips = torch.randn(2, 4, 3, 12, 12).transpose(1, 2)
    kernel = embedding.projection.weight.view(32, 3, 2, 4, 4)
    convolved = F.conv3d(clips, kernel, embedding.projection.bias, stride=(2, 4, 4))
    expected = convolved.flatten(2).transpose(1, 2) + sincos_positions(32, grid)
    torch.testing.assert_close(embedding(clips), expected, rtol=1e-4, atol=1e-5)
    visible = torch.tensor([[0, 7, 17], [5, 6, 9]])
    torch.testing.assert_close(
        embedding(clips, visible), take_tokens(expected, visible), rtol=1e-4, atol=1e-5
    )


def test_positions_are_not_saved_but_move() -> None:
    embedding = TubeletEmbedding(16, Grid(1, 1, 1), 2, 4)
    assert set(embedding.state_dict()) == {"projection.weight", "projection.bias"}
    assert embedding.to(torch.float64).positions.dtype == torch.float64
