"""What a model card says of results: a table for people, and the front matter that Hugging Face reads."""

import html
import math
from collections.abc import Sequence
from typing import Any

from surgstream.configs.columns import markdown
from surgstream.configs.parsing import write_yaml
from surgstream.configs.printable import printable
from surgstream.trainer.evaluation.predictions.yardsticks import CONSTANT
from surgstream.trainer.evaluation.report.numbers import NOTHING, shown, with_interval
from surgstream.trainer.export.folder.record import ExportRecord
from surgstream.trainer.export.results import RANDOM_WEIGHTS, Reported

_CHANCE = ("chance", "chance, all classes alike")
_MOST_LETTERS = 120

_KNOWN_LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0",
)  # fmt: skip
"""Identifiers of SPDX, in small letters, that Hugging Face knows; others it wants as `other`, with a name."""


def front_matter(record: ExportRecord, licence: str | None, results: Sequence[Reported]) -> str:
    """The front matter of a card: licence, library, tags, and the results as a model index.

    Args:
        record: The content of `config.json`.
        licence: The licence of the weights.
        results: What the encoder was found to be worth; those without a number are left out.
    """
    tree: dict[str, Any] = {"license": "unknown"}
    if licence is not None:
        is_known = licence.lower() in _KNOWN_LICENCES
        tree["license"] = licence.lower() if is_known else "other"
        if not is_known:
            tree["license_name"] = licence

    tree["library_name"] = "transformers" if record.layout == "transformers" else "surgstream"
    tree["tags"] = ["surgical-video", "self-supervised", record.objective]
    if index := [_indexed(each) for each in results if math.isfinite(each.value.value)]:
        tree["model-index"] = [{"name": f"surgstream {record.objective} encoder", "results": index}]
    return f"---\n{write_yaml(tree)}---"


def evaluation(results: Sequence[Reported], identity: str | None) -> str:
    """The section about results.

    Args:
        results: What the encoder was found to be worth.
        identity: SHA-256 of the encoder, as predictions have it.
    """
    if not results:
        return "## Evaluation\n\nNo results were given when this card was written."

    rows = [_row(each, identity) for each in results]
    return f"## Evaluation\n\n{markdown([_HEADING, *rows], left=6)}\n\n{_LEGEND}"


_HEADING = (
    "task", "videos", "on top", "metric", "what to know", "weights", "this encoder", CONSTANT, "chance",
    RANDOM_WEIGHTS,
)  # fmt: skip


_LEGEND = """\
In brackets 95 % intervals. The last columns are what a number must beat before it means anything: always the same
prediction, predictions drawn at random, and the same model on random weights, where that was tried. Whether test
videos were trained on is said under *what to know*. Under *weights*, `these` means that the predictions bear the hash
of this very encoder."""


def as_text(text: str) -> str:
    """A text of others as a line of Markdown: short, without marks of HTML, and not a path or an address."""
    line = " ".join(printable(text).split())
    if "://" in line or line.startswith(("/", "~")):
        return "(a place)"
    return html.escape(line[:_MOST_LETTERS], quote=False)


def _row(result: Reported, identity: str | None) -> tuple[str, ...]:
    def beside(*names: str) -> str:
        found = (result.beside[name] for name in names if name in result.beside)
        value = next(found, None)
        return shown(value.value, result.about) if value else NOTHING

    unit = ", %" if result.about["percent"] else ""
    less = "" if result.about["higher_is_better"] else ", less is better"
    return (
        as_text(result.title),
        f"{result.num_videos:,} of {as_text(result.split)}",
        as_text(result.protocol) or NOTHING,
        f"{as_text(result.metric)}{unit}{less}",
        as_text("; ".join(result.marks)),
        _whose(result, identity),
        with_interval(result.value, result.about),
        beside(CONSTANT),
        beside(*_CHANCE),
        beside(RANDOM_WEIGHTS),
    )


def _whose(result: Reported, identity: str | None) -> str:
    if result.encoder is None or identity is None:
        return "not told"
    return "these" if result.encoder == identity else "others, or other clips"


def _indexed(result: Reported) -> dict[str, Any]:
    """A result as the model index has it, its marks in the name of the metric, since nothing else would show them."""
    return {
        "task": {"type": "video-classification", "name": as_text(result.title)},
        "dataset": {
            "type": as_text(result.task),
            "name": as_text(result.title),
            "split": as_text(result.split),
        },
        "metrics": [
            {
                "type": as_text(result.metric),
                "name": as_text(f"{result.metric} ({'; '.join(result.marks)})"),
                "value": round(result.value.value, 6),
                "verified": False,
            }
        ],
    }
