"""Seconds from the first line of a job's script to its first step.

`python -m surgstream.benchmarks.experiments.start_job RUN_DIR ...` prints them. The jobs must have
reported every step (`metrics.every_steps=1`). On the test cluster of two nodes:

  python -m tests.services.slurm_shell bash benchmarks/start_jobs.sh CORPUS SCRATCH
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically


def main() -> int:
    """Print one line a run directory, and their median."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.start_job",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=Path)
    parser.add_argument("--save", type=Path, metavar="FILE")
    words = parser.parse_args()

    rows = [{"run": path.name, "seconds": seconds_to_first_step(path)} for path in words.run_dirs]
    for row in rows:
        print(f"{row['run']}: {row['seconds']:.1f} s")
    print(f"median: {statistics.median(row['seconds'] for row in rows):.1f} s")

    if words.save:
        write_atomically(words.save, json.dumps({**conditions(), "rows": rows}, indent=1))
    return 0


def seconds_to_first_step(run_dir: Path) -> float:
    """From the first start of a run to the report of its first step."""
    started, stepped = (
        json.loads((run_dir / name).read_text(encoding="utf-8").splitlines()[0])
        for name in ("jobs.jsonl", "metrics.jsonl")
    )
    return float(stepped["time"] - started["time"])


if __name__ == "__main__":
    sys.exit(main())
