"""What pretraining is worth on the synthetic tasks: fine-tuning and probes, against random weights and the constant.

`python -m surgstream.benchmarks.experiments.downstream FOLDER` makes videos, packs them, pretrains a tiny SurgVISTA on
operations that no task tests on, fine-tunes and probes it and its random twin on four tasks with three seeds each, and
writes `downstream.json` to FOLDER: values with intervals, and paired comparisons. What is in FOLDER is not done again,
so it resumes; an hour and a half of a core.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically
from surgstream.trainer.evaluation.asking import ask, training_rows
from surgstream.trainer.evaluation.predicted import read_models
from surgstream.trainer.evaluation.predictions.yardsticks import CONSTANT, yardsticks
from surgstream.trainer.evaluation.report.result import Result
from surgstream.trainer.evaluation.scorer import Model
from surgstream.trainer.evaluation.scoring import Truth, evaluate
from surgstream.trainer.evaluation.tasks.loading import find_task, label_space
from surgstream.trainer.evaluation.tasks.opening import open_labels

TASKS = ("synth_phases", "synth_actions", "synth_triplets", "synth_skill")
PROTOCOLS = {"finetuned": "finetune_tiny", "probed": "probe_tiny"}
SEEDS = (0, 1, 2)
PRETRAINED, RANDOM = "pretrained", "random"
STEPS = 1200


@dataclass(frozen=True)
class Places:
    """Where everything lies below a folder."""

    root: Path

    @property
    def labels(self) -> Path:
        """Videos and their labels."""
        return self.root / "corpus"

    @property
    def tests(self) -> Path:
        """All videos, packed to be judged by."""
        return self.root / "tests"

    @property
    def pretrained(self) -> Path:
        """The run that pretrains."""
        return self.root / "pretrained"

    def run(self, way: str, task: str, weights: str, seed: int) -> Path:
        """One run that learns a task."""
        return self.root / way / task / weights / f"seed{seed}"


def prepare(places: Places) -> None:
    """Videos, shards, and the pretrained encoder."""
    if not (places.labels / "corpus.yaml").exists():
        _surgstream("synth", places.labels, "--times", 8, "--seconds", 10, "--no-frame-numbers")
    shape = ("fps=5", "short_side=80")
    _surgstream("pack", places.labels / "evaluate.yaml", places.tests, *shape)
    _surgstream("pack", places.labels / "corpus.yaml", places.root / "train", *shape)

    _surgstream(
        "pretrain",
        "surgvista_tiny",
        f"run_dir={places.pretrained}",
        f"data.corpus={places.root / 'train'}",
        "held_out=null",
        f"max_steps={STEPS}",
    )


def learn(places: Places, way: str, task: str, weights: str, seed: int) -> None:
    """Fine-tune or probe an encoder on a task, unless that is done."""
    run = places.run(way, task, weights, seed)
    if (run / "predictions" / "test.npz").exists():
        return

    common = (
        f"task={task}",
        f"labels={places.labels}",
        f"data.corpus={places.tests}",
        f"run_dir={run}",
        f"seed={seed}",
    )
    if way == "finetuned":
        checkpoint = max((places.pretrained / "checkpoints").glob("step_*"))
        begins = {PRETRAINED: f"warm_start.weights={checkpoint}", RANDOM: "warm_start=null"}
        _surgstream("finetune", PROTOCOLS[way], *common, begins[weights])
    else:
        reads = {PRETRAINED: str(places.pretrained), RANDOM: f"random:{places.pretrained}"}
        _surgstream("probe", PROTOCOLS[way], *common, f"weights={reads[weights]}", "test_all=false")


def judge(places: Places, way: str, word: str) -> dict[str, Any]:
    """The main metric of a task for pretrained and random weights and the constant, and what comparisons say."""
    task = find_task(word)
    # What is compared is one metric; others would only take time.
    task = replace(task, metrics=(task.main,))
    space = label_space(task)
    task, labels = open_labels(task, str(places.labels), None)
    asked = ask(task, labels, "test", str(places.labels))
    train = training_rows(task, labels)
    files = [
        (weights, [places.run(way, word, weights, seed) / "predictions" / "test.npz"])
        for weights in (PRETRAINED, RANDOM)
        for seed in SEEDS
    ]
    models = {model.name: model for model in read_models(files, task, space, asked)}

    videos = {video.video: video for video in models[PRETRAINED].seeds[0]}
    assert train
    constant = Model(name=CONSTANT, seeds=(yardsticks(train, videos, space)[CONSTANT],))
    truth = Truth(split="test", where=str(places.labels), sha256="", train=train)

    found: dict[str, Any] = {"num_videos": len(videos), "metric": task.main}
    for against in (models[RANDOM], constant):
        result = evaluate(task, space, [against, models[PRETRAINED]], truth, with_comparisons=True)
        found["values"] = found.get("values", {}) | _values(result, task.main)
        found[f"pretrained against {against.name}"] = asdict(result.comparisons[0])
    return found


def _values(result: Result, metric: str) -> dict[str, Any]:
    """The value of each row that has the metric, with its interval and its seeds."""
    rows = {row.name: row.values[metric] for row in result.rows if metric in row.values}
    return {
        name: {"value": row.value, "low": row.low, "high": row.high, "seeds": row.seeds}
        for name, row in rows.items()
    }


def _surgstream(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "surgstream", *map(str, words)], check=True)


def _runs() -> Iterator[tuple[str, str, str, int]]:
    for seed in SEEDS:
        for task in TASKS:
            for way in PROTOCOLS:
                for weights in (PRETRAINED, RANDOM):
                    yield way, task, weights, seed


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    places = Places(parser.parse_args().folder)

    prepare(places)
    for run in _runs():
        learn(places, *run)

    found = {way: {task: judge(places, way, task) for task in TASKS} for way in PROTOCOLS}
    result = {"conditions": conditions(), "steps": STEPS, "seeds": list(SEEDS), **found}
    write_atomically(places.root / "downstream.json", json.dumps(result, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
