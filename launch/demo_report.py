"""What the demo's run learned, as a small table: `python -m launch.demo_report METRICS.jsonl`."""

import json
import sys
from pathlib import Path

ROWS = ("reconstruction", "distillation")


def report(path: Path) -> str:
    """Summarise a run's metrics.

    Args:
        path: A `metrics.jsonl`.

    Returns:
        Lines of text: each loss at the first and last report beside that of predicting the mean, and the rate.
    """
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines_out = [f"  {'loss':<26}{'first':>8}{'last':>8}{'mean':>8}  (mean: what predicting the mean would score)"]
    for group, title in (("loss", "training"), ("held_out", "held-out videos")):
        reports = [line for line in lines if f"{group}/{ROWS[0]}" in line]
        for row in ROWS if reports else ():
            first, last = reports[0][f"{group}/{row}"], reports[-1][f"{group}/{row}"]
            mean = reports[-1][f"{group}/{row}_of_mean"]
            lines_out.append(f"  {row + ', ' + title:<36}"[:26] + f"{first:>8.3f}{last:>8.3f}{mean:>8.3f}  {title}")
    rates = sorted(line["throughput/clips_per_second"] for line in lines if "throughput/clips_per_second" in line)
    lines_out.append(f"  {rates[len(rates) // 2]:.1f} clips/s, the median of {len(rates)} reports")
    return "\n".join(lines_out)


if __name__ == "__main__":
    sys.stdout.write(report(Path(sys.argv[1])) + "\n")
