"""What describes a synthetic corpus: corpus files for `surgstream pack`, labels of whole videos, and its README."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from surgstream.shards.synthetic.config import FPS, SynthConfig
from surgstream.shards.synthetic.exercises import EXERCISES
from surgstream.shards.synthetic.film import CLASSES, DEPTH_STEPS_PER_MILLIMETRE
from surgstream.shards.synthetic.planning import VideoJob
from surgstream.shards.synthetic.procedures import DATASETS, Dataset
from surgstream.shards.synthetic.takes import BEST_SCORE, SURGEON_VIDEOS

LICENCE = "CC0-1.0"
CORPUS_NAME = "corpus.yaml"
EVALUATION_NAME = "evaluate.yaml"
README_NAME = "README.md"

README = """\
# A synthetic surgical corpus

Made by `surgstream synth {command}`.

| dataset | videos | what they show |
|---|---|---|
{datasets}

`corpus.yaml` has the operations, to train on; it holds the last of each dataset out. `evaluate.yaml` has all videos, to
judge by, with the layers `mask` and `depth`: `surgstream pack evaluate.yaml SHARDS`. Tasks are `synth_phases`,
`synth_triplets`, `synth_actions` and `synth_skill`, and of pixels `synth_masks`, `synth_instruments` and `synth_depth`.
They are made for `--times 8`; their test videos are among those that `corpus.yaml` holds out, or in none of its
datasets.

In each dataset's folder:

- `videos/VIDEO.mp4`: H.264, {fps} frames a second.{clock}
- `labels/VIDEO.csv`: `second,phase,triplets`, a row for the frame shown at each second. Triplets are
  `instrument/verb/target` with `;` between them, one for every instrument in the picture; verb and target are
  `null_verb` and `null_target` while it only comes or goes.
- `labels/videos.csv`, of clips and exercises: what a video has as a whole, and the group it belongs to. Clips
  (`video,action,group`) of one operation show one scene; {num_actions} follow each other, one of each action. Exercises
  (`video,score,group`) have a score from 0 to {best:g}: the lower, the farther the tips of instruments stray from where
  they work. The {surgeon_videos} of a surgeon, which follow each other, have about the same.
- `masks/VIDEO.mkv`: FFV1 (lossless), a gray picture a frame. A pixel's value names its instrument (see below), or is 0.
- `depth/VIDEO.mkv`: FFV1 (lossless), a 16-bit gray picture a frame: distance along the optical axis in units of
  1/{steps} mm; 0 outside the disc.

Masks and depth open with PyAV: `[frame.to_ndarray() for frame in av.open("masks/VIDEO.mkv").decode(video=0)]`.

| value | instrument |
|---|---|
{classes}
"""

CLOCK = """\
 Squares in the corners spell the number of the frame, which
  `surgstream.shards.synthetic.clock.read_frame_number` reads."""

SHOWN = {
    "operation": "{}, whole operations",
    "action": "{}, short clips of one action each",
    "exercise": "{}, exercises of several surgeons",
}


def corpus_file(jobs: Sequence[VideoJob], times: int) -> str:
    """The corpus file of what is trained on: operations, without the last ones of each dataset."""
    datasets = []
    for dataset in DATASETS:
        videos = [job.video for job in jobs if job.dataset is dataset]
        if videos:
            datasets.append(_dataset(dataset, hold_out=videos[-times * dataset.num_held_out :]))
    return yaml.safe_dump({"datasets": datasets}, sort_keys=False)


def evaluation_file(jobs: Iterable[VideoJob]) -> str:
    """The corpus file of what is evaluated on: all videos with masks and depth, at the rate of the tiny recipes."""
    made = {job.dataset.name: job.dataset for job in jobs}
    datasets = [{**_dataset(dataset), "layers": _layers(dataset)} for dataset in made.values()]
    return yaml.safe_dump(
        {"pack": {"split": "all", "fps": 5}, "datasets": datasets}, sort_keys=False
    )


def readme(jobs: Iterable[VideoJob], config: SynthConfig) -> str:
    """The README, which tells all that is there."""
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.dataset.name] = counts.get(job.dataset.name, 0) + 1

    rows = []
    made = [dataset for dataset in (*DATASETS, *EXERCISES) if dataset.name in counts]
    for dataset in made:
        procedure = dataset.procedure.name.replace("_", " ")
        shown = SHOWN[dataset.shows].format(procedure)
        rows.append(f"| {dataset.name} | {counts[dataset.name]} | {shown} |")

    command = f"--seconds {config.seconds:g} --seed {config.seed} --times {config.times}"
    command += f" --datasets {','.join(config.datasets)}" if config.datasets else ""
    command += "" if config.frame_numbers else " --no-frame-numbers"
    return README.format(
        command=command,
        datasets="\n".join(rows),
        clock=CLOCK if config.frame_numbers else "",
        fps=FPS,
        num_actions=len(EXERCISES[0].procedure.phases),
        best=BEST_SCORE,
        surgeon_videos=SURGEON_VIDEOS,
        steps=DEPTH_STEPS_PER_MILLIMETRE,
        classes="\n".join(f"| {value} | {name} |" for name, value in CLASSES.items()),
    )


def write_facts(folder: Path, jobs: Iterable[VideoJob]) -> None:
    """Write `labels/videos.csv` of each dataset of which something is true of whole videos."""
    facts: dict[str, list[dict[str, str]]] = {}
    for job in jobs:
        if job.take.facts:
            facts.setdefault(job.dataset.name, []).append({"video": job.video, **job.take.facts})

    for name, rows in facts.items():
        path = folder / name / "labels" / "videos.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def _layers(dataset: Dataset) -> dict[str, Any]:
    """The layers of a dataset, for a corpus file."""
    return {
        "mask": f"{dataset.name}/masks/{{video}}.mkv",
        "depth": {
            "path": f"{dataset.name}/depth/{{video}}.mkv",
            "millimetres_per_unit": 1 / DEPTH_STEPS_PER_MILLIMETRE,
        },
    }


def _dataset(dataset: Dataset, **split: Sequence[str]) -> dict[str, Any]:
    """A dataset's entry in a corpus file; `split` is what it holds out, if anything."""
    labels = f"{dataset.name}/labels/{{video}}.csv"
    return {
        "name": dataset.name,
        "specialty": dataset.procedure.specialty,
        "procedure": dataset.procedure.name,
        "videos": f"{dataset.name}/videos/*.mp4",
        **split,
        "labels": {"phase": labels, "triplets": labels},
        "licence": LICENCE,
    }
