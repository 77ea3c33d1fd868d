import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision.transforms import RandomResizedCrop

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.data.augmentation.config import ResizedCropConfig
from surgstream.trainer.data.augmentation.windows import resized_crop

VJEPA = ResizedCropConfig(scale=(0.08, 1.0))
ALPHA = 1e-4
CONFIGS = st.builds(
    lambda scale, ratio: ResizedCropConfig(scale=tuple(sorted(scale)), ratio=tuple(sorted(ratio))),
    st.tuples(st.floats(1e-4, 1), st.floats(1e-4, 1)),
    st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)),
)


def sizes(count: int, width: int, height: int) -> np.ndarray:
    return np.tile(np.array([[width, height]], dtype=np.int64), (count, 1))


@given(CONFIGS, st.integers(1, 2000), st.integers(1, 2000), st.integers(0, 2**62))
def test_windows_lie_inside_the_frame(
    config: ResizedCropConfig, width: int, height: int, g: int
) -> None:
    draws = np.arange(g, g + 16)
    left, top, right, bottom = resized_crop(config, 0, draws, sizes(16, width, height)).T
    assert (left >= 0).all() and (top >= 0).all()
    assert (right <= width).all() and (bottom <= height).all()
    assert (right > left).all() and (bottom > top).all()


@given(st.integers(0, 2**62), st.permutations(range(8)))
def test_a_clip_is_cropped_the_same_way_in_any_batch(g: int, order: list[int]) -> None:
    draws = np.arange(g, g + 8)
    frame_sizes = sizes(8, 456, 256)
    frame_sizes[:4] = 320, 256
    whole = resized_crop(VJEPA, 3, draws, frame_sizes)
    reordered = resized_crop(VJEPA, 3, draws[order], frame_sizes[order])
    np.testing.assert_array_equal(reordered, whole[order])


def theirs(config: ResizedCropConfig, width: int, height: int, count: int, kind: str) -> np.ndarray:
    """(left, top, width, height) of the crops of torchvision or timm."""
    scale = list(config.scale)
    ratio = list(config.ratio)
    if kind == "torchvision":
        torch.manual_seed(0)
        picture = torch.empty(3, height, width)
        drawn = [RandomResizedCrop.get_params(picture, scale, ratio) for _ in range(count)]
    else:
        random.seed(0)
        image = Image.new("L", (width, height))
        get_params = RandomResizedCropAndInterpolation.get_params
        drawn = [get_params(image, scale, ratio) for _ in range(count)]
    return np.array([(left, top, w, h) for top, left, h, w in drawn])


@pytest.mark.parametrize("kind", ["torchvision", "timm"])
@pytest.mark.parametrize(
    ("config", "width", "height"),
    [
        (ResizedCropConfig(), 256, 256),
        (ResizedCropConfig(), 320, 256),
        (ResizedCropConfig(), 456, 256),
        (VJEPA, 456, 256),
        (VJEPA, 200, 400),
    ],
)
def test_windows_are_distributed_as_theirs(
    config: ResizedCropConfig, width: int, height: int, kind: str
) -> None:
    count = 2000
    expected = theirs(config, width, height, count, kind)
    windows = resized_crop(config, 0, np.arange(4 * count), sizes(4 * count, width, height))
    left, top, right, bottom = windows.astype(np.int64).T
    ours = np.stack([left, top, right - left, bottom - top], axis=1)

    of_both = []
    for crops in (ours, expected):
        x, y, w, h = crops.T
        places = (x / np.maximum(width - w, 1), y / np.maximum(height - h, 1))
        of_both.append((w * h, w / h, w, h, *places))
    for mine, other in zip(*of_both, strict=True):
        assert stats.ks_2samp(mine, other).pvalue > ALPHA


@pytest.mark.parametrize(
    ("width", "height", "window"),
    [
        (400, 100, (133, 0, 266, 100)),
        (100, 400, (0, 133, 100, 266)),
        (110, 100, (0, 0, 110, 100)),
    ],
)
def test_where_no_size_fits_the_largest_centred_window_is_taken(
    width: int, height: int, window: tuple[int, ...]
) -> None:
    whole = ResizedCropConfig(scale=(1.0, 1.0))
    windows = resized_crop(whole, 0, np.arange(20), sizes(20, width, height))
    assert {tuple(map(int, row)) for row in windows} == {window}
    torchvisions = theirs(whole, width, height, 20, "torchvision")
    left, top, right, bottom = window
    assert {tuple(map(int, row)) for row in torchvisions} == {
        (left, top, right - left, bottom - top)
    }


@pytest.mark.parametrize("values", ["[0.5]", "[0.5, 0.7, 1.0]", "[1.0, 0.5]"])
def test_a_range_has_a_least_and_a_greatest_value(values: str) -> None:
    tree = {"scale": [float(value) for value in values.strip("[]").split(",")]}
    with pytest.raises(ConfigError, match="scale: expected the least and the most"):
        build(ResizedCropConfig, tree, where="here")
