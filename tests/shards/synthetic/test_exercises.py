"""What the synthetic corpus has for tasks: actions, scores, groups, and the tasks themselves."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.loading import load
from surgstream.shards.synthetic.config import SynthConfig
from surgstream.shards.synthetic.description import corpus_file, readme, write_facts
from surgstream.shards.synthetic.exercises import ACTIONS, EXERCISES
from surgstream.shards.synthetic.film import CLASSES, RenderedFilm
from surgstream.shards.synthetic.planning import VideoJob, plan
from surgstream.shards.synthetic.procedures import DATASETS, Act
from surgstream.shards.synthetic.story import Playing
from surgstream.shards.synthetic.takes import STRAY, Take
from surgstream.shards.synthetic.texture import key
from surgstream.trainer.evaluation.tasks.config import TaskConfig

TEASEL, YARROW = EXERCISES
TIMES = 8
OPERATIONS = [129, 126, 81, 132, 102, 75, 91, 81, 65, 111, 113, 94, 101]
"""Frames of the operations, with four seconds on average, before there was anything else."""

TASKS = sorted(Path("configs/evaluate/tasks").glob("synth_*.yaml"))


def jobs_of(name: str, **settings: Any) -> list[VideoJob]:
    return [job for job in plan(SynthConfig(**settings)) if job.dataset.name == name]


def test_videos_of_operations_are_as_long_as_they_were_alone() -> None:
    jobs = plan(SynthConfig(seconds=4))
    assert [job.dataset for job in jobs[:13]] == [
        dataset for dataset in DATASETS for _ in range(dataset.num_videos)
    ]
    assert np.mean([job.num_frames for job in jobs[:13]]) == pytest.approx(100, abs=0.5)
    assert [job.num_frames for job in jobs[:13]] == OPERATIONS
    for dataset in EXERCISES:
        frames = [job.num_frames for job in jobs if job.dataset is dataset]
        assert np.mean(frames) == pytest.approx(100 * dataset.length, abs=0.5)


@given(seed=st.integers(0, 2**40), times=st.integers(1, 20), seconds=st.floats(0.1, 30))
@settings(derandomize=True, max_examples=20, deadline=None)
def test_every_video_has_frames_and_an_id_of_its_own(seed: int, times: int, seconds: float) -> None:
    jobs = plan(SynthConfig(seed=seed, times=times, seconds=seconds))
    assert all(job.num_frames >= 1 for job in jobs)
    assert len({job.video for job in jobs}) == len(jobs) == 31 * times


@pytest.mark.parametrize("times", [1, 3])
def test_an_operation_has_a_clip_of_each_action(times: int) -> None:
    facts = [job.take.facts for job in jobs_of("teasel", times=times)]
    groups = Counter(fact["group"] for fact in facts)
    assert len(groups) == 2 * times and set(groups.values()) == {6}
    assert len({(fact["group"], fact["action"]) for fact in facts}) == len(facts)
    assert {fact["action"] for fact in facts} == {phase.name for phase in ACTIONS.phases}


@given(st.integers(0, 2**40))
@settings(derandomize=True, max_examples=20, deadline=None)
def test_a_surgeon_has_three_exercises_and_much_the_same_score_in_each(seed: int) -> None:
    scores: dict[str, list[float]] = {}
    for job in jobs_of("yarrow", times=4, seed=seed):
        scores.setdefault(job.take.facts["group"], []).append(float(job.take.facts["score"]))
    assert [len(own) for own in scores.values()] == [3] * 8
    assert all(0 <= score <= 10 for own in scores.values() for score in own)
    assert all(max(own) - min(own) <= 2.1 for own in scores.values())


def test_what_is_held_out_are_whole_groups() -> None:
    for dataset in EXERCISES:
        groups = [job.take.facts["group"] for job in jobs_of(dataset.name, times=3)]
        kept = 3 * (dataset.num_videos - dataset.num_held_out)
        assert not set(groups[:kept]) & set(groups[kept:])


def rendered(job: VideoJob) -> RenderedFilm:
    return RenderedFilm(job.dataset, key(job.seed, job.video), 8.0, job.take)


def test_clips_of_an_operation_show_one_scene() -> None:
    jobs = jobs_of("teasel")
    films = [rendered(jobs[number]) for number in (0, 1, 6)]
    one, same, other = (film.camera.tissue.paint for film in films)  # type: ignore[attr-defined]
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert [film.story.phase(4.0).name for film in films] == ["grasp", "dissect", "grasp"]


acts = st.builds(
    Playing,
    act=st.sampled_from([act for phase in ACTIONS.phases for act in phase.acts]),
    start=st.floats(0, 5),
    stop=st.floats(6, 12),
    side=st.floats(-7, 7),
    stray_by=st.floats(0, 0.5),
)


@given(acts, st.floats(0, 15))
@settings(derandomize=True, max_examples=100)
def test_tips_stray_at_work_and_no_farther_than_the_hand_lets_them(act: Playing, t: float) -> None:
    away = np.hypot(*act.stray(t))
    assert away <= act.stray_by * act.contact(t) + 1e-12
    steady = Playing(act=act.act, start=act.start, stop=act.stop, side=act.side)
    assert steady.stray(t) == (0, 0)
    moved = np.add(act.drag(t), act.tremble(t)) - np.add(steady.drag(t), steady.tremble(t))
    assert moved == pytest.approx(act.stray(t), abs=1e-9)


@pytest.mark.slow
def test_a_lower_score_is_seen_in_the_pictures() -> None:
    """Between frames a fifth of a second apart, more of the scissors' pixels change."""
    unrest = []
    for stray in (0.0, STRAY / 2, STRAY):
        film = RenderedFilm(YARROW, key(1), 8.0, Take(procedure=YARROW.procedure, stray=stray))
        masks = [film.frame(t).mask == CLASSES["scissors"] for t in np.arange(1.4, 3.4, 0.2)]
        changes = [
            (before ^ after).sum() / (before | after).sum() for before, after in pairwise(masks)
        ]
        unrest.append(np.mean(changes))
    assert unrest == sorted(unrest)
    assert unrest[2] > 1.5 * unrest[0]


