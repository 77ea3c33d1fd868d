"""The tables and figures of documentation that are read off results, recipes and predictions.

`python -m tests.doc_tables` writes them into the pages. A comment right above a table says what it is made of, such as
`<!-- rows read_cpu_202611 -->`: the rows of `benchmarks/results/read_cpu_202611.json`.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from surgstream.benchmarks.experiments import exports
from surgstream.benchmarks.experiments.faces import tables as faces
from surgstream.benchmarks.experiments.recipes import tables as recipes
from surgstream.benchmarks.gpu.predictions import PREDICTIONS
from surgstream.benchmarks.gpu.report import beside
from surgstream.benchmarks.support import harness
from surgstream.benchmarks.support.simulation import Traffic
from surgstream.benchmarks.themes import scale
from surgstream.configs.columns import markdown
from surgstream.trainer.commands.describe import describe
from surgstream.trainer.config import load_recipe

ROOT = Path(__file__).parent.parent
PAGES = tuple(ROOT / "docs" / f"{name}.md" for name in ("benchmarks", "gains", "recipes"))
RESULTS = ROOT / "benchmarks" / "results"
FIGURE = RESULTS / "scale_cpu_202611.svg"
FINDINGS = RESULTS / "findings.jsonl"
"""What `benchmarks/gpu.sh` has found, once there is a GPU."""

_MARKED = re.compile(r"(<!-- (\w+) ?(\S*) -->\n)((?:\|.*\n)*)")


def page(text: str) -> str:
    """A page with its marked tables made anew."""
    return _MARKED.sub(lambda mark: f"{mark[1]}{MAKERS[mark[2]](mark[3])}\n", text)


def marks(text: str) -> list[str]:
    """What the marked tables of a page are made of."""
    return [f"{mark[2]} {mark[3]}".strip() for mark in _MARKED.finditer(text)]


def figure() -> str:
    """What more ranks cost, as SVG."""
    found = _result("scale_cpu_202611")
    return scale.plot([Traffic(**row) for row in found["simulated"]], found["rate"])


def _rows(name: str) -> str:
    return harness.table([harness.Row(**row) for row in _result(name)["rows"]])


def _facts(name: str) -> str:
    return harness.facts_table([harness.Fact(**fact) for fact in _result(name)["facts"]])


def _faces(name: str) -> str:
    return faces.summary([faces.Row(**row) for row in _result(name)["rows"]])


def _loaders(name: str) -> str:
    _, _, table = scale.run_table(_result(name)["runs"]).partition("\n\n")
    return table


def _predictions(_: str) -> str:
    lines = FINDINGS.read_text(encoding="utf-8").splitlines() if FINDINGS.exists() else []
    return beside(PREDICTIONS, [json.loads(line) for line in lines])


def _recipes(_: str) -> str:
    """Every recipe but the tiny ones; those of the same numbers share a row."""
    names_of: dict[tuple[str, ...], list[str]] = {}
    for path in sorted((ROOT / "configs" / "pretrain").glob("*.yaml")):
        if "tiny" not in path.stem:
            names_of.setdefault(_numbers(path), []).append(f"`{path.stem}`")

    heading = ("recipe", "clip", "tokens", "global batch", "trained parameters", "TFLOP a clip")
    rows = [(", ".join(names), *numbers) for numbers, names in names_of.items()]
    return markdown([heading, *rows])


def _numbers(recipe: Path) -> tuple[str, ...]:
    tree = describe(load_recipe(recipe, []), world_size=1)
    clip = tree["clip"]
    return (
        f"{clip['frames']} frames, {clip['seconds']:g} s",
        f"{tree['tokens']['clip']:,}",
        f"{tree['batch']['global']:,}",
        f"{tree['parameters']['trainable']:,}",
        f"{tree['flops_per_clip']['total'] / 1e12:.3g}",
    )


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


MAKERS: dict[str, Callable[[str], str]] = {
    "rows": _rows,
    "facts": _facts,
    "equal_flops": lambda name: recipes.table(_result(name)),
    "exports": lambda name: exports.table(_result(name)["rows"]),
    "faces": _faces,
    "loaders": _loaders,
    "predictions": _predictions,
    "recipes": _recipes,
}


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(page(each.read_text(encoding="utf-8")), encoding="utf-8")
    FIGURE.write_text(figure(), encoding="utf-8")
