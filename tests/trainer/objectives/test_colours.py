"""Features as colours, tokens as pixels, values as heat."""

import torch

from surgstream.trainer.models.config import Grid
from surgstream.trainer.models.embed import to_tubelets
from surgstream.trainer.objectives.colours import FeatureColours, heat, spread_over


def test_the_first_component_of_features_is_red_and_colours_keep_their_order() -> None:
    generator = torch.Generator().manual_seed(0)
    along = torch.linspace(-1, 1, 60).view(2, 30)
    axes = torch.linalg.qr(torch.randn(16, 2, generator=generator))[0].T
    features = 50 * along[..., None] * axes[0] + 3 * torch.sin(9 * along)[..., None] * axes[1] + 7.0
    colours = FeatureColours(features)(features)
    assert colours.shape == (2, 30, 3) and colours.min() >= 0 and colours.max() <= 1
    red = colours[..., 0].flatten()
    assert (red.diff() >= -1e-5).all() or (red.diff() <= 1e-5).all(), (
        "red follows the widest direction"
    )
    assert red.max() - red.min() > 0.95 and colours[..., 1].std() > 0.2
    again = FeatureColours(features)(features.flip(1))
    torch.testing.assert_close(again.flip(1), colours)


def test_features_that_are_all_alike_have_one_colour() -> None:
    colours = FeatureColours(torch.ones(1, 12, 8))(torch.ones(1, 12, 8))
    assert colours.isfinite().all() and colours.std() == 0


def test_every_token_is_painted_where_it_lies() -> None:
    grid = Grid(2, 3, 4)
    values = torch.arange(2.0 * 24).view(2, 24, 1)
    painted = spread_over(values.expand(-1, -1, 3), grid, (4, 6, 8))
    assert painted.shape == (2, 3, 4, 6, 8)
    tubelets = to_tubelets(painted[..., :8], 2, 2)
    assert torch.equal(tubelets, values.expand(-1, -1, tubelets.shape[-1]))


def test_heat_goes_from_black_over_red_and_yellow_to_white() -> None:
    found = heat(torch.tensor([0.0, 1 / 3, 2 / 3, 1.0]))
    expected = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    torch.testing.assert_close(found, expected)
