"""The tasks that come with the package: each is right by itself, and says what was published of its dataset."""

import re
from itertools import combinations

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.presets import presets
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.evaluation.tasks.loading import (
    all_tasks,
    find_task,
    label_space,
    label_values,
)
from surgstream.trainer.evaluation.tasks.split_config import SplitConfig

TASKS = all_tasks()

# Videos to train, choose and test on.
VIDEOS = {
    "autolaparo_phases": (10, 4, 7),
    "cataract101_phases": (71, 20, 10),
    "cataract21_phases": (15, 3, 3),
    "cataracts_steps": (25, 5, 20),
    "cholec80_cvs": (50, 15, 15),
    "cholec80_phases": (32, 8, 35),
    "cholec80_tools": (32, 8, 35),
    "cholect50_triplets": (35, 5, 10),
    "cholect50_triplets_challenge": (40, 5, 5),
    "endoscapes_cvs": (120, 41, 40),
    "endoscapes_cvs_sum": (120, 41, 40),
    "m2cai16_phases": (22, 5, 14),
    "ophnet_phases": (445, 144, 154),
    "pitvis_steps": (15, 4, 5),
    "pmlr50_phases": (35, 5, 10),
    "sarrarp50_actions": (38, 6, 10),
    "surgical_actions160": (112, 32, 16),
}

# Of every fold: videos in all, and those to choose by. Test videos of folds follow one another, unless they overlap.
FOLDS = {
    "cholect45_triplets": {"": (45, 5)},
    "jigsaws_knot_tying": {"louo": (72, 0), "loso": (72, 0)},
    "jigsaws_needle_passing": {"louo": (56, 0), "loso": (56, 0)},
    "jigsaws_suturing": {"louo": (78, 0), "loso": (78, 0)},
    "multibypass140_phases": {"bern": (70, 10)},
    "multibypass140_steps": {"bern": (70, 10)},
}

CLASSES = {
    "aixsuture": 3, "autolaparo_phases": 7, "cataract101_phases": 10, "cataract21_phases": 11, "cataracts_steps": 19,
    "cholec80_cvs": 3, "cholec80_phases": 7, "cholec80_tools": 7, "cholect45_triplets": 100, "cholect50_triplets": 100,
    "cholect50_triplets_challenge": 100, "endoscapes_cvs": 3, "endoscapes_cvs_sum": 4, "jigsaws_knot_tying": 0,
    "jigsaws_needle_passing": 0, "jigsaws_suturing": 0, "m2cai16_phases": 8, "multibypass140_phases": 13,
    "multibypass140_steps": 46, "ophnet_phases": 52, "pitvis_steps": 15, "pmlr50_phases": 5, "polypdiag": 2,
    "sarrarp50_actions": 8, "surgical_actions160": 16,
}  # fmt: skip

WITHOUT_IDS = {"aixsuture", "polypdiag"}
"""Those whose videos' ids are not known, or may not be passed on."""


def of_package(name: str) -> bool:
    """Whether a task is of a public dataset, not of the synthetic corpus."""
    return not name.startswith("synth")


def test_each_has_its_file_s_name_and_a_version() -> None:
    for name, task in TASKS.items():
        assert (task.name, task.version) == (name, 1)


def test_those_with_labels_have_their_classes() -> None:
    labelled = {name: task for name, task in TASKS.items() if task.labels and of_package(name)}
    assert {name: len(task.classes) for name, task in labelled.items()} == CLASSES


def test_those_with_labels_have_a_split_or_say_why_not() -> None:
    for name, task in TASKS.items():
        if not task.labels or not of_package(name):
            continue
        assert bool(task.splits()) == (name not in WITHOUT_IDS)
        assert task.splits() or any(note.startswith("not found: ") for note in task.notes)


@pytest.mark.parametrize("name", VIDEOS)
def test_splits_have_as_many_videos_as_is_published(name: str) -> None:
    split = TASKS[name].split
    assert split and split.source
    assert tuple(map(len, split.videos().values())) == VIDEOS[name]


@pytest.mark.parametrize("name", FOLDS)
def test_folds_have_all_videos_and_test_each(name: str) -> None:
    for begin, (num_videos, num_val) in FOLDS[name].items():
        folds = [
            split.videos() for key, split in TASKS[name].folds.items() if key.startswith(begin)
        ]
        everything = {id for videos in folds for ids in videos.values() for id in ids}
        assert len(everything) == num_videos
        for videos in folds:
            assert {id for ids in videos.values() for id in ids} == everything
            assert len(videos["val"]) == num_val


@pytest.mark.parametrize("begin", ["louo", "loso"])
def test_folds_of_jigsaws_and_cholect45_test_each_video_once(begin: str) -> None:
    names = [name for name in FOLDS if name.startswith("jigsaws")]
    folds: list[tuple[SplitConfig, ...]] = [
        tuple(split for key, split in TASKS[name].folds.items() if key.startswith(begin))
        for name in names
    ]
    folds.append(tuple(TASKS["cholect45_triplets"].folds.values()))
    for splits in folds:
        for one, other in combinations(splits, 2):
            assert not {*one.videos()["test"]} & {*other.videos()["test"]}


def test_all_splits_of_cholect50_are_of_the_same_videos() -> None:
    def videos(task: TaskConfig) -> set[str]:
        assert task.split
        return {id for ids in task.split.videos().values() for id in ids}

    rendezvous = videos(TASKS["cholect50_triplets"])
    assert len(rendezvous) == 50
    assert rendezvous == videos(TASKS["cholect50_triplets_challenge"])

    cross = TASKS["cholect45_triplets"].judged_by()
    assert rendezvous - cross == {"VID92", "VID96", "VID103", "VID110", "VID111"}


