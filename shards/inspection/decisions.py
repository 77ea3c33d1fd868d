"""The tables of the report's page in which a person decides what is kept and what is dropped."""

from collections.abc import Iterable, Sequence
from html import escape

from surgstream.shards.format.records import Finding
from surgstream.shards.format.review import Decision
from surgstream.shards.inspection.elements import COLOURS, colour_key, sheet
from surgstream.shards.inspection.sprites import Sprite

CHOICES = (("", "as the rules say"), ("keep", "keep"), ("drop", "drop"))


def decision_table(
    name: str, findings: Iterable[tuple[Finding, Sequence[Sprite]]], review: Sequence[Decision]
) -> str:
    """Draw a table with a row for each finding, then one for each decision that is about none of them.

    Args:
        name: `DATASET/VIDEO`.
        findings: The findings, each with its pictures.
        review: The decisions.
    """
    # Orders are negative, since these decisions were made before the page is opened.
    decided = {}
    for number, decision in enumerate(review):
        choice = "keep" if decision.keep else "drop"
        decided[decision.start, decision.stop] = (choice, number - len(review))

    rows = []
    for finding, sprites in findings:
        span = (finding.start, finding.stop)
        rows.append(
            _row(
                "".join(_small_sheet(sprite, finding.kind) for sprite in sprites),
                colour_key(COLOURS[finding.kind], finding.kind.replace("_", " ")),
                span,
                f"{finding.score:.2f}",
                decided.pop(span, None),
                f"{name} {span} {finding.kind}",
            )
        )

    # The decisions that are left are about none of the findings.
    for span, choice_and_order in decided.items():
        rows.append(_row("", "by hand", span, "", choice_and_order, f"{name} {span}"))

    numbers = "".join(f'<th class="number">{name}</th>' for name in ("from s", "to s", "score"))
    head = f"<tr><th></th><th>found</th>{numbers}<th>decision</th></tr>"
    return (
        f"<div><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
        "<form>another stretch: "
        f"{_seconds('from', 'start')}{_seconds('to', 'stop')}<button>add</button></form></div>"
    )


def added_row() -> str:
    """Draw the row of a stretch that a person adds; the page's script fills it in."""
    return _row("", "by hand", None, "", ("drop", 0), "")


def _small_sheet(sprite: Sprite, kind: str) -> str:
    return sheet(sprite, kind, f"calc({sprite.columns} * var(--small))")


def _row(
    images: str,
    kind: str,
    span: tuple[float, float] | None,
    score: str,
    decided: tuple[str, int] | None,
    name: str,
) -> str:
    """Draw the row of a stretch and the choice about it.

    Args:
        images: HTML.
        kind: HTML.
        span: Start and stop in seconds; None where the page's script fills them in.
        score: The score of the finding.
        decided: The choice and its place in time: a smaller number is earlier, and the page opens at 0.
        name: The name of the choice, different from all others on the page.
    """
    choice, order = decided or ("", 0)
    radio = f'<label><input type="radio" name="{escape(name)}" value='
    choices = "".join(
        f'{radio}"{value}"{" checked" * (value == choice)}>{words}</label>'
        for value, words in CHOICES
    )

    # With all digits: they identify the stretch when the review is read again.
    start, stop = (repr(second).removesuffix(".0") for second in span) if span else ("", "")
    shown = [f"{second:.2f}" for second in span] if span else ["", ""]
    numbers = "".join(f'<td class="number">{number}</td>' for number in (*shown, score))
    cells = f"<td>{images}</td><td>{kind}</td>{numbers}<td>{choices}</td>"
    return f'<tr data-start="{start}" data-stop="{stop}" data-order="{order}">{cells}</tr>'


def _seconds(word: str, name: str) -> str:
    return (
        f'<label>{word} <input type="number" name="{name}" min="0" step="any" required> s</label>'
    )
