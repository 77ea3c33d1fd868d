"""The results of a bank: the grid of what its heads scored, and the test, which is asked once."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from surgstream.configs.files import write_atomically
from surgstream.trainer.readouts.bank_config import BankConfig
from surgstream.trainer.readouts.banks.choosing import history_to, on_the_edge
from surgstream.trainer.readouts.banks.judging import (
    TEST_ALL,
    Predicted,
    keep_json,
)
from surgstream.trainer.readouts.banks.parts import Parts, Standing
from surgstream.trainer.runs.files import GRID, predictions_file

log = logging.getLogger(__name__)

HEAD = "head.safetensors"


def keep_grid(parts: Parts, standing: Standing) -> None:
    """Write what each head scored at each validation, and as `val` the score of the chosen one. Rank 0 calls it."""
    choice = standing.choice(parts)
    keep_json(
        parts.run_dir,
        GRID,
        {
            "task": parts.task.name,
            "metric": parts.task.main,
            "higher_is_better": parts.metric.higher_is_better,
            "heads": described_heads(parts, standing),
            "val": choice.score if choice else None,
            "validations": history_to(standing.history),
            "chosen": choice
            and {"head": choice.head, "validation": choice.validation, "score": choice.score},
        },
    )


def described_heads(parts: Parts, standing: Standing) -> list[dict[str, Any]]:
    """Learning rate and decay of each head, and the step at which it was dropped, if it was."""
    dropped = standing.dropped
    return [
        {"lr": head.lr, "weight_decay": head.weight_decay, "dropped_at": dropped.get(number)}
        for number, head in enumerate(parts.heads)
    ]


def warn_of_edge(parts: Parts, standing: Standing) -> None:
    """Warn where the best head lies on the edge of the grid. Rank 0 calls it."""
    choice = standing.choice(parts)
    readout = parts.recipe.readout
    assert isinstance(readout, BankConfig)
    sentence = choice and on_the_edge(parts.heads[choice.head], readout.grid)
    if sentence:
        log.warning("readout.grid: %s", sentence)


def is_tested(parts: Parts) -> bool:
    """Whether the test was asked."""
    return predictions_file(parts.run_dir, "test").exists()


Scores = Callable[[Tensor], Tensor]
"""From what the encoder makes of clips to scores (K, B, C)."""


def models_to_test(parts: Parts, standing: Standing, scores_of_all: Scores) -> list[Scores]:
    """The chosen head, as it was when it was chosen, and, if wanted, all heads as they are at the end."""
    kept = standing.kept
    assert kept

    def chosen(encoded: Tensor) -> Tensor:
        inputs = parts.inputs.of_judged(encoded, kept.statistics)
        with parts.autocast():
            logits = parts.bank.logits_of_one(kept.weights, inputs)
        return parts.target.scores(logits)

    return [chosen, scores_of_all] if parts.recipe.test_all else [chosen]


def keep_test(parts: Parts, standing: Standing, predictions: list[Predicted]) -> None:
    """Score and write the test's predictions; collective.

    `best_on_test` is the best of the chosen head and of all heads at the end of the training, chosen by the test
    itself, as some papers do: no estimate of what a head does on other videos.
    """
    alive = [True, *standing.alive.tolist()] if parts.recipe.test_all else [True]
    scores = parts.test.score(predictions, alive)
    if not parts.rank_info.is_main:
        return

    choice = standing.choice(parts)
    head = choice.head if choice else 0
    about = parts.about(standing, head) | {"split": "test"}
    if choice:
        chosen_at = standing.history[choice.validation]
        about |= {"step": chosen_at.step, "epoch": chosen_at.epoch, "val_score": choice.score}

    _keep_head(parts, standing)
    if parts.recipe.test_all:
        keep_json(parts.run_dir, TEST_ALL, _all_scores(parts, standing, head, scores))
    # The last to be written: where it is, the test was asked
    path = parts.test.keep(parts.run_dir, "test", predictions[0], about)

    shown = "undefined" if scores[0] is None else f"{scores[0]:.4f}"
    log.info("test: %s %s, by the head with %s", parts.task.main, shown, parts.heads[head])
    has_folder = parts.recipe.labels and not parts.task.layer
    place = f"--labels {parts.recipe.labels}" if has_folder else ""
    place = place or f"--corpus {parts.recipe.data.corpus}"
    log.info("score it: surgstream evaluate %s %s %s", parts.recipe.task, path, place)


def _all_scores(
    parts: Parts, standing: Standing, head: int, scores: list[float | None]
) -> dict[str, Any]:
    """The main metric of all heads on test, and the best of them."""
    chosen, *others = scores
    rows = described_heads(parts, standing)
    heads = [{**row, "score": score} for row, score in zip(rows, others, strict=True)]
    candidates = [
        {**rows[head], "score": chosen, "at": "the validation that it was chosen at"},
        *({**row, "at": "the last step"} for row in heads),
    ]
    scored = [row for row in candidates if row["score"] is not None]
    sign = 1.0 if parts.metric.higher_is_better else -1.0
    best = max(scored, key=lambda row: sign * row["score"]) if scored else None
    return {
        "task": parts.task.name,
        "metric": parts.task.main,
        "chosen": {**rows[head], "score": chosen},
        "heads": heads,
        "best_on_test": best,
        "note": "best_on_test is chosen by the test itself, as some papers do; chosen is not",
    }


def _keep_head(parts: Parts, standing: Standing) -> None:
    """Write the chosen head's tensors, and what is known of its inputs."""
    kept = standing.kept
    assert kept
    tensors = {f"statistics.{name}": value for name, value in kept.statistics.items()}
    for name, value in parts.bank.one(kept.weights).items():
        tensors[name] = value[0]
    on_host = {name: value.to("cpu", torch.float32).contiguous() for name, value in tensors.items()}
    write_atomically(parts.run_dir / HEAD, save(on_host))
