"""What is kept of a micro-batch of which some clips are padding."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.batch import ClipBatch, ClipName


def batch_of(valid: list[bool], stills: list[bool] | None) -> ClipBatch:
    """Clips of one pixel each, which is the number of the clip."""
    size = len(valid)
    told = {} if stills is None else {"stills": np.array(stills)}
    return ClipBatch(
        clips=torch.arange(size).view(size, 1, 1, 1, 1).float(),
        draws=10 + np.arange(size),
        names=tuple(ClipName("knee", f"v{number}", number) for number in range(size)),
        valid=np.array(valid),
        **told,
    )


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_each_clip_that_is_kept_keeps_what_is_said_of_it(clips: list[tuple[bool, bool]]) -> None:
    valid, stills = map(list, zip(*clips, strict=True))
    found = batch_of(valid, stills).without_padding()

    expected = [i for i in range(len(clips)) if valid[i] or not any(valid)]
    assert found.clips.flatten().tolist() == expected
    assert found.draws.tolist() == [10 + i for i in expected]
    assert [name.anchor_frame for name in found.names] == expected
    assert found.stills.tolist() == [stills[i] for i in expected]


def test_no_clip_is_a_still_where_nothing_is_said() -> None:
    assert batch_of([True] * 3, None).stills.tolist() == [False] * 3
