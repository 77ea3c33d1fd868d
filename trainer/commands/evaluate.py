"""`surgstream evaluate`: stored predictions and labels to a result. Runs on laptops, without torch."""

import argparse
import json
import sys
from pathlib import Path

from surgstream.configs.files import write_atomically
from surgstream.trainer.evaluation.files import judge_files
from surgstream.trainer.evaluation.report.result import to_json


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream evaluate`."""
    judged = judge_files(
        words.task,
        [(name, [path]) for name, path in words.predictions],
        labels=words.labels,
        corpus=words.corpus,
        split=words.split,
        fps=words.fps,
        compare=words.compare,
    )
    sys.stdout.write(judged.table)
    if words.out:
        files = {
            "result.json": json.dumps(to_json(judged.result), indent=1) + "\n",
            "table.md": judged.table,
            "report.html": judged.page,
        }
        _keep(Path(words.out), files)
        sys.stdout.write(f"\n{words.out}: {', '.join(files)}\n")
    return 0


def _keep(folder: Path, content: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        write_atomically(folder / name, text)
