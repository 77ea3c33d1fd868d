"""The draws: how they are made, and that nothing but the key decides them."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.keyed_random import Purpose, hash64, hash_text
from surgstream.trainer.evaluation.statistics import units as module
from surgstream.trainer.evaluation.statistics.units import Units, units_of
from tests.trainer.evaluation.statistics.made import grouped, units

GROUPS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.sampled_from("xyz"), min_size=1, max_size=9
)


def all_draws(units: Units, num_draws: int) -> np.ndarray:
    return np.concatenate(list(units.draws(num_draws)))


def plain_draw(groups: dict[str, str], task: str, version: int, draw: int) -> list[int]:
    """How often each video counts in a draw, one number at a time."""
    of_videos = hash_text("\n".join(sorted(groups)))
    key = hash64(Purpose.BOOTSTRAP, hash_text(task), version, of_videos).item()

    names = sorted(set(groups.values()))
    drawn = [names[hash64(key, draw, place).item() % len(names)] for place in range(len(names))]
    counts = Counter(drawn)
    return [counts[group] for group in groups.values()]


def test_golden_draws() -> None:
    assert units(5).key == 16851552881834246448
    assert all_draws(units(5), 4).astype(int).tolist() == [
        [1, 1, 2, 1, 0],
        [3, 1, 0, 0, 1],
        [3, 0, 1, 1, 0],
        [1, 0, 1, 0, 3],
    ]


@given(groups=GROUPS)
def test_draws_equal_the_plain_definition(groups: dict[str, str]) -> None:
    found = all_draws(units_of(groups, "task", 3), 5)
    assert found.tolist() == [plain_draw(groups, "task", 3, draw) for draw in range(5)]


@given(groups=GROUPS, order=st.randoms(use_true_random=False))
def test_a_video_is_drawn_as_often_wherever_it_stands(
    groups: dict[str, str], order: Random
) -> None:
    videos = list(groups)
    moved = order.sample(videos, len(videos))

    before = all_draws(units_of(groups, "task", 1), 5)
    after = all_draws(units_of({video: groups[video] for video in moved}, "task", 1), 5)
    assert np.array_equal(after, before[:, [videos.index(video) for video in moved]])


@given(groups=GROUPS)
def test_a_draw_has_as_many_units_as_there_are_and_all_videos_of_each(
    groups: dict[str, str],
) -> None:
    found = all_draws(units_of(groups, "task", 1), 5)
    num_units = np.zeros(5)
    for name in set(groups.values()):
        of_group = found[:, [group == name for group in groups.values()]]
        assert np.array_equal(of_group, np.tile(of_group[:, :1], of_group.shape[1]))
        num_units += of_group[:, 0]
    assert num_units.tolist() == [len(set(groups.values()))] * 5


def test_blocks_do_not_change_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = all_draws(units(7), 600)
    monkeypatch.setattr(module, "DRAWS_AT_ONCE", 7)
    assert len(whole) == 600
    assert np.array_equal(all_draws(units(7), 600), whole)


def test_another_task_version_or_set_of_videos_has_other_draws() -> None:
    groups = {name: name for name in "abcdefgh"}
    others = [
        units_of(groups, "other", 1),
        units_of(groups, "task", 2),
        units_of({name: name for name in "abcdefgi"}, "task", 1),
    ]
    ours = all_draws(units_of(groups, "task", 1), 20)
    assert not any(np.array_equal(ours, all_draws(other, 20)) for other in others)


def test_units_are_drawn_evenly() -> None:
    """A unit's count over 4,000 draws of 5 is binomial, at four standard deviations."""
    counts = all_draws(units(5), 4000).sum(0)
    assert np.abs(counts - 4000).max() < 4 * np.sqrt(20_000 * 0.2 * 0.8)


def test_the_jackknife_leaves_out_whole_units() -> None:
    expected = [[0, 0, 1, 1, 1], [1, 1, 0, 0, 1], [1, 1, 1, 1, 0]]
    assert grouped(5, size=2).without_one().tolist() == expected


def test_units_are_called_what_they_are() -> None:
    assert [units(count).counted(count) for count in (1, 3)] == ["one video", "3 videos"]
    assert [grouped(4, size=2).counted(count) for count in (1, 2)] == ["one group", "2 groups"]
