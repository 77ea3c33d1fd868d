"""`surgstream bench [THEME ...]`: measure, print tables, keep them as JSON."""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import conditions, measure, save, table

THEMES = {
    "open": "benchmarks.open_corpus",
    "order": "benchmarks.draw_order",
    "read": "benchmarks.read_shards",
    "decode": "benchmarks.decode_clips",
    "step": "benchmarks.train_step",
    "fast": "benchmarks.fast_path",
    "save": "benchmarks.save_state",
}
STORE_THEMES = {
    "s3": "benchmarks.read_s3",
    "start": "benchmarks.first_batch",
}


HELP = """\
Measure this machine. Cases of a theme run in turn, after one warm-up, so that their ratios hold; tables give medians
and their 95 % intervals. A peer that is not installed is named in the table: pip install 'surgstream[peers]'.

  surgstream bench
  surgstream bench read decode --repeats 5 --save results
  surgstream bench s3 --store s3://bucket/scratch

Absolute rates are this machine's. A measurement that cannot be, faster than its floor, ends with an error.
"""


def main(argv: Sequence[str]) -> int:
    """Measure the themes that were asked for."""
    parser = argparse.ArgumentParser(
        prog="surgstream bench", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("themes", nargs="*", metavar="THEME", help=f"of {', '.join(THEMES)}; all of them by default")
    parser.add_argument(
        "--store", metavar="s3://...", help=f"a prefix to fill and to read; also measures {', '.join(STORE_THEMES)}"
    )
    parser.add_argument("--repeats", type=int, default=7, help="interleaved repeats of every case")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write THEME_HARDWARE_YYYYMM.json there")
    parser.add_argument("--hardware", default="cpu", help="HARDWARE in those names")
    arguments = parser.parse_args(argv)
    known = THEMES | (STORE_THEMES if arguments.store else {})
    unknown = set(arguments.themes) - set(known)
    if unknown:
        parser.error(f"unknown theme {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    where = conditions()
    print(f"{where['hardware']}, {where['cores']} cores, GPU {where['gpu']}, commit {where['commit']}\n", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for theme in arguments.themes or known:
            places = (Path(scratch), arguments.store) if theme in STORE_THEMES else (Path(scratch),)
            rows = measure(importlib.import_module(known[theme]).cases(*places), repeats=arguments.repeats)
            print(f"{theme}\n\n{table(rows)}\n", flush=True)
            if arguments.save:
                save(arguments.save / f"{theme}_{arguments.hardware}_{time.strftime('%Y%m')}.json", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
