import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.synthetic.clock import (
    BLOCKS_PER_SHORT_SIDE,
    CORNER,
    MAX_FRAMES,
    read_frame_number,
    stamp_frame_number,
)

numbers = st.integers(0, MAX_FRAMES - 1)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    number=numbers,
    height=st.integers(80, 300),
    width=st.integers(80, 300),
    background=st.integers(0, 255),
)
def test_a_number_is_read_back_from_frames_of_any_size_and_background(
    number: int, height: int, width: int, background: int
) -> None:
    image = np.full((height, width, 3), background, np.uint8)
    stamp_frame_number(image, number)
    assert read_frame_number(image) == number


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    number=numbers,
    size=st.sampled_from([(240, 320), (208, 352), (256, 256), (720, 1280)]),
    seed=st.integers(0, 9),
)
def test_a_number_survives_scaling_to_a_short_side_of_80_and_jpeg(
    number: int, size: tuple[int, int], seed: int
) -> None:
    noisy = np.random.default_rng(seed).integers(0, 255, (*size, 3)).astype(np.uint8)
    stamp_frame_number(noisy, number)
    assert read_frame_number(through_jpeg(noisy, short_side=80)) == number


@settings(derandomize=True, max_examples=40, deadline=None)
@given(number=numbers, square=st.integers(0, 23))
def test_a_square_read_wrongly_is_noticed(number: int, square: int) -> None:
    image = np.zeros((160, 200, 3), np.uint8)
    stamp_frame_number(image, number)
    corner, place = divmod(square, len(CORNER))
    column, row = CORNER[place]
    size = 160 // BLOCKS_PER_SHORT_SIDE
    turned = image[:: -1 if corner >= 2 else 1, :: -1 if corner % 2 else 1]
    block = turned[row * size : (row + 1) * size, column * size : (column + 1) * size]
    block[:] = 0 if block.any() else 255
    with pytest.raises(ValueError, match="frame number"):
        read_frame_number(image)


def test_frames_without_a_number_are_refused() -> None:
    for value in (0, 255):
        with pytest.raises(ValueError, match="frame number"):
            read_frame_number(np.full((90, 120, 3), value, np.uint8))


@pytest.mark.parametrize("number", [-1, MAX_FRAMES])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="expected one in"):
        stamp_frame_number(np.zeros((90, 120, 3), np.uint8), number)


def through_jpeg(image: np.ndarray, short_side: int) -> np.ndarray:
    picture = Image.fromarray(image)
    scale = short_side / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    packed = io.BytesIO()
    picture.save(packed, format="JPEG", quality=85)
    return np.asarray(Image.open(packed))
