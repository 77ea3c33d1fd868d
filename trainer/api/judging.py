"""Predictions scored as `surgstream evaluate` scores them, for notebooks. Needs no torch."""

import math
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.trainer.evaluation.files import Judged, judge_files
from surgstream.trainer.evaluation.report.result import Result, Value


class Evaluation:
    """Scores with intervals; notebooks show its page.

    Attributes:
        result: Everything, as `result.json` has it.
    """

    def __init__(self, judged: Judged) -> None:
        self.result: Result = judged.result
        self._judged = judged

    def value(self, model: str, metric: str | None = None) -> Value:
        """What a model, or a yardstick, scored.

        Args:
            model: Its name.
            metric: The metric's id; None is the task's main one.

        Raises:
            ConfigError: There is no such model, or no such metric of it.
        """
        wanted = metric or self.result.main
        rows = {row.name: row for row in self.result.rows}
        if model not in rows:
            raise ConfigError(f"evaluation: expected one of {', '.join(rows)}, got {model!r}")
        if wanted not in rows[model].values:
            known = ", ".join(rows[model].values)
            raise ConfigError(f"evaluation: {model}: expected one of {known}, got {wanted!r}")
        return rows[model].values[wanted]

    @property
    def table(self) -> str:
        """The table, in Markdown."""
        return self._judged.table

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page, one HTML file that needs no other."""
        Path(path).write_text(self._judged.page, encoding="utf-8")

    def __repr__(self) -> str:
        """Tell the main metric of each model."""
        values = {row.name: row.values.get(self.result.main) for row in self.result.models}
        told = ", ".join(
            f"{name} {value.value:.4g}"
            for name, value in values.items()
            if value and not math.isnan(value.value)
        )
        return f"Evaluation({self.result.title!r}, {self.result.main}: {told})"

    def _repr_html_(self) -> str:
        """The page, in a frame of its own, so that its style changes nothing around it."""
        page = self._judged.page.replace("&", "&amp;").replace('"', "&quot;")
        return f'<iframe srcdoc="{page}" width="100%" height="700" style="border:0"></iframe>'


def evaluate(
    task: str | PathLike[str],
    predictions: Mapping[str, str | PathLike[str]],
    *,
    labels: str | PathLike[str] | None = None,
    corpus: str | PathLike[str] | None = None,
    compare: bool = False,
) -> Evaluation:
    """Score predictions of a task's test videos.

    Args:
        task: The task's name, or the path of its file.
        predictions: Files of predictions, `.npz` or CSV, by the names of models; see docs/evaluation.md.
        labels: The folder of labels, or its `s3://` address.
        corpus: The packed corpus that has labels, masks or depth, where `labels` is not given.
        compare: Compare the models with each other, by paired tests.

    Raises:
        ConfigError: There is neither labels nor a corpus.
        SurgstreamError: The task, labels or predictions cannot be read, or do not fit each other.

    Example:
        >>> found = surgstream.evaluate("cholec80_phases", {"ours": "ours.csv"}, labels="labels")
        >>> found.value("ours").value
        0.7312
    """
    if not labels and not corpus:
        raise ConfigError("evaluate: expected labels or a corpus, got neither")
    files = [(name, [Path(path)]) for name, path in predictions.items()]
    judged = judge_files(
        fspath(task),
        files,
        labels=fspath(labels) if labels else None,
        corpus=fspath(corpus) if corpus else None,
        compare=compare,
    )
    return Evaluation(judged)
