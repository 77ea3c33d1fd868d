"""What the demo's run learned, as a small table: `python -m surgstream.launch.demo_report METRICS.jsonl`."""

import json
import statistics
import sys
from pathlib import Path

GROUPS = {"loss": "training", "held_out": "held-out"}
LOSSES = ("reconstruction", "distillation")


def report(path: Path) -> str:
    """Summarise a run's metrics.

    Args:
        path: A `metrics.jsonl`.

    Returns:
        Lines of text: each loss at the first and last report beside that of predicting the mean, and the rate.
    """
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [f"  {'loss':<16}{'clips':<12}{'first':>8}{'last':>8}{'of the mean':>14}"]

    for loss in LOSSES:
        for group, clips in GROUPS.items():
            key = f"{group}/{loss}"
            reports = [entry for entry in entries if key in entry]
            if reports:
                first, last = reports[0], reports[-1]
                lines.append(
                    f"  {loss:<16}{clips:<12}{first[key]:>8.3f}{last[key]:>8.3f}{last[key + '_of_mean']:>14.3f}"
                )

    rates = [
        entry["throughput/clips_per_second"]
        for entry in entries
        if "throughput/clips_per_second" in entry
    ]
    lines.append(f"  {statistics.median(rates):.1f} clips/s, the median of {len(rates)} reports")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(report(Path(sys.argv[1])) + "\n")
