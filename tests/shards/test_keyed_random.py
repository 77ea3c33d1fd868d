import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.keyed_random import (
    Purpose,
    choice,
    hash64,
    hash_text,
    mix64,
    permute,
    uniform,
)

KEYS = st.integers(0, 2**64 - 1)


def splitmix64(state: int) -> int:
    """The published generator's output for a state, in unbounded integers."""
    x = state % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def plain_hash(*parts: int) -> int:
    golden, state = 0x9E3779B97F4A7C15, 0
    for part in parts:
        state = splitmix64((state + golden) % 2**64 ^ splitmix64(part + golden))
    return state


def plain_permute(index: int, size: int, key: int) -> int:
    """P as its docstring tells it, one number at a time."""
    golden = 0x9E3779B97F4A7C15
    a = next(a for a in range(1, size + 1) if a * a >= size)
    b = -(-size // a)
    while True:
        left, right = divmod(index, b)
        for round_ in range(10):
            seed = splitmix64(key + golden * (round_ + 1))
            if round_ % 2 == 0:
                left = (left + splitmix64(seed + golden * right) % a) % a
            else:
                right = (right + splitmix64(seed + golden * left) % b) % b
        index = left * b + right
        if index < size:
            return index


def test_golden_vectors() -> None:
    assert hash64(0).item() == 258863698125685209
    assert hash64(1, 2, 3).item() == 17824878756907967
    assert hash64(2**64 - 1, -1).item() == 16717394279209878083
    assert hash64(7, np.arange(2)).tolist() == [3863364003828011602, 17686512200023392379]
    assert hash_text("cholec80") == 8924584868046317926
    assert permute(np.arange(10), 10, 7).tolist() == [7, 9, 6, 3, 0, 5, 2, 1, 4, 8]
    assert permute([0, 1, 10**15], 10**15 + 1, 2**64 - 1).tolist() == [
        648759174527303,
        874692348253021,
        662085480537761,
    ]
    assert choice(hash64(3), 6).tolist() == [3, 5, 0, 4, 1, 2]
    assert uniform(hash64(3), 2).tolist() == [0.38058906453396457, 0.6789725712968936]


def test_purposes_keep_their_numbers() -> None:
    """Every order, crop, mask and interval hangs on them: a new purpose comes last."""
    assert {purpose.name: int(purpose) for purpose in Purpose} == {
        "MIXTURE": 1,
        "CHUNK_ROWS": 2,
        "CLIP_IN_CHUNK": 3,
        "LEFTOVERS": 4,
        "SINGLE_LANE": 5,
        "CROP": 6,
        "MASK": 7,
        "DROP_PATH": 8,
        "SUBSTITUTE": 9,
        "BLOCK_SIZE": 10,
        "BLOCKS": 11,
        "MASK_RATIO": 12,
        "CROP_OFFSET": 13,
        "BOOTSTRAP": 14,
        "SUBSET_OF_VIDEOS": 15,
        "MADE_UP": 16,
        "BOOTSTRAP_OF_SEEDS": 17,
        "RESIZED_CROP": 18,
        "FLIP": 19,
        "RAND_AUGMENT": 20,
        "ERASE": 21,
        "MIX": 22,
        "DROPOUT": 23,
        "HEAD_INIT": 24,
        "TEMPORAL": 25,
        "ONLINE_PROBE": 26,
        "IMAGE_SCALE": 27,
        "MASK_KIND": 28,
    }


def test_mix64_is_the_published_finaliser() -> None:
    # The first outputs of SplitMix64 seeded with 0, as its author prints them.
    states = np.array([1, 2, 3], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(x) for x in mix64(states).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4), st.data())
@settings(max_examples=50, derandomize=True, deadline=None)
def test_hash64_is_elementwise_and_depends_on_every_part(
    parts: list[int], data: st.DataObject
) -> None:
    arrays = [np.array([part, part]) for part in parts]
    assert hash64(*arrays).tolist() == [hash64(*parts).item()] * 2 == [plain_hash(*parts)] * 2
    changed = list(parts)
    changed[data.draw(st.integers(0, len(parts) - 1))] ^= 1
    assert hash64(*changed).item() != hash64(*parts).item()
    assert hash64(*parts, 0).item() != hash64(*parts).item()


def test_hash64_bits_are_fair() -> None:
    bits = np.unpackbits(hash64(5, np.arange(20000)).view(np.uint8).reshape(-1, 8), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_permute_is_a_bijection_for_all_small_sizes(key: int) -> None:
    for size in range(1, 300):
        assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


@given(st.integers(300, 200_000), KEYS)
@settings(max_examples=15, derandomize=True, deadline=None)
def test_permute_is_a_bijection_for_large_sizes(size: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


@given(st.integers(2**40, 2**52), KEYS)
@settings(max_examples=15, derandomize=True, deadline=None)
def test_permute_has_no_collision_in_huge_sets(size: int, key: int) -> None:
    index = np.unique(hash64(key, np.arange(5000)) % np.uint64(size)).astype(np.int64)
    out = permute(index, size, key)
    assert out.min() >= 0 and out.max() < size
    assert np.unique(out).size == index.size


@given(st.integers(1, 3000), KEYS, st.data())
@settings(max_examples=50, derandomize=True, deadline=None)
def test_permute_equals_the_plain_definition(size: int, key: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    assert permute(index, size, np.uint64(key)).item() == plain_permute(index, size, key)


def test_permute_takes_a_size_and_a_key_for_each_element() -> None:
    sizes, keys = np.array([1, 7, 300]), hash64(np.arange(3))
    together = permute(np.array([0, 6, 299]), sizes, keys)
    alone = [permute(size - 1, size, key).item() for size, key in zip(sizes, keys, strict=True)]
    assert together.tolist() == alone


@pytest.mark.parametrize("size", [4, 5, 7])
def test_permute_draws_permutations_evenly(size: int) -> None:
    """Chi-squared over all pairs of images, at six standard deviations: six Feistel rounds fail this at 5 elements."""
    keys = hash64(1, np.arange(48_000))
    images = permute(np.arange(2), size, keys[:, None])
    counts = np.zeros((size, size))
    np.add.at(counts, (images[:, 0], images[:, 1]), 1)
    cells = size * (size - 1)
    expected = len(keys) / cells
    statistic = ((counts[~np.eye(size, dtype=bool)] - expected) ** 2 / expected).sum()
    assert abs(statistic - (cells - 1)) < 6 * np.sqrt(2 * (cells - 1))


@pytest.mark.parametrize("index", [-1, 5])
def test_permute_refuses_an_index_outside(index: int) -> None:
    with pytest.raises(ValueError, match="in \\[0, size\\)"):
        permute(index, 5, 0)


def test_permute_of_nothing_is_nothing() -> None:
    assert permute(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64)).size == 0


def test_uniform_is_uniform() -> None:
    numbers = uniform(hash64(np.arange(100)), 200)
    assert numbers.shape == (100, 200)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert np.abs(np.histogram(numbers, bins=10, range=(0, 1))[0] / numbers.size - 0.1).max() < 0.01


def test_choice_is_a_permutation_of_its_own_for_each_key() -> None:
    rows = choice(hash64(np.arange(50)), 12)
    assert np.array_equal(np.sort(rows, axis=1), np.tile(np.arange(12), (50, 1)))
    assert len({tuple(row) for row in rows.tolist()}) == 50
    assert np.array_equal(choice(hash64(3), 12), rows[3])
