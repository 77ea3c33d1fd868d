"""The best weights are those of the best score, whatever happens to the run."""

import math
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.checkpoint_files import prune, read_progress, scores_in
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.engine.loop import Trainer
from surgstream.trainer.engine.metrics import Reporting
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.selection import Measured, Selection
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.runs.files import CHECKPOINTS, checkpoint_name
from tests.trainer.engine.test_loop import PLAN, ClipMean, Engine, clip_batch

BEGINNING = Progress(step=0, clips_seen=0, state={})
SCORES = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]), st.floats(-1, 1)),
    max_size=8,
)


def taken(scores: list[float], **settings: Any) -> Selection:
    """A selection that was given scores after the steps 10, 20, ..."""
    remaining = iter(scores)
    selection = Selection(10, lambda _: Measured({}, next(remaining)), BEGINNING, **settings)
    for number in range(len(scores)):
        selection.take(10 * (number + 1), lambda: False)
    return selection


@given(SCORES)
def test_the_best_is_the_earliest_of_the_highest_finite_score(scores: list[float]) -> None:
    selection = taken(scores)
    finite = [score for score in scores if math.isfinite(score)]
    expected = 10 * (scores.index(max(finite)) + 1) if finite else None
    assert selection.best == expected
    assert taken(scores, keeps_best=False).best is None


@given(SCORES)
def test_a_resume_knows_what_the_run_knew(scores: list[float]) -> None:
    selection = taken(scores)
    progress = Progress(step=99, clips_seen=0, state=selection.to_state())
    resumed = Selection(10, lambda _: None, progress)
    assert resumed.best == selection.best and list(resumed.scores) == list(selection.scores)
    assert resumed.take(100, lambda: True) == {} and not resumed.knows(100) and resumed.knows(0)


@pytest.mark.parametrize("scores", [7, "x", [[1]], [["a", 2]], [[1, "b"]], [1], {"a": 1}])
def test_what_is_no_list_of_scores_is_told(scores: Any) -> None:
    with pytest.raises(CheckpointError, match=r"step 5: state.json: scores: expected steps"):
        scores_in(Progress(step=5, clips_seen=0, state={"scores": scores}))


