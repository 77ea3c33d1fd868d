"""The gain of balanced sampling for a rare specialty, and its cost for the others.

`python -m surgstream.benchmarks.experiments.sampling FOLDER [--seeds 3]` makes a synthetic corpus with one video of one
of its specialties, trains SurgRec-MAE's tiny recipe on it with each seed, once with draws as frequent as the frames and
once balanced, and writes `sampling.json` and two tables: losses on held-out videos of the rare specialty as training
goes on, and in the end on those of the others, as shares of what predicting the mean would score.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surgstream.benchmarks.experiments.features import (
    arguments,
    packed,
    recipe,
    rendered,
    spread,
    train,
)
from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.configs.loading import load
from surgstream.trainer.assembly import clip_source, open_corpus
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.joining import join
from surgstream.trainer.objectives.base import Objective

RECIPE = "surgrec_mae_tiny"
RARE = "speedwell"
RARE_VIDEOS = 1
NUM_CLIPS = 1000


def with_few(corpus: dict[str, Any]) -> dict[str, Any]:
    """The corpus file with the rare dataset's first videos alone."""
    few = [f"{RARE}/videos/{RARE}_{number + 1:02d}.mp4" for number in range(RARE_VIDEOS)]
    rare = {"videos": few, "hold_out": []}
    return {
        "datasets": [
            dataset | (rare if dataset["name"] == RARE else {}) for dataset in corpus["datasets"]
        ]
    }


def only(corpus: dict[str, Any], *, rare: bool) -> dict[str, Any]:
    """The corpus file with the rare dataset alone, or without it."""
    return {
        "datasets": [dataset for dataset in corpus["datasets"] if (dataset["name"] == RARE) == rare]
    }


def measure(folder: Path, rank_info: RankInfo, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Losses of every run."""
    corpora = (f"data.corpus={folder / 'few'}", f"held_out.corpus={folder / 'rare_held_out'}")
    rows = []
    for seed, weights in itertools.product(seeds, ("uniform", "balanced")):
        run = f"{RECIPE}_{weights}_{seed}"
        trained, _ = train(folder, run, RECIPE, seed, f"data.order.weights={weights}", *corpora)

        row: dict[str, Any] = {
            "weights": weights,
            "seed": seed,
            "by_step": by_step(folder / "runs" / run),
        }
        config = recipe(folder, RECIPE, seed)
        for name in ("rare", "others"):
            corpus = folder / f"{name}_held_out"
            row[name] = held_out_loss(trained, corpus, rank_info, config)

        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def by_step(run_dir: Path) -> dict[str, float]:
    """The loss on the rare specialty, as a share of the mean's, at each evaluation of a run."""
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return {
        str(line["step"]): line["held_out/reconstruction"] / line["held_out/reconstruction_of_mean"]
        for line in lines
        if "held_out/reconstruction" in line
    }


@torch.no_grad()
def held_out_loss(
    objective: Objective, corpus: Path, rank_info: RankInfo, described: tuple[str, list[str]]
) -> dict[str, float]:
    """The mean loss of clips, and that of predicting the mean.

    Args:
        objective: In evaluation mode.
        corpus: The corpus of the clips.
        rank_info: This process alone.
        described: The recipe's path, and what it is overridden by.
    """
    config = load(TrainConfig, *described)
    sums = np.zeros(2)
    clips = 0
    source = clip_source(config, rank_info, open_corpus(str(corpus), config.data), augment="centre")

    with source.open_pass(NUM_CLIPS) as batches:
        for batch in batches:
            valid = batch.without_padding()
            metrics = objective(valid, objective.targets(valid)).metrics
            means = [
                metrics[f"loss/{name}"].item()
                for name in ("reconstruction", "reconstruction_of_mean")
            ]
            # Batches weigh as many as their clips, since padding is left out of the last one
            sums += len(valid.draws) * np.array(means)
            clips += len(valid.draws)

    loss, of_mean = (sums / clips).tolist()
    return {"loss": loss, "loss_of_mean": of_mean, "clips": clips}


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Shares of the mean's loss, mean and deviation over seeds, as Markdown."""
    steps = [step for number, step in enumerate(rows[0]["by_step"], start=1) if number % 2 == 0]
    on_the_way = {step: [row["by_step"][step] for row in rows] for step in steps}
    in_the_end = {
        name: [row[key]["loss"] / row[key]["loss_of_mean"] for row in rows]
        for name, key in (("rare, all clips", "rare"), ("the others", "others"))
    }
    return "\n\n".join(
        _table([row["weights"] for row in rows], columns) for columns in (on_the_way, in_the_end)
    )


def _table(weights: Sequence[str], columns: dict[str, list[float]]) -> str:
    lines = [("draws", *map(str, columns))]
    for name in dict.fromkeys(weights):
        cells = []
        for values in columns.values():
            own = [value for value, other in zip(values, weights, strict=True) if other == name]
            cells.append(spread(own, digits=3))
        lines.append((name, *cells))
    return markdown(lines)


def main() -> None:
    """Measure, and write what was found."""
    words = arguments(__doc__)
    corpus = rendered(words.folder)
    rank_info = RankInfo()
    packed(words.folder, "few", with_few(corpus))
    for rare, name in ((True, "rare_held_out"), (False, "others_held_out")):
        packed(words.folder, name, only(corpus, rare=rare))
    join(rank_info, 600)
    rows = measure(words.folder, rank_info, range(words.seeds))
    print(tables(rows))
    write_atomically(
        words.folder / "sampling.json", json.dumps({**conditions(), "runs": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
