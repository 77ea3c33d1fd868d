"""The report's HTML page: one section a video."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import VideoReport
from surgstream.shards.format.review import Decision
from surgstream.shards.inspection.colours import Histogram
from surgstream.shards.inspection.decisions import added_row, decision_table
from surgstream.shards.inspection.elements import (
    COLOURS,
    KEPT_COLOUR,
    LOST_COLOUR,
    clock,
    colour_key,
    sheet,
)
from surgstream.shards.inspection.figures import crop_figure, histogram_figure, timeline
from surgstream.shards.inspection.sprites import DROPPED_COLOUR, Sprite

_ENLARGED = (
    '<dialog id="enlarged"><canvas></canvas><p><button data-step="-1" title="left arrow">◀</button>'
    '<button data-step="1" title="right arrow">▶</button> <span></span> '
    '<button data-end="start">from here</button><button data-end="stop">to here</button>'
    "<button data-add>drop this stretch</button>"
    '<button data-close title="Escape">close</button></p></dialog>'
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """The section of a video that was packed, or dropped as a whole.

    Attributes:
        name: `DATASET/VIDEO`.
        reading: Report on reading the video.
        packed: The packed part of it, in words.
        seconds: Its length.
        warnings: Sentences about what a person should look at.
        strip: Its pictures over time.
        found: Pictures of each finding.
        crop: File of the picture that shows its crop, relative to the page; None without one.
        histogram: Histogram of its pictures; None where there are none.
        review: The decisions about it.
    """

    name: str
    reading: VideoReport
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
        title: The title.
        key: The corpus, and a text that changes with it. A browser remembers decisions under this key.
        facts: Sentences about the whole corpus.
        quarantine: Videos that could not be packed, and the decisions about them.
        sections: The videos.
    """
    folder = files("surgstream.shards.inspection")
    style = folder.joinpath("report.css").read_text()
    script = folder.joinpath("report.js").read_text()

    corpus, version = key
    yield (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n"
        f'<body data-corpus="{escape(corpus)}" data-version="{escape(version)}">\n'
        f"<header><h1>{escape(title)}</h1>\n"
        '<label><input type="checkbox" id="noted"> only videos with something to look at</label>\n'
        '<button class="main" id="save"></button>\n'
        '<p id="restored" hidden><span></span> <button>Forget them</button></p></header>\n<main>\n'
    )

    yield "".join(f"<p>{escape(fact)}</p>\n" for fact in facts)
    yield f"<p>{_legend()}</p>\n"

    for each, review in quarantine:
        warnings = f'<ul class="warnings"><li>not packed: {escape(each.reason)}</li></ul>\n'
        decisions = decision_table(f"{each.dataset}/{each.video}", (), review)
        yield f"{_heading(each.dataset, each.video)}{warnings}{decisions}</section>\n"
    for section in sections:
        yield "".join(_section(section))

    yield f'</main>\n{_ENLARGED}\n<template id="by-hand">{added_row()}</template>\n'
    yield f"<script>\n{script}</script>\n</body>\n</html>\n"


def _legend() -> str:
    colours = {"packed": KEPT_COLOUR, "dropped": DROPPED_COLOUR, "lost": LOST_COLOUR, **COLOURS}
    return " ".join(colour_key(colour, name.replace("_", " ")) for name, colour in colours.items())


def _section(section: Section) -> Iterator[str]:
    reading = section.reading
    plain = "" if section.warnings or reading.findings else ' class="plain"'
    yield _heading(reading.dataset, reading.video, plain)

    pixels = f"{reading.width}x{reading.height}"
    rate = "" if reading.fps is None else f", {reading.fps:g} a second"
    source = f"{reading.source}: {reading.codec} in {reading.container}, {pixels}{rate}"
    yield f"<p>{escape(source)}, {clock(section.seconds)}; {escape(section.packed)}</p>\n"

    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in section.warnings)
    if warnings:
        yield f'<ul class="warnings">{warnings}</ul>\n'

    yield timeline(reading, section.seconds)
    yield f'<div class="films">{"".join(map(_film, section.strip))}</div>\n'

    findings = zip(reading.findings, section.found, strict=True)
    yield (
        f'<div class="looks">{crop_figure(reading, section.crop)}'
        f"{histogram_figure(section.histogram)}"
        f"{decision_table(section.name, findings, section.review)}</div>\n</section>\n"
    )


def _heading(dataset: str, video: str, plain: str = "") -> str:
    name = escape(f"{dataset}/{video}")
    data = f'data-dataset="{escape(dataset)}" data-video="{escape(video)}"'
    return f'<section id="{name}" {data}{plain}>\n<h2>{name}</h2>\n'


def _film(sprite: Sprite) -> str:
    """Draw lines of pictures, each with the time of its first one before it."""
    firsts = "".join(f"<li>{clock(second)}</li>" for second in sprite.seconds[:: sprite.columns])
    pictures = sheet(sprite, "frames over time", "100%")
    return f'<div class="film"><ol>{firsts}</ol>{pictures}</div>\n'
