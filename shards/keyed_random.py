"""Keyed randomness: every random choice is a pure function of integers such as (seed, purpose, draw).

Nothing here has a state, so a clip is ordered, cropped and masked the same way on any rank, after any resume and under
any version of NumPy, whose own generator streams may change between releases. Integer arithmetic only; golden vectors
in `tests/shards/test_keyed_random.py` pin every function.
"""

import hashlib
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
Ints = npt.ArrayLike

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Purpose(IntEnum):
    """The purpose of a random number; different purposes never share one."""

    MIXTURE = 1
    CHUNK_ROWS = 2
    CLIP_IN_CHUNK = 3
    LEFTOVERS = 4
    SINGLE_LANE = 5
    CROP = 6
    MASK = 7
    DROP_PATH = 8
    SUBSTITUTE = 9
    BLOCK_SIZE = 10
    BLOCKS = 11
    MASK_RATIO = 12
    CROP_OFFSET = 13
    BOOTSTRAP = 14
    SUBSET_OF_VIDEOS = 15
    MADE_UP = 16
    BOOTSTRAP_OF_SEEDS = 17
    RESIZED_CROP = 18
    FLIP = 19
    RAND_AUGMENT = 20
    ERASE = 21
    MIX = 22
    DROPOUT = 23
    HEAD_INIT = 24
    TEMPORAL = 25
    ONLINE_PROBE = 26
    IMAGE_SCALE = 27
    MASK_KIND = 28


def mix64(x: UInt64) -> UInt64:
    """Scramble 64-bit integers: the finaliser of SplitMix64, a bijection of [0, 2^64).

    Args:
        x: Integers of any shape, dtype uint64.

    Returns:
        An array of the same shape.
    """
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def hash64(*parts: Ints) -> UInt64:
    """Hash a tuple of integers to 64 bits, elementwise over broadcast arrays.

    Args:
        parts: Integers or integer arrays that broadcast against each other. Negative integers wrap modulo 2^64.

    Returns:
        uint64 array of the broadcast shape.
    """
    state = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            # mix64 maps 0 to 0; the constant makes every part count, zeros as well.
            mixed = mix64(_as_uint64(part) + _GOLDEN)
            state = mix64((state + _GOLDEN) ^ mixed)
    return np.asarray(state)


def hash_text(text: str) -> int:
    """Hash a string, such as a dataset's name, to an integer in [0, 2^64) that `hash64` takes."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def uniform(key: UInt64, count: int) -> npt.NDArray[np.float64]:
    """Draw `count` uniform numbers in [0, 1) for each key.

    Args:
        key: uint64 array of shape (...).
        count: Numbers per key.

    Returns:
        float64 array of shape (..., count), with 53 random bits each.
    """
    hashes = hash64(np.asarray(key)[..., None], np.arange(count))
    # A double holds 53 bits exactly, so nothing is rounded up to 1.
    bits = hashes >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def choice(key: UInt64, count: int) -> Int64:
    """Permute [0, count) for each key; the first `c` entries are a random choice of `c` without replacement.

    Args:
        key: uint64 array of shape (...).
        count: Size of the set.

    Returns:
        int64 array of shape (..., count); each row is a permutation.
    """
    hashes = hash64(np.asarray(key)[..., None], np.arange(count))
    return np.argsort(hashes, axis=-1, kind="stable")


def permute(index: Ints, size: Ints, key: Ints) -> Int64:
    """Apply a keyed permutation P of [0, size) to `index`, in O(1) memory whatever the size.

    A mixed-radix Feistel network on Z_a x Z_b with a = ceil(sqrt(size)) and b = ceil(size / a) permutes [0, a b). The
    few images that fall outside [0, size) are sent through it again until they land inside (cycle walking), which is
    again a permutation. Vectorised over elements that each have their own size and key.

    Args:
        index: Integers in [0, size).
        size: Sizes of the permuted sets, up to 2^52.
        key: Keys of the permutations.

    Returns:
        int64 array of the broadcast shape; for a fixed size and key a bijection of [0, size).

    Raises:
        ValueError: An index lies outside [0, size).
    """
    index, size, key = np.broadcast_arrays(
        np.asarray(index, np.int64), np.asarray(size, np.int64), _as_uint64(key)
    )
    if np.any((index < 0) | (index >= size)):
        raise ValueError("permute: expected every index in [0, size)")

    shape = index.shape
    out = index.flatten()
    size = size.ravel()
    key = key.ravel()
    # The square root of a double below 2^53 is correctly rounded, so a is the same on every machine.
    a = np.ceil(np.sqrt(size)).astype(np.int64)
    b = -(-size // np.maximum(a, 1))

    # `walking` holds the places whose values still lie outside of [0, size).
    walking = np.arange(out.size)
    while walking.size:
        out[walking] = _feistel(out[walking], a[walking], b[walking], key[walking])
        walking = walking[out[walking] >= size[walking]]
    return out.reshape(shape)


def _feistel(x: Int64, a: Int64, b: Int64, key: UInt64) -> Int64:
    """Alternating rounds of modular addition: a bijection of [0, a b) for any round function.

    Ten, because with six a chi-squared test tells the permutations of five elements from uniform ones.
    """
    left, right = np.divmod(x, b)
    for round_ in range(0, 10, 2):
        left = (left + _round(key, round_, right, a)) % a
        right = (right + _round(key, round_ + 1, left, b)) % b
    return left * b + right


def _round(key: UInt64, round_: int, value: Int64, modulus: Int64) -> Int64:
    """Number `value` of the SplitMix64 stream that (key, round) seeds, modulo `modulus`."""
    with np.errstate(over="ignore"):
        seed = mix64(key + _GOLDEN * np.uint64(round_ + 1))
        bits = mix64(seed + _GOLDEN * value.astype(np.uint64))
    return (bits % modulus.astype(np.uint64)).astype(np.int64)


def _as_uint64(part: Ints) -> UInt64:
    if isinstance(part, int):
        return np.asarray(part % 2**64, dtype=np.uint64)
    array = np.asarray(part)
    return array if array.dtype == np.uint64 else array.astype(np.int64).astype(np.uint64)