def test_labels_of_whole_videos_are_written_beside_the_others(tmp_path: Path) -> None:
    jobs = plan(SynthConfig())
    for dataset in EXERCISES:
        (tmp_path / dataset.name / "labels").mkdir(parents=True)
    write_facts(tmp_path, jobs)

    assert len(list(tmp_path.rglob("*.csv"))) == 2
    for dataset, column in ((TEASEL, "action"), (YARROW, "score")):
        with (tmp_path / dataset.name / "labels" / "videos.csv").open(newline="") as file:
            table = csv.DictReader(file)
            assert table.fieldnames == ["video", column, "group"]
            rows = list(table)
        assert rows == [
            {"video": job.video, **job.take.facts} for job in jobs if job.dataset is dataset
        ]


def test_the_readme_tells_of_every_dataset_and_task() -> None:
    config = SynthConfig(times=2)
    page = readme(plan(config), config)
    for dataset in (*DATASETS, *EXERCISES):
        assert f"| {dataset.name} | {2 * dataset.num_videos} |" in page
    assert all(f"`{path.stem}`" in page for path in TASKS) and len(TASKS) == 7


def expanded(patterns: Iterable[str]) -> list[str]:
    """The ids that patterns such as `teasel_[01-36]` stand for."""
    ids = []
    for pattern in patterns:
        found = re.fullmatch(r"(\w+)\[(\d+)-(\d+)\]", pattern)
        assert found, pattern
        ids += [f"{found[1]}{n:02d}" for n in range(int(found[2]), int(found[3]) + 1)]
    return ids


@pytest.fixture(params=TASKS, ids=lambda path: path.stem)
def task(request: pytest.FixtureRequest) -> TaskConfig:
    return load(TaskConfig, request.param, [])


def test_a_task_splits_all_videos_of_its_dataset_by_groups(task: TaskConfig) -> None:
    jobs = jobs_of(task.dataset, times=TIMES)
    split = task.split
    assert split
    parts = [expanded(part) for part in (split.train, split.val, split.test)]
    assert list(chain(*parts)) == [job.video for job in jobs]
    assert len(parts[2]) >= 8

    groups: dict[str, list[str]] = {}
    for job in jobs:
        if job.take.facts:
            groups.setdefault(job.take.facts["group"], []).append(job.video)
    assert {name: expanded(ids) for name, ids in task.groups.items()} == groups
    for ids in groups.values():
        assert sum(bool(set(ids) & set(part)) for part in parts) == 1


def test_no_test_video_is_pretrained_on(task: TaskConfig) -> None:
    trained = yaml.safe_load(corpus_file(plan(SynthConfig(times=TIMES)), TIMES))["datasets"]
    held_out = {dataset["name"]: dataset["hold_out"] for dataset in trained}
    assert task.split
    if task.dataset in held_out:
        assert set(expanded(task.split.test)) <= set(held_out[task.dataset])


def names_of(act: Act) -> str:
    return f"{act.tool}/{act.verb}/{act.target}"


def test_classes_are_those_of_the_procedure() -> None:
    tasks = {path.stem: load(TaskConfig, path, []) for path in TASKS}
    phases = DATASETS[0].procedure.phases
    assert tasks["synth_phases"].classes == tuple(phase.name for phase in phases)
    assert tasks["synth_actions"].classes == tuple(phase.name for phase in ACTIONS.phases)
    assert tasks["synth_skill"].classes == ()

    acts = {names_of(act) for phase in phases for act in phase.acts}
    coming = {f"{name.partition('/')[0]}/null_verb/null_target" for name in acts}
    triplets = tasks["synth_triplets"]
    assert set(triplets.classes) == acts | coming
    assert set(triplets.null_classes) == coming
    assert len(triplets.classes) == len(acts | coming)
