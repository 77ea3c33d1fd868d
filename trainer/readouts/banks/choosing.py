"""The choice among the heads of a bank, by what they score on validation videos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from surgstream.configs.errors import ConfigError
from surgstream.trainer.readouts.bank_config import GridConfig


class Head(NamedTuple):
    """A head of a bank."""

    lr: float
    weight_decay: float

    def __str__(self) -> str:
        """Its place in the grid, for messages."""
        return f"lr {self.lr:g}, weight decay {self.weight_decay:g}"


@dataclass(frozen=True)
class Validation:
    """What all heads scored after some step.

    Attributes:
        step: Steps done.
        epoch: Epochs done.
        scores: (H,) main metric of each head; None where it is undefined, or the head is dropped.
    """

    step: int
    epoch: float
    scores: tuple[float | None, ...]


class Choice(NamedTuple):
    """The best head, and when it was best.

    Attributes:
        head: Its number.
        validation: The number of the validation.
        score: What it scored.
    """

    head: int
    validation: int
    score: float


def heads_of(grid: GridConfig) -> tuple[Head, ...]:
    """The heads of a grid: for each learning rate, in order, one of each decay.

    Raises:
        ConfigError: There is none, or one twice.
    """
    heads = tuple(Head(lr, decay) for lr in grid.lrs for decay in grid.weight_decays)
    if not heads or len(set(heads)) < len(heads):
        raise ConfigError(
            "readout.grid: expected learning rates and weight decays, each once, "
            f"got {list(grid.lrs)} and {list(grid.weight_decays)}"
        )
    return heads


def choose(
    history: Sequence[Validation], heads: Sequence[Head], *, higher_is_better: bool
) -> Choice | None:
    """The head and validation with the best score; of equal ones the lower learning rate, then the earlier, then decay.

    Args:
        history: All validations, in order.
        heads: The heads.
        higher_is_better: The direction of the metric.

    Returns:
        The best; None where no head has a score.
    """
    sign = -1.0 if higher_is_better else 1.0
    found = [
        (sign * score, heads[head].lr, number, heads[head].weight_decay, head)
        for number, validation in enumerate(history)
        for head, score in enumerate(validation.scores)
        if score is not None and not math.isnan(score)
    ]
    if not found:
        return None

    signed, _, number, _, head = min(found)
    return Choice(head=head, validation=number, score=sign * signed)


def on_the_edge(head: Head, grid: GridConfig) -> str | None:
    """Say where the best head has the least or the greatest value of a grid that has others between; None else."""
    edges = []
    for what, value, values in (
        ("learning rate", head.lr, grid.lrs),
        ("weight decay", head.weight_decay, grid.weight_decays),
    ):
        # Below 0 there is nothing to try
        if len(values) < 3 or value == 0:
            continue
        if value == min(values):
            edges.append(f"the lowest {what} {value:g}")
        elif value == max(values):
            edges.append(f"the highest {what} {value:g}")
    if not edges:
        return None
    return f"the best head has {' and '.join(edges)} of the grid; a better one may lie beyond"


def history_from(saved: Sequence[Any]) -> list[Validation]:
    """Validations as JSON has them."""
    return [
        Validation(int(row["step"]), float(row["epoch"]), tuple(row["scores"])) for row in saved
    ]


def history_to(history: Sequence[Validation]) -> list[dict[str, Any]]:
    """Validations for JSON."""
    return [{"step": row.step, "epoch": row.epoch, "scores": list(row.scores)} for row in history]
