"""SurgVISTA's benchmark of 13 datasets, as its table prints it, and our tasks: what differs is told in their files."""

from typing import NamedTuple

import pytest

from surgstream.configs.presets import presets
from surgstream.trainer.evaluation.tasks.loading import find_task


class Printed(NamedTuple):
    """Videos, or clips, of the three splits, 0 where there is none, the frames of each, and the classes."""

    videos: tuple[int, int, int]
    frames: tuple[int, ...]
    classes: int


BENCHMARK = {
    "cholec80_phases": Printed((40, 0, 35), (86_344, 88_494), 7),
    "m2cai16_phases": Printed((27, 0, 14), (67_578, 26_961), 8),
    "autolaparo_phases": Printed((10, 4, 7), (40_211, 14_972, 28_060), 7),
    "pmlr50_phases": Printed((35, 5, 10), (17_378, 2_309, 5_350), 5),
    "cataracts_steps": Printed((25, 5, 20), (16_507, 15_448), 19),
    "cataract101_phases": Printed((50, 10, 40), (25_288, 4_148, 18_215), 10),
    "cataract21_phases": Printed((18, 0, 3), (7_716, 937), 11),
    "esd57_phases": Printed((39, 6, 12), (121_225, 24_187, 38_934), 8),
    "surgical_actions160": Printed((112, 0, 48), (13_238, 5_783), 16),
    "cholect50_triplets_challenge": Printed((45, 0, 5), (90_489, 10_374), 100),
    "prostate21_triplets": Printed((14, 3, 4), (38_730, 9_571, 12_228), 89),
    "cholec80_cvs": Printed((263, 43, 137), (17_201, 3_327, 10_469), 6),
    "endoscapes_cvs_sum": Printed((120, 41, 40), (36_694, 12_372, 9_747), 4),
}  # fmt: skip

OTHERWISE = {"cataract101_phases", "surgical_actions160", "cholec80_cvs"}
"""Tasks with another split, since SurgVISTA's is drawn without a seed, or is of another task."""

PRIVATE = {"esd57_phases", "prostate21_triplets"}


def text_of(task: str) -> str:
    """The file of a task on one line."""
    return " ".join(presets("evaluate/tasks")[task].read_text().split())


def test_all_thirteen_are_here() -> None:
    assert len(BENCHMARK) == 13
    assert BENCHMARK.keys() <= presets("evaluate/tasks").keys()


@pytest.mark.parametrize("name", sorted(BENCHMARK.keys() - OTHERWISE - PRIVATE))
def test_the_split_is_the_printed_one(name: str) -> None:
    printed, task = BENCHMARK[name], find_task(name)
    train, val, test = (len(task.videos(split)) for split in ("train", "val", "test"))
    if printed.videos[1]:
        assert (train, val, test) == printed.videos
    else:
        # Those to choose by are ours, out of the training videos
        assert (train + val, 0, test) == printed.videos and val
    assert len(task.classes) == printed.classes


@pytest.mark.parametrize("name", sorted(OTHERWISE | PRIVATE))
def test_another_split_or_none_is_told_beside_the_printed_one(name: str) -> None:
    printed, task = BENCHMARK[name], find_task(name)
    text = text_of(name)
    numbers = [str(number) for number in printed.videos if number]
    listed = " and ".join(filter(None, [", ".join(numbers[:-1]), numbers[-1]]))
    assert listed in text and "SurgVISTA" in text
    assert (task.split is None) == (name in PRIVATE)


@pytest.mark.parametrize("name", sorted(BENCHMARK))
def test_frames_are_told_as_they_are_printed(name: str) -> None:
    text = text_of(name)
    for number in BENCHMARK[name].frames:
        assert f"{number:,}" in text


def test_sums_that_do_not_fit_are_told() -> None:
    assert sum(BENCHMARK["pmlr50_phases"].frames) == 25_037
    assert "The text of SurgVISTA has 23,037 frames in all, its parts add up to 25,037" in text_of(
        "pmlr50_phases"
    )


def test_videos_that_are_trained_on_elsewhere_are_told() -> None:
    assert "PSI-AVA's videos are in training only" in text_of("prostate21_triplets")
