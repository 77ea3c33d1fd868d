"""Parts of the training videos."""

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.evaluation.statistics.subsets import PERCENTS, nested_subsets
from tests.trainer.evaluation.statistics.made import names

GROUPS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.sampled_from("uvwxyz"), min_size=1, max_size=20
)
ALONE = {name: name for name in names(32)}


@given(groups=GROUPS, seed=st.integers(0, 5))
def test_each_part_holds_the_smaller_one_and_at_least_one_video(
    groups: dict[str, str], seed: int
) -> None:
    parts = nested_subsets(groups, "task", seed)
    videos = [set(parts[percent]) for percent in PERCENTS]
    assert all(small <= large for small, large in pairwise(videos))
    assert videos[0]
    assert parts[100.0] == tuple(groups)


@given(groups=GROUPS)
def test_a_part_is_of_whole_groups_and_no_larger_than_it_must_be(groups: dict[str, str]) -> None:
    for percent, videos in nested_subsets(groups, "task").items():
        chosen = {groups[video] for video in videos}
        assert set(videos) == {video for video, group in groups.items() if group in chosen}

        sizes = [sum(group == one for group in groups.values()) for one in chosen]
        wanted = percent / 100 * len(groups)
        assert len(videos) - max(sizes) < wanted <= len(videos)


@given(groups=GROUPS, order=st.randoms(use_true_random=False))
def test_the_order_of_videos_decides_nothing(groups: dict[str, str], order: Random) -> None:
    moved = {video: groups[video] for video in order.sample(list(groups), len(groups))}
    before = nested_subsets(groups, "task")
    after = nested_subsets(moved, "task")
    assert all(set(after[percent]) == set(before[percent]) for percent in PERCENTS)


def test_single_videos_have_their_exact_shares() -> None:
    assert [len(videos) for videos in nested_subsets(ALONE, "task").values()] == [4, 8, 16, 32]


def test_golden_parts() -> None:
    parts = nested_subsets(ALONE, "cholec80")
    assert parts[12.5] == ("video01", "video13", "video24", "video29")


def test_tasks_and_seeds_have_parts_of_their_own() -> None:
    ours = nested_subsets(ALONE, "task")[25.0]
    assert nested_subsets(ALONE, "other")[25.0] != ours
    assert nested_subsets(ALONE, "task", seed=1)[25.0] != ours


def test_one_more_video_moves_no_other() -> None:
    before = nested_subsets(ALONE, "task")
    after = nested_subsets(ALONE | {"video33": "video33"}, "task")
    assert all(set(before[percent]) <= {*after[percent], "video33"} for percent in PERCENTS[:3])


def test_other_shares() -> None:
    parts = nested_subsets(ALONE, "task", percents=(1.0, 75.0))
    assert [len(videos) for videos in parts.values()] == [1, 24]
