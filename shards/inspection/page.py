"""The report's HTML page: one section a video."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import Finding, Reading, Span
from surgstream.shards.format.review import Decision
from surgstream.shards.inspection.colours import Histogram
from surgstream.shards.inspection.sprites import DROPPED_COLOUR, Sprite

COLOURS = {
    "black": "#1f2328",
    "text": "#8250df",
    "blank": "#0969da",
    "test_card": "#bf8700",
    "outside": "#1a7f37",
    "face": "#bc4c00",
    "writing": "#57606a",
}
_LOST, _KEPT = "#ff8182", "#d8e6f3"

_ENLARGED = (
    '<dialog id="enlarged"><canvas></canvas><p><button data-step="-1" title="left arrow">◀</button>'
    '<button data-step="1" title="right arrow">▶</button> <span></span> '
    '<button data-end="start">from here</button><button data-end="stop">to here</button>'
    '<button data-add>drop this stretch</button><button data-close title="Escape">close</button></p></dialog>'
)

CHOICES = (("", "as the rules say"), ("keep", "keep"), ("drop", "drop"))


@dataclass(frozen=True, kw_only=True)
class Section:
    """A video that was packed, or of which all was dropped.

    Attributes:
        name: `DATASET/VIDEO`.
        reading: How it was read.
        packed: What of it is packed, in words.
        seconds: How long it lasts.
        warnings: What should be looked at.
        strip: Its pictures over time.
        found: Pictures of each finding.
        crop: Where the picture that shows its crop is, relative to the page; None without one.
        histogram: Of its pictures; None where there are none.
        review: What is decided about it.
    """

    name: str
    reading: Reading
    packed: str
    seconds: float
    warnings: tuple[str, ...]
    strip: tuple[Sprite, ...]
    found: tuple[tuple[Sprite, ...], ...]
    crop: str | None
    histogram: Histogram | None
    review: tuple[Decision, ...]


def draw_page(
    title: str,
    key: tuple[str, str],
    facts: Iterable[str],
    quarantine: Iterable[tuple[Quarantined, Sequence[Decision]]],
    sections: Iterable[Section],
) -> Iterator[str]:
    """Write the page, piece by piece.

    Args:
        title: Of the page.
        key: The corpus, and a text that changes with it: what is decided on the page is remembered for these.
        facts: Sentences about all of it.
        quarantine: What could not be packed, and what is decided about it.
        sections: The videos.
    """
    style, script = (
        files("surgstream.shards.inspection").joinpath(f"report.{suffix}").read_text()
        for suffix in ("css", "js")
    )

    yield (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<style>\n{style}</style>\n<body data-corpus="{escape(key[0])}" data-version="{escape(key[1])}">\n'
        f"<header><h1>{escape(title)}</h1>\n"
        '<label><input type="checkbox" id="noted"> only videos with something to look at</label>\n'
        '<button class="main" id="save"></button>\n'
        '<p id="restored" hidden><span></span> <button>Forget them</button></p></header>\n<main>\n'
    )

    yield "".join(f"<p>{escape(fact)}</p>\n" for fact in facts)
    yield f"<p>{' '.join(_key(colour, name.replace('_', ' ')) for name, colour in _legend())}</p>\n"

    for each, review in quarantine:
        warnings = f'<ul class="warnings"><li>not packed: {escape(each.reason)}</li></ul>\n'
        decisions = _decisions(f"{each.dataset}/{each.video}", (), review)
        yield f"{_heading(each.dataset, each.video)}{warnings}{decisions}</section>\n"
    for section in sections:
        yield _section(section)

    # The page's script fills it in for each stretch that is added
    by_hand = _row("", "by hand", None, "", ("drop", 0), "")
    yield f'</main>\n{_ENLARGED}\n<template id="by-hand">{by_hand}</template>\n'
    yield f"<script>\n{script}</script>\n</body>\n</html>\n"


def _legend() -> Iterator[tuple[str, str]]:
    yield from (("packed", _KEPT), ("dropped", DROPPED_COLOUR), ("lost", _LOST))
    yield from COLOURS.items()


def _key(colour: str, name: str) -> str:
    return f'<label><span class="key" style="background:{colour}"></span>{escape(name)}</label>'


def _section(section: Section) -> str:
    reading = section.reading
    plain = "" if section.warnings or reading.findings else ' class="plain"'
    source = (
        f"{reading.source}: {reading.codec} in {reading.container}, "
        f"{reading.width}x{reading.height}"
    )
    rate = "" if reading.fps is None else f", {reading.fps:g} a second"
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in section.warnings)

    return (
        _heading(reading.dataset, reading.video, plain)
        + f"<p>{escape(source + rate)}, {_clock(section.seconds)}; {escape(section.packed)}</p>\n"
        + (f'<ul class="warnings">{warnings}</ul>\n' if warnings else "")
        + _timeline(section)
        + f'<div class="films">{"".join(_film(sprite) for sprite in section.strip)}</div>\n'
        + f'<div class="looks">{_crop(section)}{_histogram(section.histogram)}'
        + (
            f"{_decisions(section.name, zip(reading.findings, section.found, strict=True), section.review)}</div>\n"
        )
        + "</section>\n"
    )


def _heading(dataset: str, video: str, plain: str = "") -> str:
    name = escape(f"{dataset}/{video}")
    data = f'data-dataset="{escape(dataset)}" data-video="{escape(video)}"'
    return f'<section id="{name}" {data}{plain}>\n<h2>{name}</h2>\n'


def _film(sprite: Sprite) -> str:
    """Lines of pictures, each with the time of its first one before it."""
    firsts = "".join(f"<li>{_clock(second)}</li>" for second in sprite.seconds[:: sprite.columns])
    return (
        f'<div class="film"><ol>{firsts}</ol>{_sheet(sprite, "frames over time", "100%")}</div>\n'
    )


def _sheet(sprite: Sprite, alt: str, width: str) -> str:
    lines = -(-len(sprite.seconds) // sprite.columns)
    size = f'width="{sprite.columns * sprite.cell[0]}" height="{lines * sprite.cell[1]}" style="width:{width}"'
    numbers = {
        "columns": (sprite.columns,),
        "cell": sprite.cell,
        "size": sprite.size,
        "seconds": sprite.seconds,
    }
    data = " ".join(
        f'data-{name}="{" ".join(f"{x:.10g}" for x in values)}"' for name, values in numbers.items()
    )
    return f'<img class="sheet" loading="lazy" alt="{escape(alt)}" src="{escape(sprite.file)}" {size} {data}>'


def _timeline(section: Section) -> str:
    """What was packed, and above it what was found, over the length of the video."""
    length = max(section.seconds, 1e-3)

    def bar(
        start: float, stop: float | None, top: int, height: int, colour: str, title: str
    ) -> str:
        end = length if stop is None else stop
        width = max(1000 * (end - start) / length, 1)
        return (
            f'<rect x="{1000 * start / length:.2f}" y="{top}" width="{width:.2f}" height="{height}" fill="{colour}">'
            f"<title>{escape(title)}: {_clock(start)} to {_clock(end)}</title></rect>"
        )

    def spans(of: Sequence[Span], colour: str, title: str) -> str:
        return "".join(bar(span.start, span.stop, 12, 10, colour, title) for span in of)

    found = [each for each in section.reading.findings if each.kind != "writing"]
    return (
        '<svg class="timeline" viewBox="0 0 1000 22" preserveAspectRatio="none">'
        + bar(0, length, 12, 10, _KEPT, "packed")
        + spans(section.reading.dropped, DROPPED_COLOUR, "dropped")
        + spans(section.reading.lost, _LOST, "lost")
        + "".join(
            bar(each.start, each.stop, 0, 10, COLOURS[each.kind], each.kind) for each in found
        )
        + "</svg>\n"
    )


def _crop(section: Section) -> str:
    crop, reading = section.reading.crop, section.reading
    if crop is None or section.crop is None:
        return ""

    # As shares, since the picture is shown at any size
    sides = {
        "left": crop.left / reading.width,
        "top": crop.top / reading.height,
        "width": (crop.right - crop.left) / reading.width,
        "height": (crop.bottom - crop.top) / reading.height,
    }
    style = ";".join(f"{side}:{100 * share:.2f}%" for side, share in sides.items())
    size = f"{crop.right - crop.left}x{crop.bottom - crop.top}"

    return (
        f'<figure><span class="crop"><img loading="lazy" alt="the crop" src="{escape(section.crop)}">'
        f'<i style="{style}"></i></span><figcaption>cropped to {size}</figcaption></figure>'
    )


def _histogram(histogram: Histogram | None) -> str:
    if histogram is None:
        return ""
    highest = (
        max(max(channel[1:-1]) for channel in histogram) or 1
    )  # black borders would outdo all the rest
    lines = []
    for colour, counts in zip(("#cf222e", "#1a7f37", "#0969da"), histogram, strict=True):
        points = " ".join(
            f"{3 * at},{60 - 60 * min(1, count / highest):.1f}" for at, count in enumerate(counts)
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )

    width = 3 * len(histogram[0])
    return (
        f'<figure><svg width="{2 * width}" height="90" viewBox="0 -2 {width} 64" role="img">{"".join(lines)}</svg>'
        "<figcaption>red, green and blue, from dark to light</figcaption></figure>"
    )


def _decisions(
    name: str, findings: Iterable[tuple[Finding, Sequence[Sprite]]], review: Sequence[Decision]
) -> str:
    """A row for each finding, then one for each decision that is about none of them."""
    # Orders are negative, since this was decided before the page is opened
    decided = {
        (each.start, each.stop): ("keep" if each.keep else "drop", number - len(review))
        for number, each in enumerate(review)
    }

    rows = []
    for each, sprites in findings:
        width = "calc({} * var(--small))"
        images = "".join(
            _sheet(sprite, each.kind, width.format(sprite.columns)) for sprite in sprites
        )
        kind = _key(COLOURS[each.kind], each.kind.replace("_", " "))
        span = each.start, each.stop
        rows.append(
            _row(
                images,
                kind,
                span,
                f"{each.score:.2f}",
                decided.pop(span, None),
                f"{name} {span} {each.kind}",
            )
        )

    # What is left is about none of the findings
    rows += [
        _row("", "by hand", span, "", choice, f"{name} {span}") for span, choice in decided.items()
    ]

    head = "<th></th><th>found</th>" + "".join(
        f'<th class="number">{name}</th>' for name in ("from s", "to s", "score")
    )
    return (
        f"<div><table><thead><tr>{head}<th>decision</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "<form>another stretch: "
        f"{_seconds('from', 'start')}{_seconds('to', 'stop')}<button>add</button></form></div>"
    )


def _row(
    images: str,
    kind: str,
    span: tuple[float, float] | None,
    score: str,
    decided: tuple[str, int] | None,
    name: str,
) -> str:
    """A stretch and the choice about it.

    Args:
        images: HTML.
        kind: HTML.
        span: From and to which second; None where the page's script fills it in.
        score: Of what was found.
        decided: The choice, and when it was made: a smaller number is earlier, and 0 is when the page opens.
        name: Tells choices apart.
    """
    choice, order = decided or ("", 0)
    radio = f'<label><input type="radio" name="{escape(name)}" value='
    choices = "".join(
        f'{radio}"{value}"{" checked" * (value == choice)}>{words}</label>'
        for value, words in CHOICES
    )
    # With all digits, by which stretches are told apart when the review is read again
    start, stop = (repr(second).removesuffix(".0") for second in span) if span else ("", "")
    shown = [f"{second:.2f}" for second in span] if span else ["", ""]
    numbers = "".join(f'<td class="number">{number}</td>' for number in (*shown, score))
    cells = f"<td>{images}</td><td>{kind}</td>{numbers}<td>{choices}</td>"
    return f'<tr data-start="{start}" data-stop="{stop}" data-order="{order}">{cells}</tr>'


def _seconds(word: str, name: str) -> str:
    return (
        f'<label>{word} <input type="number" name="{name}" min="0" step="any" required> s</label>'
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
