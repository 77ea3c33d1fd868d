"""`surgstream bench [THEME ...]`: measure, print tables, keep them as JSON."""

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from surgstream.benchmarks.support.harness import conditions, facts_table, measure, save, table
from surgstream.launch.commands.measures.bench import RECIPE_THEMES, STORE_THEMES, THEMES, parse


def run(words: argparse.Namespace) -> int:
    """Measure the themes that were asked for."""
    recipe = [words.recipe, *words.overrides]
    known = THEMES | RECIPE_THEMES | (STORE_THEMES if words.store else {})
    where = conditions()
    print(
        f"{where['hardware']}, {where['cores']} cores, GPU {where['gpu']}, commit "
        f"{where['commit']}\n",
        flush=True,
    )

    with tempfile.TemporaryDirectory() as scratch:
        for theme in words.themes or known:
            module = importlib.import_module(known[theme])
            in_store = words.store and theme in STORE_THEMES
            # What `cases` takes: the folder, the store's prefix if any, the recipe if it trains
            material = (
                Path(scratch),
                *[words.store] * bool(in_store),
                *[recipe] * (theme in RECIPE_THEMES),
            )

            rows = measure(module.cases(*material), repeats=words.repeats)
            print(f"{theme}\n\n{table(rows)}\n", flush=True)

            findings = None
            if hasattr(module, "findings"):
                findings = module.findings(*material, rows=rows, repeats=words.repeats)
                print(f"{facts_table(findings.facts)}\n", flush=True)
            if words.save:
                save(
                    words.save / f"{theme}_{words.hardware}_{time.strftime('%Y%m')}.json",
                    rows,
                    findings,
                )

    return 0


if __name__ == "__main__":
    sys.exit(run(parse(sys.argv[1:])))
