import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.trainer.data.augmentation.operations import operate
from surgstream.trainer.data.augmentation.policy import Operation, OperationDraws, argument
from surgstream.trainer.data.augmentation.warping import FILL, WARPS
from tests.trainer.data.augmentation import timms

OPERATIONS = [kind for kind in Operation if kind != Operation.NONE]
POINTS = [kind for kind in OPERATIONS if kind not in WARPS]
SETTINGS = settings(max_examples=15, derandomize=True, deadline=None)


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Two frames of noise, smooth or flat parts, from few or many levels."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    height = draw(st.integers(1, 40))
    width = draw(st.integers(1, 40))
    low, high = sorted(draw(st.tuples(st.integers(0, 255), st.integers(0, 255))))
    noise = random.integers(low, high + 1, (2, height, width, 3), dtype=np.uint8)
    step = draw(st.integers(1, 8))
    # Each pixel of a coarse grid fills a square
    rows = np.arange(height) // step
    columns = np.arange(width) // step
    return np.ascontiguousarray(noise[:, rows][:, :, columns])


def one(kind: Operation, told: float) -> OperationDraws:
    return OperationDraws(np.array([[kind]]), np.array([[told]]))


def told_at(kind: Operation, magnitude: float, sign: float) -> float:
    told = argument(kind, np.array([magnitude]), np.array([sign]), increasing=True)
    return float(told[0])


@pytest.mark.parametrize("kind", POINTS)
@SETTINGS
@given(pictures(), st.floats(0, 9.99), st.sampled_from([-1.0, 1.0]))
def test_an_operation_on_levels_is_that_of_timm(
    kind: Operation, clip: np.ndarray, magnitude: float, sign: float
) -> None:
    told = told_at(kind, magnitude, sign)
    changed = operate(timms.as_levels(clip), one(kind, told))
    np.testing.assert_array_equal(timms.as_pictures(changed), timms.operate(kind, clip, told))


@pytest.mark.parametrize("kind", WARPS)
@SETTINGS
@given(pictures(), st.floats(0, 10), st.sampled_from([-1.0, 1.0]))
def test_a_movement_is_that_of_timm_to_a_level(
    kind: Operation, clip: np.ndarray, magnitude: float, sign: float
) -> None:
    told = told_at(kind, magnitude, sign)
    changed = timms.as_pictures(operate(timms.as_levels(clip), one(kind, told))).astype(int)
    expected = timms.operate(kind, clip, told).astype(int)
    assert np.abs(changed - expected).max() <= 1


@pytest.mark.parametrize("kind", WARPS)
def test_a_movement_is_that_of_timm_in_almost_every_pixel(kind: Operation) -> None:
    """Single precision puts few values on the other side of a whole level: of those that are all but whole."""
    random = np.random.default_rng(0)
    clip = random.integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    for magnitude, sign in ((7.0, 1.0), (6.3, -1.0)):
        told = told_at(kind, magnitude, sign)
        changed = timms.as_pictures(operate(timms.as_levels(clip), one(kind, told)))
        assert (changed != timms.operate(kind, clip, told)).mean() < 0.01


@pytest.mark.parametrize("kind", WARPS)
def test_what_comes_from_outside_is_grey_and_nothing_else(kind: Operation) -> None:
    white = np.full((1, 32, 24, 3), 255, np.uint8)
    told = told_at(kind, 7.0, 1.0)
    changed = timms.as_pictures(operate(timms.as_levels(white), one(kind, told)))
    assert set(np.unique(changed)) == {FILL, 255}
    np.testing.assert_array_equal(changed, timms.operate(kind, white, told))


def test_a_picture_moves_the_way_it_is_told() -> None:
    point = np.zeros((1, 9, 9, 3), np.uint8)
    point[0, 4, 6] = 255

    def where(kind: Operation, told: float) -> tuple[int, int]:
        changed = timms.as_pictures(operate(timms.as_levels(point), one(kind, told)))[0, :, :, 0]
        row, column = np.unravel_index(np.argmax(changed * (changed != FILL)), changed.shape)
        return int(row), int(column)

    assert where(Operation.ROTATE, 90.0) == (2, 4), "counter-clockwise"
    assert where(Operation.TRANSLATE_X, 2 / 9) == (4, 4)
    assert where(Operation.TRANSLATE_Y, 2 / 9) == (2, 6)


def test_no_bits_kept_is_black() -> None:
    """Pillow 13 refuses it, so timm fails at magnitude 10 there."""
    noise = torch.randint(0, 256, (1, 1, 3, 8, 8), dtype=torch.uint8)
    told = told_at(Operation.POSTERIZE, 10.0, 1.0)
    assert told == 0.0
    assert not operate(noise, one(Operation.POSTERIZE, told)).any()


@SETTINGS
@given(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=4), st.integers(0, 2**32))
def test_operations_follow_one_another(kinds: list[Operation], seed: int) -> None:
    random = np.random.default_rng(seed)
    clip = random.integers(0, 256, (2, 20, 28, 3), dtype=np.uint8)
    told = [told_at(kind, random.uniform(0, 9.9), random.choice([-1.0, 1.0])) for kind in kinds]
    changed = operate(timms.as_levels(clip), OperationDraws(np.array([kinds]), np.array([told])))

    step = timms.as_levels(clip)
    for kind, argument_ in zip(kinds, told, strict=True):
        step = operate(step, one(kind, argument_))
        expected = timms.operate(kind, clip, argument_).astype(int)
        assert np.abs(timms.as_pictures(step).astype(int) - expected).max() <= 1
        clip = timms.as_pictures(step)
    assert torch.equal(changed, step)


@SETTINGS
@given(st.integers(0, 2**32), st.permutations(range(5)))
def test_a_clip_comes_out_alike_whatever_shares_its_batch(seed: int, order: list[int]) -> None:
    random = np.random.default_rng(seed)
    levels = torch.from_numpy(random.integers(0, 256, (5, 2, 3, 12, 16), dtype=np.uint8))
    kinds = random.integers(-1, len(OPERATIONS), (5, 3))
    told = np.array(
        [[told_at(Operation(kind), random.uniform(0, 9.9), 1.0) for kind in row] for row in kinds]
    )

    before = levels.clone()
    together = operate(levels, OperationDraws(kinds, told))
    assert torch.equal(levels, before), "what was given stays"

    some = order[:3]
    assert torch.equal(
        operate(levels[some], OperationDraws(kinds[some], told[some])), together[some]
    )
    for clip in range(5):
        alone = operate(levels[clip : clip + 1], OperationDraws(kinds[[clip]], told[[clip]]))
        assert torch.equal(alone[0], together[clip])
        if (kinds[clip] == Operation.NONE).all():
            assert torch.equal(together[clip], levels[clip])
