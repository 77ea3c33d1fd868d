"""What encoders are worth: probes of the suite, and how many dimensions their features fill."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surgstream.benchmarks.experiments.recipes.budget import ENCODER
from surgstream.benchmarks.experiments.recipes.running import PIXELS, RANDOM, Places, run
from surgstream.configs.files import write_atomically
from surgstream.trainer.commands.suite import Plan, read_plan
from surgstream.trainer.engine.collapse import diversity
from surgstream.trainer.suite.cells import Cell
from surgstream.trainer.suite.scoring import Entry, score_entries

PHASES = "synth_phases"
"""The task whose labelled clips features are of."""


def weights(places: Places, name: str, seed: int) -> tuple[str, ...]:
    """An encoder, as commands that read weights are told of it: the weights, and how they are read."""
    if name == RANDOM:
        return RANDOM, *(f"encoder.shape.{key}={number}" for key, number in ENCODER.items())
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
    """The effective rank of stored features, how many there are, and their width.

    It is RankMe (Garrido et al. 2023, arXiv 2210.02885, equation 1), see `trainer.engine.collapse`, of the pooled
    features of all labelled clips, one a second.
    """
    # Below the folder is one more, whose name stands for weights, corpus and clips
    stored = sorted(folder.glob("*/*/*.npy"))
    features = np.concatenate([np.load(path)["feature"] for path in stored])
    rank = float(diversity(torch.from_numpy(features))["effective_rank"])
    return {"effective_rank": rank, "num_clips": len(features), "width": features.shape[1]}


def score(places: Places, names: Sequence[str], seeds: Sequence[int]) -> list[Entry]:
    """Score what is done: of each task all encoders, each with its seeds together, on the same videos."""
    cells: list[Cell] = []
    for name in names:
        for seed in seeds:
            cells += _plan(places, name, seed).cells
    return list(score_entries(cells, _plan(places, names[0], seeds[0]).places))


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
