"""What the heads of a probe scored on validation, as a small table in colours: rates down, weight decays across."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from surgstream.configs.files import read_text
from surgstream.trainer.evaluation.report.numbers import NOTHING
from surgstream.trainer.runs.files import GRID


def draw_grid(run_dir: Path) -> str:
    """Draw the grid of a run; empty where it has none of rates and decays.

    A head has the score of the validation at which the best head was chosen.
    """
    try:
        tree = json.loads(read_text(run_dir / GRID))
        heads = [(float(head["lr"]), float(head["weight_decay"])) for head in tree["heads"]]
        chosen = tree["chosen"]
        scores = tree["validations"][chosen["validation"]]["scores"]
        return _drawn(heads, scores, int(chosen["head"]), tree)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return ""


def _drawn(
    heads: Sequence[tuple[float, float]],
    scores: Sequence[float | None],
    chosen: int,
    tree: dict[str, Any],
) -> str:
    lrs = sorted({lr for lr, _ in heads})
    decays = sorted({decay for _, decay in heads})
    known = [score for score in scores if score is not None]
    low, high = min(known), max(known)

    lines = [
        "<tr><th>rate \\ decay</th>"
        + "".join(f"<th>{decay:g}</th>" for decay in decays)
        + "</tr>\n"
    ]
    for lr in lrs:
        cells = []
        for decay in decays:
            number = heads.index((lr, decay)) if (lr, decay) in heads else -1
            score = scores[number] if number >= 0 else None
            cells.append(_cell(score, low, high, tree, is_chosen=number == chosen))
        lines.append(f"<tr><th>{lr:g}</th>{''.join(cells)}</tr>\n")

    said = f"{escape(str(tree['metric']))} on validation, by learning rate and weight decay; framed: chosen"
    return f'<table class="grid">{"".join(lines)}</table><p class="soft">{said}</p>\n'


def _cell(
    score: float | None, low: float, high: float, tree: dict[str, Any], *, is_chosen: bool
) -> str:
    if score is None:
        return f"<td>{NOTHING}</td>"
    share = (score - low) / (high - low) if high > low else 1.0
    if not tree["higher_is_better"]:
        share = 1 - share
    kind = ' class="chosen"' if is_chosen else ""
    # From nearly white to a blue on which black can still be read.
    return f'<td{kind} style="background:hsl(208 70% {95 - 35 * share:.0f}%)">{score:.3f}</td>'
