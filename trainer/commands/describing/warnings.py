"""What `surgstream describe` warns of: numbers of a recipe that are allowed, and hardly meant."""

from collections.abc import Iterator, Mapping
from typing import Any

from surgstream.shards.order.sequence import Order
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import TrainingPlan
from surgstream.trainer.objectives.config import VJepaConfig

MAX_DRAWS = 400
"""More draws of a clip in a run are warned of; twice as many as in SurgVISTA's recipe."""


def run_warnings(config: TrainConfig, plan: TrainingPlan) -> Iterator[str]:
    """Yield what does not fit into a run of this length."""
    draws = plan.last_step * plan.global_batch_size
    # What holds in a step is what its first draw says
    last = draws - plan.global_batch_size
    if plan.warmup_draws > last:
        yield (
            f"the warm-up of {plan.warmup_draws:,} clips is as long as the run of {draws:,}: "
            "the learning rate never reaches its peak; lower optim.warmup_epochs"
        )

    context = config.objective.context if isinstance(config.objective, VJepaConfig) else None
    if context and context.full_at_clips > last:
        yield (
            f"the loss of visible tokens has its whole weight after {context.full_at_clips:,} clips, the "
            f"run ends after {draws:,}; lower objective.context.from_clips and full_at_clips"
        )


def batch_warnings(config: TrainConfig, order: Order) -> Iterator[str]:
    """Yield what makes the clips of a batch too much alike."""
    batch = config.global_batch_size
    if order.num_clips < batch:
        yield (
            f"a batch of {batch:,} has each of the corpus' {order.num_clips:,} clips "
            f"{batch / order.num_clips:.1f} times; lower global_batch_size, or pack more videos"
        )
    elif order.num_lanes < batch:
        yield (
            f"{order.num_lanes:,} lanes for batches of {batch:,} clips: "
            "some clips of a batch are close neighbours; raise data.order.open_chunks, "
            "lower data.order.chunk_frames, or pack more videos"
        )


def draw_warnings(config: TrainConfig, dataset: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with how often a dataset's clips are drawn."""
    name = dataset["name"]
    draws = dataset["draws_of_a_clip"]
    if draws > MAX_DRAWS:
        yield (
            f"{name}: each of its {dataset['clips']:,} clips is drawn {draws:,.0f} times, "
            "200 times in SurgVISTA's recipe: the model may learn them by heart; lower epochs, "
            "or pack more videos"
        )

    repeats = dataset["repeats_an_epoch"]
    if repeats > config.data.order.warn_repeats_above:
        yield (
            f"{name}: its clips are drawn {repeats:,.1f} times as often as an average clip; "
            "weights nearer to uniform, such as data.order.weights={temperature: 0.5}, "
            "repeat it less"
        )
