"""The report of a GPU: predictions beside measurements, how the parts ended, and all that they found."""

import json
from collections.abc import Sequence

from surgstream.benchmarks.gpu.predictions import PREDICTIONS, Finding, Prediction
from surgstream.configs.columns import markdown

_OF_ITS_END = ("part", "seconds", "limit", "failed", "skipped")


def render(
    conditions: str, findings: Sequence[Finding], predictions: Sequence[Prediction] = PREDICTIONS
) -> str:
    """The report in Markdown.

    Args:
        conditions: What was measured, on what, when.
        findings: Everything that was found. The last finding of each part has its `seconds` and its `limit`, and
            `failed` or `skipped` with the reason.
        predictions: What was predicted; empty for another kind of machine.
    """
    parts = list(dict.fromkeys(finding["part"] for finding in findings))
    ends = {finding["part"]: finding for finding in findings if "limit" in finding}
    blocks = ["# A GPU, measured", conditions]
    if predictions:
        blocks += ["## Predictions and measurements", beside(predictions, findings)]

    rows = [["part", "seconds", "end"], *(_end(part, ends.get(part)) for part in parts)]
    blocks += ["## How the parts ended", markdown(rows)]
    for part in parts:
        blocks += [f"## {part}", *_found(part, findings)]
    return "\n\n".join(blocks) + "\n"


def beside(predictions: Sequence[Prediction], findings: Sequence[Finding]) -> str:
    """Lay out what was predicted beside what was measured, as Markdown."""
    rows = [["part", "what", "predicted", "measured", ""]]
    for prediction in predictions:
        value = prediction.measured(findings)
        measured = "not measured" if value is None else f"{value:g}"
        rows.append(
            [
                prediction.part,
                prediction.what,
                prediction.range,
                measured,
                _verdict(prediction, value),
            ]
        )
    return markdown(rows, left=2)


def _verdict(prediction: Prediction, value: float | None) -> str:
    if value is None:
        return ""
    if value < prediction.low:
        return "below"
    return "above" if value > prediction.high else "as predicted"


def _end(part: str, end: Finding | None) -> list[str]:
    if end is None:
        return [part, "", "did not end"]
    if "skipped" in end:
        return [part, "", f"skipped: {end['skipped']}"]
    how = f"failed: {end['failed']}" if "failed" in end else "done"
    return [
        part,
        f"{end['seconds']:g} of {end['limit']:g}",
        " ".join(how.split()),
    ]


def _found(part: str, findings: Sequence[Finding]) -> list[str]:
    """What a part has found, a line each; what it printed otherwise, as it is."""
    lines = []
    printed = ""
    for finding in findings:
        if finding["part"] != part:
            continue
        printed += finding.get("printed", "")
        values = {
            key: value for key, value in finding.items() if key not in (*_OF_ITS_END, "printed")
        }
        if values:
            lines.append(
                "- " + ", ".join(f"{key} {_short(value)}" for key, value in values.items())
            )

    blocks = ["\n".join(lines)] if lines else []
    return [*blocks, f"```\n{printed.strip()}\n```"] if printed.strip() else blocks


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
