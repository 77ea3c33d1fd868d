"""The parts of a checkpoint that are exported."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.order.sequence import DatasetReport, Order
from surgstream.shards.reading.subsets.summary import CorpusSummary
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.config import TrainConfig, restore_recipe
from surgstream.trainer.engine.checkpoint import tensors
from surgstream.trainer.engine.checkpoint_files import read_progress
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.export.folder.forms import ENCODER, PREDICTOR
from surgstream.trainer.export.folder.record import ExportRecord, LayoutName
from surgstream.trainer.lineage.ancestry import Ancestry
from surgstream.trainer.lineage.reading import ancestry_in
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.layouts import Weights
from surgstream.trainer.provenance.record import Record, empty, record_in


@dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """A trained encoder, and how it came to be.

    Attributes:
        recipe: The recipe that it was trained with.
        state: The weights of the encoder and of the predictor, where there is one, by our names.
        averaged: Whether the encoder's are the moving average.
        step: The step of the training.
        clips_seen: The clips seen until then.
        ancestry: What it descends from.
        datasets: The datasets that it was drawn from at the end; empty where the checkpoint does not tell.
        summary: What the corpus had at the end; None where the checkpoint does not tell.
        provenance: What its run was made of; without setups where the checkpoint does not tell.
    """

    recipe: TrainConfig
    state: Weights
    averaged: bool
    step: int
    clips_seen: int
    ancestry: Ancestry
    datasets: tuple[DatasetReport, ...] = ()
    summary: CorpusSummary | None = None
    provenance: Record = field(default_factory=empty)

    def record(self, layout: LayoutName) -> ExportRecord:
        """The content of `config.json`, without the check."""
        data = self.recipe.data
        encoder = self.recipe.objective.encoder

        return ExportRecord(
            layout=layout,
            encoder=_resolved(encoder),
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            fps=data.fps,
            stride=data.stride,
            crop=data.augment.crop,
            objective=self.recipe.objective.name,
            weights="average" if self.averaged else "trained",
            step=self.step,
            clips_seen=self.clips_seen,
        )


def _resolved(encoder: EncoderConfig) -> EncoderConfig:
    """The same network, its size in numbers, without what only training needs."""
    shape = encoder.shape
    return replace(
        encoder,
        embed_dim=shape.embed_dim,
        depth=shape.depth,
        num_heads=shape.num_heads,
        drop_path=0.0,
        activation_checkpointing=False,
    )


def read_source(checkpoint: Path, *, averaged: bool) -> TrainedEncoder:
    """Read the networks of a checkpoint and their origin.

    Args:
        checkpoint: A whole checkpoint's directory.
        averaged: Whether to take the moving average, where there is one.

    Raises:
        CheckpointError: It is of a version that kept no configuration, has learned a task, or cannot be read.
    """
    progress = read_progress(checkpoint)
    where = f"{checkpoint}: its configuration"
    try:
        recipe = restore_recipe(progress.state["config"], where=where)
    except (LookupError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{checkpoint}: expected the configuration it was trained with: {error}"
        ) from None

    if recipe.task is not None:
        raise CheckpointError(
            f"{checkpoint}: expected a pretrained encoder, got one that was fine-tuned on {recipe.task}, which "
            "has no final norm; the run's predictions are what it is for"
        )

    trained = _networks(checkpoint, "param")
    average = _networks(checkpoint, "average") if averaged else {}
    return TrainedEncoder(
        recipe=recipe,
        state=trained | average,  # an average takes the place of what it is of
        averaged=bool(average),
        step=progress.step,
        clips_seen=progress.clips_seen,
        datasets=_datasets(progress),
        summary=_summary(progress),
        provenance=record_in(progress),
        ancestry=ancestry_in(progress.state, str(checkpoint)),
    )


def _networks(checkpoint: Path, kind: str) -> Weights:
    """The tensors of one kind that others may want."""
    return {
        name: tensor
        for name, tensor in tensors(checkpoint, kind)
        if name.startswith((ENCODER, PREDICTOR))
    }


def _datasets(progress: Progress) -> tuple[DatasetReport, ...]:
    if "order" not in progress.state:
        return ()
    try:
        return Order.from_json(progress.state["order"]).report()
    except (ConfigError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint of step {progress.step}: state.json: order: {error}"
        ) from None


def _summary(progress: Progress) -> CorpusSummary | None:
    where = f"the checkpoint of step {progress.step}: state.json: corpus_summary"
    if "corpus_summary" not in progress.state:
        return None
    try:
        return build(CorpusSummary, progress.state["corpus_summary"], where=where)
    except (ConfigError, AttributeError) as error:
        raise CheckpointError(str(error)) from None
