"""Phase recognition from the features of the tiny recipes, against random encoders and raw pixels.

`python -m surgstream.benchmarks.experiments.features FOLDER [--seeds 3]` makes a synthetic corpus in FOLDER, trains
every tiny recipe with each seed on two processes, and writes `features.json` and a table. A linear readout
(`trainer.probing.linear_probe`) is fitted to features of labelled training clips and asked about held-out videos.
Nothing in the pictures numbers the frames.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.configs.loading import load
from surgstream.launch.__main__ import main as surgstream
from surgstream.trainer.assembly import labelled_clips
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.checkpoint import load_averages, load_parameters
from surgstream.trainer.joining import join
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.probing.linear_probe import Probe

RECIPES = ("surgrec_mae_tiny", "surgrec_jepa_tiny", "unisurg_tiny_stage1")
PACKING = ("fps=5", "short_side=80")
NUM_CLIPS = 1000
TIMES = 3


def rendered(folder: Path) -> dict[str, Any]:
    """The corpus file of the videos, which are rendered unless they are there."""
    if not (folder / "videos").exists():
        surgstream(["synth", str(folder / "videos"), "--times", str(TIMES), "--no-frame-numbers"])
    tree: dict[str, Any] = yaml.safe_load((folder / "videos" / "corpus.yaml").read_text())
    return tree


def packed(folder: Path, name: str, corpus: dict[str, Any]) -> None:
    """Pack what a corpus file describes, unless it was done; of a name that ends in `held_out`, that split."""
    path = folder / "videos" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(corpus))
    if not (folder / name / "manifest.json").exists():
        split = ["split=held_out"] if name.endswith("held_out") else []
        surgstream(["pack", str(path), str(folder / name), *PACKING, *split])


def recipe(folder: Path, name: str, seed: int, *overrides: str) -> tuple[str, list[str]]:
    """A recipe's path, and the overrides of a run here."""
    words = [
        f"seed={seed}",
        f"data.corpus={folder / 'all'}",
        f"held_out.corpus={folder / 'held_out'}",
        "probe=null",
    ]
    return f"configs/pretrain/{name}.yaml", [*words, *overrides]


def train(folder: Path, run: str, name: str, seed: int, *overrides: str) -> tuple[Objective, float]:
    """Train a recipe, or the rest of it, as a user would; returns the objective at its end, and the seconds."""
    run_dir = folder / "runs" / run
    path, words = recipe(folder, name, seed, *overrides, f"run_dir={run_dir}")

    started = time.perf_counter()
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    command = [*launcher, "--nproc-per-node", "2", "-m", "surgstream", "pretrain", path, *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started

    objective = choice.build(load(TrainConfig, path, words).objective, seed)
    # Steps in these names have leading zeros, so the last name is the newest
    checkpoint = max((run_dir / "checkpoints").glob("step_*"))
    load_parameters(checkpoint, objective)
    load_averages(checkpoint, objective.averages())
    return objective.eval(), seconds


def probe_of(folder: Path, rank_info: RankInfo, name: str, fit: str, test: str) -> Probe:
    """A probe of a recipe's clips, fitted to one corpus and asked about another."""
    path, words = recipe(folder, name, 0)
    config = load(TrainConfig, path, words)
    fit_clips, test_clips = (
        labelled_clips(config, rank_info, str(folder / name), "phase", NUM_CLIPS)
        for name in (fit, test)
    )
    return Probe(fit_clips, test_clips)


def recipes(folder: Path, rank_info: RankInfo, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Accuracies of every tiny recipe, of its encoder before training, and of raw pixels, as they are or averaged."""
    rows = []
    for name in RECIPES:
        probe = probe_of(folder, rank_info, name, "all", "held_out")
        pixels = {
            "pixels": probe.measure(lambda clips: clips.flatten(1)),
            "pixels 8 x 8": probe.measure(_averaged),
        }

        for seed in seeds:
            path, words = recipe(folder, name, seed)
            # Of the same seed: the weights that training begins with
            random = choice.build(load(TrainConfig, path, words).objective, seed).eval()
            trained, seconds = train(folder, f"{name}_{seed}", name, seed)
            row = {
                "recipe": name,
                "seed": seed,
                "minutes": seconds / 60,
                **pixels,
                "random": probe.measure(random.embed),
                "trained": probe.measure(trained.embed),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)

    return rows


def _averaged(clips: Tensor) -> Tensor:
    """Clips (B, C, T, H, W) averaged to 8 x 8 pixels, flat."""
    return adaptive_avg_pool3d(clips, (clips.shape[2], 8, 8)).flatten(1)


def table(rows: Sequence[dict[str, Any]], key: str, columns: Sequence[str]) -> str:
    """Mean accuracies in percent and their standard deviations over seeds, as Markdown."""
    lines = [(key, *columns)]
    for name in dict.fromkeys(row[key] for row in rows):
        cells = []
        for column in columns:
            found = [100 * row[column]["accuracy"] for row in rows if row[key] == name]
            cells.append(spread(found, digits=1))
        lines.append((name, *cells))
    return markdown(lines)


def spread(values: Sequence[float], digits: int) -> str:
    """A mean and the standard deviation around it."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def arguments(description: str | None) -> argparse.Namespace:
    """The words of the command line: `folder`, and how many `seeds`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Measure, and write what was found."""
    words = arguments(__doc__)
    corpus = rendered(words.folder)
    rank_info = RankInfo()
    for name in ("all", "held_out"):
        packed(words.folder, name, corpus)
    join(rank_info, 600)
    rows = recipes(words.folder, rank_info, range(words.seeds))
    print(table(rows, "recipe", ("trained", "random", "pixels", "pixels 8 x 8")))
    text = json.dumps({**conditions(), "recipes": rows}, indent=1)
    write_atomically(words.folder / "features.json", text + "\n")


if __name__ == "__main__":
    main()
