"""The record of the experiment, and its table."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surgstream.benchmarks.experiments.recipes.judging import rank_file
from surgstream.benchmarks.experiments.recipes.places import Places, Setting
from surgstream.benchmarks.experiments.recipes.running import Run
from surgstream.configs.columns import markdown
from surgstream.trainer.evaluation.report.numbers import NOTHING, counted, interval, shown
from surgstream.trainer.provenance.record import PROVENANCE
from surgstream.trainer.runs.costs import read_starts
from surgstream.trainer.suite.scoring import Entry
from surgstream.trainer.suite.table import YARDSTICKS

SHORT = {
    "phase_jaccard": "phases, Jaccard %",
    "ap_ivt": "triplets, AP %",
    "class_iou": "masks, IoU %",
}
"""What the main metrics of the tasks are called in the table."""


def record(
    places: Places,
    setting: Setting,
    runs: Mapping[str, Sequence[Sequence[Run]]],
    entries: Sequence[Entry],
) -> dict[str, Any]:
    """All that was found.

    Args:
        places: Where it lies.
        setting: What decides it.
        runs: Of each encoder those of each seed, its teacher's first; yardsticks have none.
        entries: The scores of all encoders on each task.
    """
    scored = {Path(entry.task).stem: entry for entry in entries if entry.result}
    rows = [_row(places, name, of_seeds, setting, scored) for name, of_seeds in runs.items()]
    rows += [{"name": name, "runs": [], "tasks": _values(name, scored)} for name in YARDSTICKS]
    return {"setting": asdict(setting), "tasks": _tasks(scored), "rows": rows}


def table(found: Mapping[str, Any]) -> str:
    """Lay a record out as Markdown: an encoder a row."""
    tasks = found["tasks"]
    seeds = counted(len(found["setting"]["seeds"]), "seed")
    costs = ("MFLOP a clip", "clips", "minutes")
    titles = (SHORT.get(task["metric"], task["metric"]) for task in tasks.values())
    heading = (f"encoder, {seeds}", *titles)
    lines = [(*heading, "effective rank / centred", *costs)]

    for row in found["rows"]:
        name = f"`{row['name']}`" if row["runs"] else row["name"]
        values = [_shown(row, key, task) for key, task in tasks.items()]
        lines.append((name, *values, _ranks(row), *_costs(row)))
    return markdown(lines)


def _row(
    places: Places,
    name: str,
    of_seeds: Sequence[Sequence[Run]],
    setting: Setting,
    scored: Mapping[str, Entry],
) -> dict[str, Any]:
    # Of all seeds they are equally long
    lengths = [run.length for run in of_seeds[0]]
    ranks = [rank_file(places, name, seed) for seed in setting.seeds]
    return {
        "name": name,
        "runs": [{**asdict(length), "flops": length.flops} for length in lengths],
        "minutes": [sum(_minutes(run) for run in runs) for runs in of_seeds],
        "commits": sorted({_commit(run) for runs in of_seeds for run in runs}),
        "ranks": [json.loads(path.read_text()) for path in ranks if path.exists()],
        "tasks": _values(name, scored),
    }


def _minutes(run: Run) -> float:
    """What its starts took, but for those that were killed."""
    return sum(start.seconds for start in read_starts(run.folder)) / 60


def _commit(run: Run) -> str:
    """The commit that it was last started with."""
    path = run.folder / PROVENANCE
    if not path.exists():
        return "unknown"
    last = json.loads(path.read_text())["setups"][-1]
    return str(last["code"]["commit"])


def _tasks(scored: Mapping[str, Entry]) -> dict[str, Any]:
    found = {}
    for key, entry in scored.items():
        result = entry.result
        assert result
        found[key] = {
            "metric": result.main,
            "percent": result.metrics[result.main]["percent"],
            "num_videos": result.num_videos,
            "protocol": entry.protocol,
            "best": entry.best,
        }
    return found


def _values(name: str, scored: Mapping[str, Entry]) -> dict[str, Any]:
    """The main metric of each task: over seeds the mean with its interval, and each seed's."""
    found = {}
    for key, entry in scored.items():
        result = entry.result
        assert result
        for row in result.rows:
            if row.name == name and result.main in row.values:
                value = row.values[result.main]
                found[key] = {
                    "value": value.value,
                    "low": value.low,
                    "high": value.high,
                    "seeds": value.seeds,
                }
    return found


def _shown(row: Mapping[str, Any], key: str, task: Mapping[str, Any]) -> str:
    """A value with its interval, bold where its encoder beats every other by the paired test."""
    if key not in row["tasks"]:
        return NOTHING
    value = row["tasks"][key]
    text = shown(value["value"], task)
    if row["name"] == task["best"]:
        text = f"**{text}**"
    return f"{text} {interval(value['low'], value['high'], task)}"


def _ranks(row: Mapping[str, Any]) -> str:
    """Both effective ranks, means over seeds."""
    ranks = row.get("ranks", [])
    if not ranks:
        return ""
    kinds = ("effective_rank", "centred_rank")
    return " / ".join(f"{statistics.fmean(each[kind] for each in ranks):.1f}" for kind in kinds)


def _costs(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Operations of a clip, clips and minutes; of a teacher's run before its student's."""
    runs = row["runs"]
    if not runs:
        return "", "", ""
    return (
        " + ".join(f"{run['flops_per_clip'] / 1e6:,.0f}" for run in runs),
        " + ".join(f"{run['clips']:,}" for run in runs),
        f"{statistics.fmean(row['minutes']):.1f}",
    )
