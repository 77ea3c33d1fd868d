"""Whether a recipe may be trained for commercial use, before it is: its corpus, and what its weights descend from."""

from surgstream.shards.order.sequence import Order
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.evaluation.tasks.loading import find_task
from surgstream.trainer.lineage.ancestry import Ancestry, merged
from surgstream.trainer.lineage.licences import commercial_problem
from surgstream.trainer.lineage.recording import begun_with, shown_corpus


def licence_problem(config: TrainConfig, order: Order) -> str:
    """Say which licences a run would be refused for; empty if it is not meant for commercial use, or may be.

    Args:
        config: The recipe.
        order: The order of its clips.

    Raises:
        SurgstreamError: See `begun_with` and `shown_corpus`.
    """
    if not config.commercial.required:
        return ""

    # Where the classes of a task are balanced, they stand in the order in place of datasets.
    names = [report.name for report in order.report() if report.share > 0]
    drawn = [find_task(config.task).dataset] if config.task else names
    storage = open_storage(config.data.corpus, config.data.s3)
    own = shown_corpus(storage, fps=config.data.fps, videos=dict.fromkeys(drawn))
    before = begun_with(config.warm_start, getattr(config.objective, "teacher", None))
    return commercial_problem(merged([before, Ancestry(corpora=(own,))]), config.commercial)
