"""`surgstream bench [THEME ...]`: measure, print tables, keep them as JSON."""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import conditions, facts_table, measure, save, table

THEMES = {
    "open": "benchmarks.open_corpus",
    "order": "benchmarks.draw_order",
    "read": "benchmarks.read_shards",
    "decode": "benchmarks.decode_clips",
    "loader": "benchmarks.loader",
    "fast": "benchmarks.fast_path",
    "save": "benchmarks.save_state",
}
RECIPE_THEMES = {
    "step": "benchmarks.train_step",
    "train": "benchmarks.end_to_end",
    "engine": "benchmarks.engine_overhead",
}
TINY = str(Path(__file__).parent.parent / "configs" / "pretrain" / "surgvista_tiny.yaml")
STORE_THEMES = {
    "s3": "benchmarks.read_s3",
    "s3_peers": "benchmarks.read_peers",
    "loader": "benchmarks.loader",
}
COMMANDS = {"scale": "benchmarks.scale"}
"""Themes that take arguments of their own."""

HELP = """\
Measure this machine. Cases of a theme run in turn, after one warm-up, so that their ratios hold; tables give medians
and their 95 % intervals. A peer that is not installed is named in the table: pip install 'surgstream[peers]'.

  surgstream bench
  surgstream bench read decode --repeats 5 --save results
  surgstream bench s3 --store s3://bucket/scratch
  surgstream bench step train --recipe configs/pretrain/surgvista_vitb.yaml global_batch_size=256 compile=true

  surgstream bench scale --help

Absolute rates are this machine's. A measurement that cannot be, faster than its floor, ends with an error.
"""


def main(argv: Sequence[str]) -> int:
    """Measure the themes that were asked for."""
    if argv and argv[0] in COMMANDS:
        return int(importlib.import_module(COMMANDS[argv[0]]).main(argv[1:]))
    parser = argparse.ArgumentParser(
        prog="surgstream bench", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    everywhere = THEMES | RECIPE_THEMES
    parser.add_argument(
        "themes", nargs="*", metavar="THEME", help=f"of {', '.join(everywhere)}; all of them by default"
    )
    parser.add_argument(
        "--store", metavar="s3://...", help=f"a prefix to fill and to read; also measures {', '.join(STORE_THEMES)}"
    )
    parser.add_argument(
        "--recipe",
        metavar="CONFIG",
        default=TINY,
        help=f"what {', '.join(RECIPE_THEMES)} train; key=value words override its values",
    )
    parser.add_argument("--repeats", type=int, default=7, help="interleaved repeats of every case")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write THEME_HARDWARE_YYYYMM.json there")
    parser.add_argument("--hardware", default="cpu", help="HARDWARE in those names")
    arguments = parser.parse_intermixed_args(argv)
    themes = [word for word in arguments.themes if "=" not in word]
    recipe = [arguments.recipe, *(word for word in arguments.themes if "=" in word)]
    known = everywhere | (STORE_THEMES if arguments.store else {})
    unknown = set(themes) - set(known)
    if unknown:
        parser.error(f"unknown theme {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    where = conditions()
    print(f"{where['hardware']}, {where['cores']} cores, GPU {where['gpu']}, commit {where['commit']}\n", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for theme in themes or known:
            module = importlib.import_module(known[theme])
            in_store = arguments.store and theme in STORE_THEMES
            material = (Path(scratch), *[arguments.store] * bool(in_store), *[recipe] * (theme in RECIPE_THEMES))
            rows = measure(module.cases(*material), repeats=arguments.repeats)
            print(f"{theme}\n\n{table(rows)}\n", flush=True)
            findings = None
            if hasattr(module, "findings"):
                findings = module.findings(*material, rows=rows, repeats=arguments.repeats)
                print(f"{facts_table(findings.facts)}\n", flush=True)
            if arguments.save:
                save(arguments.save / f"{theme}_{arguments.hardware}_{time.strftime('%Y%m')}.json", rows, findings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
