"""Which of a run's weights are the best: by a score that is taken every N steps, and kept in every checkpoint.

The engine does not know what a score means. A checkpoint has the scores of all steps up to its own, so what a resume
knows of the best is what the run knew at that step; and the best weights are an ordinary checkpoint, which stays.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from surgstream.trainer.engine.checkpoint_files import SCORES, best_step, scores_in
from surgstream.trainer.engine.metrics import Value
from surgstream.trainer.engine.schedules import Progress


class Measured(NamedTuple):
    """What was found out about some weights.

    Attributes:
        values: What is reported of them, under `group/name` keys.
        score: What they are chosen by, higher is better, the same on all ranks.
    """

    values: Mapping[str, Value]
    score: float


Measure = Callable[[Callable[[], bool]], Measured | None]
"""Measures the weights as they are, in evaluation mode and without gradients, on all ranks together; it is given a
function as `StepContext.poll_stop`, and returns None when it was told to stop."""


class Selection:
    """The scores of a run's steps.

    Attributes:
        every_steps: Steps from one score to the next; the last step has one as well.
        scores: Those that are known, by step.
    """

    def __init__(
        self, every_steps: int, measure: Measure, progress: Progress, *, keeps_best: bool = True
    ) -> None:
        """Go on from what a checkpoint knows.

        Args:
            every_steps: Steps from one score to the next.
            measure: Takes the score.
            progress: Where the run stands.
            keeps_best: Whether the best weights are kept; else scores are only reported.

        Raises:
            CheckpointError: The checkpoint has no scores but something else.
        """
        self.every_steps = every_steps
        self.scores = scores_in(progress)
        self._measure = measure
        self._keeps_best = keeps_best

    @classmethod
    def nothing(cls) -> "Selection":
        """Takes no score, and keeps nothing."""
        return cls(0, lambda _: None, Progress(step=0, clips_seen=0, state={}), keeps_best=False)

    def take(self, step: int, poll_stop: Callable[[], bool]) -> Mapping[str, Value]:
        """Score the weights of a step; collective. Returns what is to be reported, nothing when told to stop."""
        measured = self._measure(poll_stop)
        if measured is None:
            return {}
        self.scores[step] = measured.score
        return measured.values

    def knows(self, step: int) -> bool:
        """Whether a step needs no score any more: it has one, or nothing was learned yet."""
        return step == 0 or step in self.scores

    @property
    def best(self) -> int | None:
        """The step of the weights that are kept: of the highest score, the earliest; None before there is one."""
        return best_step(self.scores) if self._keeps_best else None

    def to_state(self) -> dict[str, Any]:
        """What a checkpoint keeps, and `scores_in` reads; nothing where there are no scores."""
        scores = [
            [step, score if math.isfinite(score) else None]
            for step, score in sorted(self.scores.items())
        ]
        return {SCORES: scores} if scores else {}