def test_cholec80_without_the_videos_that_may_be_in_m2cai16() -> None:
    split = TASKS["cholec80_phases"].split
    assert split
    test = set(split.videos()["test"])
    left_out = {f"video{number}" for number in (73, 77, 78, 79, 80)}
    assert test == {f"video{number}" for number in range(41, 81)} - left_out


def test_a_task_is_found_by_its_name_and_fold() -> None:
    assert find_task("cholec80_phases") == TASKS["cholec80_phases"]
    assert find_task(str(presets("evaluate/tasks")["polypdiag"])) == TASKS["polypdiag"]

    whole = TASKS["cholect45_triplets"]
    fold = find_task("cholect45_triplets@2")
    assert (fold.name, fold.split, fold.folds) == ("cholect45_triplets@2", whole.folds["2"], {})


def test_folds_together_have_each_test_video_once_and_none_to_train_on() -> None:
    pooled = find_task("cholect45_triplets@*")
    whole = find_task("cholect45_triplets")
    tests = [video for fold in whole.folds.values() for video in fold.videos()["test"]]
    assert pooled.name == "cholect45_triplets@*" and pooled.folds == {}
    assert sorted(pooled.videos("test")) == sorted(tests) and len({*tests}) == len(tests) == 45
    assert pooled.videos("train") == pooled.videos("val") == ()

    by_surgeon = find_task("jigsaws_suturing@louo_*")
    assert len({by_surgeon.group_of()[video] for video in by_surgeon.videos("test")}) == 8


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("cholec80_phase", "expected a task's file or one of .*; did you mean 'cholec80_phases'"),
        ("cholec80", "got the beginning of cholec80_cvs and cholec80_phases and cholec80_tools"),
        ("cholect45_triplets@6", "expected one of the folds 1, 2, 3, 4, 5, got '6'"),
        ("jigsaws_suturing@louo_A", "got 'louo_A'; did you mean 'louo_"),
        (
            "jigsaws_suturing@*",
            "expected folds that test each video once, Suturing_B001_capture1 is",
        ),
        ("cholec80_phases@1", "folds those of the task, which has none, got '1'"),
    ],
)
def test_a_word_that_is_no_task_is_told(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_task(word)


def test_the_labels_of_a_task_are_what_metrics_know() -> None:
    for task in TASKS.values():
        space = label_space(task)
        assert (space.kind, space.classes) == (task.kind, task.classes)
        if space.is_dense:
            continue
        values = label_values(task)
        assert (values.kind, values.classes) == (task.kind, task.classes)
        assert {space.classes[number] for number in space.null_classes} == {*task.null_classes}


def test_triplets_are_made_of_their_components() -> None:
    space = label_space(TASKS["cholect50_triplets"])
    instruments, verbs, targets = (
        space.components[name] for name in ("instrument", "verb", "target")
    )
    assert (max(instruments) + 1, max(verbs) + 1, max(targets) + 1) == (6, 10, 15)
    assert space.null_classes == tuple(range(94, 100))

    # Two classes share the number of a part where, and only where, they share its word.
    for (one, first), (other, second) in combinations(enumerate(space.classes), 2):
        shared = [a == b for a, b in zip(first.split("/"), second.split("/"), strict=True)]
        found = [numbers[one] == numbers[other] for numbers in (instruments, verbs, targets)]
        assert found == shared

    # The rows of the release's table for triplets 1, 14 and 99.
    for number, triplet in {
        1: "grasper/dissect/gallbladder",
        14: "grasper/retract/cystic_duct",
        99: "irrigator/null_verb/null_target",
    }.items():
        assert space.classes[number] == triplet


@pytest.mark.parametrize(("name", "first"), [("cholec80_phases", 1), ("m2cai16_phases", 2)])
def test_relaxed_neighbours_are_those_of_the_published_rule(name: str, first: int) -> None:
    """Numbered from 1, as there; M2CAI16 has one phase more before Cholec80's."""
    space = label_space(TASKS[name])
    num_phases = len(space.classes)
    for phase in range(1, num_phases + 1):
        of_cholec80 = phase - first + 1
        late = {-1, -2} if of_cholec80 in (6, 7) else {-1}
        early = {1, 2} if of_cholec80 in (4, 5, 6, 7) else {1}
        for allowed, steps in ((space.late, late), (space.early, early)):
            expected = {phase + step for step in steps if 1 <= phase + step <= num_phases}
            assert {number + 1 for number in allowed.get(phase - 1, ())} == expected


def test_slips_of_tables_are_printed_with_their_caveat() -> None:
    told = {
        (name, row.model)
        for name, task in TASKS.items()
        for row in task.published
        if re.search("impossible", " ".join(task.caveats[key] for key in row.caveats), re.I)
    }
    assert {
        ("autolaparo_phases", "Endo-FM"),
        ("pitvis_steps", "SurgVLP"),
        ("polypdiag", "UniSurg ViT-L"),
        ("surgical_actions160", "UniSurg ViT-L"),
    } == told


def test_published_values_alone_are_of_datasets_without_a_release_of_labels() -> None:
    only = {name for name, task in TASKS.items() if not task.is_judged}
    assert only == {
        "atlas_phases",
        "avos_actions",
        "egosurgery_phases",
        "esd57_phases",
        "prostate21_triplets",
    }
