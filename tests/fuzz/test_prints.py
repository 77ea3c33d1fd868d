"""Whatever stands in a file of kept fingerprints: those that were kept, or none."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.leaks.kept import keep_looks, kept_looks
from surgstream.shards.leaks.read import VideoFingerprints
from surgstream.shards.leaks.thumbnails import WORDS
from tests.fuzz.damage import cases, damaged

KEY = "5" * 64


def look(seed: int, num_pictures: int) -> VideoFingerprints:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, (5, num_pictures, WORDS), np.uint32)
    return VideoFingerprints(
        motion=tuple(bits[:4]),
        pictures=(bits[4],),
        keys=rng.integers(0, 2**64, 5 * num_pictures, np.uint64),
        num_pictures=num_pictures,
    )


def same(one: VideoFingerprints, other: VideoFingerprints) -> bool:
    pairs = [*zip(one.motion, other.motion, strict=True)]
    pairs += [*zip(one.pictures, other.pictures, strict=True), (one.keys, other.keys)]
    is_same = all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    return is_same and one.num_pictures == other.num_pictures


@given(st.data())
@cases(200)
def test_damaged_prints(tmp_path: Path, data: st.DataObject) -> None:
    looks = [look(1, 3), look(2, 0)]
    keep_looks(tmp_path, KEY, looks)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    found = kept_looks(tmp_path, KEY)
    assert found and all(map(same, found, looks))

    content = data.draw(damaged(whole) | st.binary(max_size=100))
    path.write_bytes(content)
    found = kept_looks(tmp_path, KEY)
    assert (found is None) == (content != whole)

    # What is sound, but of other frames that begin with the same digits
    path.write_bytes(whole)
    assert kept_looks(tmp_path, KEY[:-1] + "6") is None
