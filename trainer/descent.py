"""What the weights of a run descend from, for its checkpoints; and whether a task that it learns may judge them."""

from dataclasses import dataclass
from typing import Any

from surgstream.configs.errors import ConfigError
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.checkpoint_files import STATE
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.finetuning.learned import LearnedTask
from surgstream.trainer.lineage import ancestry, verdict
from surgstream.trainer.lineage.ancestry import Ancestry, Corpus
from surgstream.trainer.lineage.judging import (
    judge,
    outcomes_folder,
    refuse_contaminated,
)
from surgstream.trainer.lineage.licences import refuse_noncommercial
from surgstream.trainer.lineage.reading import ANCESTRY, ancestry_in
from surgstream.trainer.lineage.recording import begun_with, shown_corpus
from surgstream.trainer.lineage.verdict import LEAKS, Verdict


@dataclass(frozen=True)
class Descent:
    """What the weights of a run descend from.

    Attributes:
        own: The corpus of the run.
        ancestry: All of it, the run's own corpus among it.
        verdict: What was found of the run's task in those before it; None of a run without a task.
    """

    own: Corpus
    ancestry: Ancestry
    verdict: Verdict | None

    def to_state(self) -> dict[str, Any]:
        """The entries of a checkpoint's state."""
        state = {ANCESTRY: ancestry.to_json(self.ancestry)}
        if self.verdict:
            state[LEAKS] = verdict.to_json(self.verdict)
        return state


def descent_of(
    config: TrainConfig,
    corpus: FrameTable,
    task: LearnedTask | None,
    order: Order,
    progress: Progress,
) -> Descent:
    """Find what a run's weights descend from, and refuse what they must not.

    They must not have seen what they would be judged by, nor, where commercial use is required, what forbids that.

    A run that is resumed descends from what its checkpoint says, and goes by the verdict there: what it began with need
    not be there any more. Rank 0 calls it, before anything is trained.

    Args:
        config: The recipe.
        corpus: The corpus that it trains on.
        task: The task that it learns, if it does.
        order: The order of its clips.
        progress: Where it stands; its state is empty at the beginning.

    Raises:
        CheckpointError: A state says nonsense of what its weights descend from.
        ConfigError: Weights are said to be of a family that there is not, or a licence does not allow commercial use,
            where that is required.
        EvaluationError: The weights were trained on videos that the task validates or tests on.
        ModelError: An export says nonsense.
        ShardError: The corpus cannot be read.
    """
    if progress.state:
        before = ancestry_in(progress.state, f"the checkpoint of step {progress.step}")
    else:
        teacher = getattr(config.objective, "teacher", None)
        before = begun_with(config.warm_start, teacher)

    found = _judged(config, corpus, task, before, progress) if task else None
    own = _own_corpus(config, corpus, task, order)
    whole = ancestry.merged([before, Ancestry(corpora=(own,))])
    refuse_noncommercial(whole, config.commercial)
    return Descent(own, whole, found)


def _judged(
    config: TrainConfig,
    corpus: FrameTable,
    task: LearnedTask,
    before: Ancestry,
    progress: Progress,
) -> Verdict:
    found = _verdict_in(progress)
    if found is None:
        found = judge(
            before,
            task.config,
            corpus=corpus.storage.uri,
            settings=config.leaks,
            cache=outcomes_folder(config.run_dir),
            s3=config.data.s3,
        )
    refuse_contaminated(found, task.config, config.leaks)
    return found


def _verdict_in(progress: Progress) -> Verdict | None:
    """The verdict in a checkpoint's state; None where it has none."""
    if LEAKS not in progress.state:
        return None
    where = f"the checkpoint of step {progress.step}: {STATE}: {LEAKS}"
    try:
        return verdict.from_json(progress.state[LEAKS], where)
    except ConfigError as error:
        raise CheckpointError(f"{error}; resume from another checkpoint") from None


def _own_corpus(
    config: TrainConfig, corpus: FrameTable, task: LearnedTask | None, order: Order
) -> Corpus:
    """What the run itself shows to its weights."""
    if task:
        shown = {task.config.dataset: frozenset(task.train.videos)}
        return shown_corpus(corpus.storage, fps=None, videos=shown)

    # A weight of 0 leaves a dataset out.
    drawn = {report.name: None for report in order.report() if report.share > 0}
    return shown_corpus(corpus.storage, fps=config.data.fps, videos=drawn)