@settings(max_examples=25)
@given(
    steps=st.sets(st.integers(1, 40), min_size=1),
    keep_last=st.integers(1, 3),
    data=st.data(),
)
def test_the_best_checkpoint_is_never_deleted(
    steps: set[int], keep_last: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    best = data.draw(st.sampled_from(sorted(steps)))
    for step in steps:
        (root / checkpoint_name(step)).mkdir()
    saved = root / checkpoint_name(max(steps))
    prune(root, CheckpointConfig(keep_last=keep_last), saved, keep=[best])
    left = {int(path.name.removeprefix("step_")) for path in root.iterdir()}
    assert left == {best, *sorted(steps)[-keep_last:]}


class Run:
    """A run of one rank whose weights are scored every second step, and which may be told to stop meanwhile."""

    def __init__(self, run_dir: Path, scores: dict[int, float], stop_in: int = 0) -> None:
        self.run_dir, self.scores, self.stop_in = run_dir, scores, stop_in
        self.measured = list[int]()
        self.mirrored = list[tuple[str, int | None]]()
        self.being_mirrored: int | None = None

    def mirror(self, saved: Path, best: int | None) -> int | None:
        self.mirrored.append((saved.name, best))
        return self.being_mirrored

    def go(self, progress: Progress, last_step: int) -> Trainer:
        (self.run_dir / "audit").mkdir(parents=True, exist_ok=True)
        (self.run_dir / CHECKPOINTS).mkdir(exist_ok=True)
        objective, stopping = ClipMean(), list[int]()

        def measure(poll_stop: Callable[[], bool]) -> Measured | None:
            assert not objective.training
            self.measured.append(trainer.step)
            if trainer.step == self.stop_in:
                stopping.append(1)
            if poll_stop():
                return None
            return Measured({"val/metric": 1.0}, self.scores[trainer.step])

        agreement = SimpleNamespace(
            ask_all=lambda: None, saving=False, cause=("SIGUSR1", 0), close=lambda: None,
            stopping=lambda save: bool(stopping),
        )  # fmt: skip
        guards: Any = SimpleNamespace(
            agreement=agreement,
            watchdog=SimpleNamespace(beat=lambda: None),
            profiler=SimpleNamespace(before_step=lambda step: None, close=lambda: None),
            check_owner=lambda: None,
        )
        hardware: Any = SimpleNamespace(news=lambda: 0.0, report=lambda news, num_clips: {})
        trainer = Trainer(
            Engine(objective),  # type: ignore[arg-type]
            objective,
            iter([clip_batch(g, g + 1) for g in range(progress.clips_seen, 48, 4)]),
            plan=PLAN.__class__(**(vars(PLAN) | {"last_step": last_step})),
            progress=Progress(step=progress.step, clips_seen=progress.clips_seen, state={}),
            rank_info=RankInfo(),
            run_dir=self.run_dir,
            reporting=Reporting(
                every_steps=1, watch=lambda g: {}, hardware=hardware, audit_log=False
            ),
            checkpoint=CheckpointConfig(every_steps=100, keep_last=1),
            periodic=(),
            selection=Selection(2, measure, progress),
            guards=guards,
            mirror=self.mirror,
        )
        with closing(trainer), nullcontext():
            trainer.train()
        return trainer

    def newest(self) -> Progress:
        return read_progress(max((self.run_dir / CHECKPOINTS).iterdir()))


@pytest.fixture(autouse=True)
def rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")


@pytest.mark.usefixtures("alone")
def test_the_best_weights_are_saved_when_they_are_found_and_stay(tmp_path: Path) -> None:
    run = Run(tmp_path, {2: 0.5, 4: 0.7, 6: 0.7})
    assert run.go(BEGINNING, 6).selection.best == 4
    assert run.measured == [2, 4, 6]
    names = sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())
    assert names == [checkpoint_name(4), checkpoint_name(6)]
    saved = read_progress(tmp_path / CHECKPOINTS / checkpoint_name(4)).state["scores"]
    assert saved == [[2, 0.5], [4, 0.7]]
    assert run.newest().state["scores"] == [[2, 0.5], [4, 0.7], [6, 0.7]]


@pytest.mark.usefixtures("alone")
def test_a_mirror_is_told_of_each_save_and_what_it_copies_stays(tmp_path: Path) -> None:
    run = Run(tmp_path, {2: 0.5, 4: 0.6, 6: 0.7})
    run.being_mirrored = 2
    run.go(BEGINNING, 6)
    assert run.mirrored == [(checkpoint_name(step), step) for step in (2, 4, 6)]
    names = sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())
    assert names == [checkpoint_name(2), checkpoint_name(6)]


@pytest.mark.usefixtures("alone")
def test_a_score_that_a_stop_broke_off_is_taken_at_the_next_start(tmp_path: Path) -> None:
    scores = {2: 0.1, 4: 0.9, 6: 0.2}
    stopped = Run(tmp_path, scores, stop_in=4)
    assert stopped.go(BEGINNING, 6).step == 4 and stopped.measured == [2, 4]
    assert stopped.newest().step == 4 and stopped.newest().state["scores"] == [[2, 0.1]]

    resumed = Run(tmp_path, scores)
    assert resumed.go(stopped.newest(), 6).selection.best == 4
    assert resumed.measured == [4, 6]
    assert resumed.newest().state["scores"] == [[2, 0.1], [4, 0.9], [6, 0.2]]
    names = sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())
    assert names == [checkpoint_name(4), checkpoint_name(6)]

    done = Run(tmp_path, scores)
    assert done.go(resumed.newest(), 6).step == 6 and done.measured == []
