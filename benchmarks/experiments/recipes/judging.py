"""What encoders are worth: probes of the suite, and how many dimensions their features fill."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surgstream.benchmarks.experiments.recipes.budget import ENCODER
from surgstream.benchmarks.experiments.recipes.places import PIXELS, RANDOM, RANDOM_ROPE, Places
from surgstream.benchmarks.experiments.recipes.running import run
from surgstream.configs.files import write_atomically
from surgstream.trainer.commands.suite import Plan, read_plan
from surgstream.trainer.engine.collapse import diversity
from surgstream.trainer.suite.cells import Cell
from surgstream.trainer.suite.page import draw_page
from surgstream.trainer.suite.scoring import Entry, score_entries
from surgstream.trainer.suite.table import draw_table

PHASES = "synth_phases"
"""The task whose labelled clips features are of."""


def weights(places: Places, name: str, seed: int) -> tuple[str, ...]:
    """An encoder, as commands that read weights are told of it: the weights, and how they are read."""
    if name in (RANDOM, RANDOM_ROPE):
        positions = ("encoder.shape.positions=rope",) if name == RANDOM_ROPE else ()
        shape = (f"encoder.shape.{key}={number}" for key, number in ENCODER.items())
        return RANDOM, *shape, *positions
    if name == PIXELS:
        seen = ("num_frames", "image_size")
        return PIXELS, *(f"encoder.{key}={ENCODER[key]}" for key in seen)
    return (str(places.run(name, seed)),)


def probe(places: Places, name: str, seed: int) -> None:
    """Probe an encoder on all tasks, as far as that is not done."""
    plan = _plan(places, name, seed)

    def is_done() -> bool:
        return all(cell.predictions(places.suite.absolute()) for cell in plan.cells)

    words = ["suite", places.suite_file(seed), *_named(places, name, seed)]
    words += ["--corpus", places.tests, "--labels", places.labels, "--out", places.suite]
    run(words, places.suite / "logs" / f"{name}_seed{seed}.log", is_done)


def measure_rank(places: Places, name: str, seed: int) -> None:
    """Measure the effective rank of an encoder's features, unless that is done."""
    folder = places.features(name, seed)
    kept = rank_file(places, name, seed)
    read, *how = weights(places, name, seed)
    words = ["features", read, places.tests, folder, "--task", places.task(PHASES)]
    words += ["--labels", places.labels, f"seed={seed}", *how]
    run(words, folder.with_suffix(".log"), kept.exists)

    if not kept.exists():
        write_atomically(kept, json.dumps(rank_of(folder)) + "\n")


def rank_file(places: Places, name: str, seed: int) -> Path:
    """The file that has what `rank_of` finds, once that is done."""
    return places.features(name, seed).with_suffix(".json")


def rank_of(folder: Path) -> dict[str, Any]:
    """How many dimensions stored features fill: those of all labelled clips, one a second.

    `effective_rank` is RankMe (Garrido et al. 2023, arXiv 2210.02885) of the features as they are, see
    `trainer.engine.collapse`; `centred_rank` is the same of their deviations from their mean, which may be all that the
    first one sees.

    Args:
        folder: Where `surgstream features` has written those of one encoder.

    Returns:
        Both ranks, the number of clips and the width of their features.
    """
    # Below the folder is one more, whose name stands for weights, corpus and clips
    (of_encoder,) = folder.iterdir()
    stored = sorted(of_encoder.glob("*/*.npy"))
    features = torch.from_numpy(np.concatenate([np.load(path)["feature"] for path in stored]))
    num_clips, width = features.shape
    return {
        "effective_rank": float(diversity(features)["effective_rank"]),
        "centred_rank": float(diversity(features - features.mean(0))["effective_rank"]),
        "num_clips": num_clips,
        "width": width,
    }


def score(places: Places, names: Sequence[str], seeds: Sequence[int]) -> list[Entry]:
    """Score what is done: of each task all encoders, each with its seeds together, on the same videos.

    The suite's pages, which single encoders have left of themselves, are drawn of all.
    """
    cells: list[Cell] = []
    for name in names:
        for seed in seeds:
            cells += _plan(places, name, seed).cells
    plan = _plan(places, names[0], seeds[0])
    entries = list(score_entries(cells, plan.places))

    write_atomically(places.suite / "table.md", draw_table(plan.suite, entries))
    write_atomically(places.suite / "report.html", draw_page(plan.suite, entries, places.suite))
    return entries


def _plan(places: Places, name: str, seed: int) -> Plan:
    words = argparse.Namespace(
        suite=str(places.suite_file(seed)),
        weights=_named(places, name, seed),
        corpus=[str(places.tests)],
        labels=str(places.labels),
        out=str(places.suite),
    )
    return read_plan(words)


def _named(places: Places, name: str, seed: int) -> list[str]:
    read, *how = weights(places, name, seed)
    return [f"weights={name}={read}", *how]
