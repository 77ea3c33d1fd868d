"""Figures of one video on the report's page: its timeline, its crop and its histogram."""

from html import escape

from surgstream.shards.format.records import VideoReport
from surgstream.shards.inspection.colours import Histogram
from surgstream.shards.inspection.elements import COLOURS, KEPT_COLOUR, LOST_COLOUR, clock
from surgstream.shards.inspection.sprites import DROPPED_COLOUR


def timeline(reading: VideoReport, seconds: float) -> str:
    """Draw the packed stretches over the length of a video, and the findings above them."""
    length = max(seconds, 1e-3)

    def bar(
        start: float, stop: float | None, top: int, height: int, colour: str, title: str
    ) -> str:
        end = length if stop is None else stop
        left = 1000 * start / length
        width = max(1000 * (end - start) / length, 1)
        return (
            f'<rect x="{left:.2f}" y="{top}" width="{width:.2f}" height="{height}" '
            f'fill="{colour}">'
            f"<title>{escape(title)}: {clock(start)} to {clock(end)}</title></rect>"
        )

    bars = [bar(0, length, 12, 10, KEPT_COLOUR, "packed")]
    for span in reading.dropped:
        bars.append(bar(span.start, span.stop, 12, 10, DROPPED_COLOUR, "dropped"))
    for span in reading.lost:
        bars.append(bar(span.start, span.stop, 12, 10, LOST_COLOUR, "lost"))
    for each in reading.findings:
        # Writing is all over a video.
        if each.kind != "writing":
            bars.append(bar(each.start, each.stop, 0, 10, COLOURS[each.kind], each.kind))

    return (
        '<svg class="timeline" viewBox="0 0 1000 22" preserveAspectRatio="none">'
        f"{''.join(bars)}</svg>\n"
    )


def crop_figure(reading: VideoReport, picture: str | None) -> str:
    """Draw the crop of a video into a picture of it; empty where there is neither.

    Args:
        reading: The report on the video.
        picture: File of the picture, relative to the page.
    """
    crop = reading.crop
    if crop is None or picture is None:
        return ""

    # As shares, since the picture is shown at any size.
    width = crop.right - crop.left
    height = crop.bottom - crop.top
    sides = {
        "left": crop.left / reading.width,
        "top": crop.top / reading.height,
        "width": width / reading.width,
        "height": height / reading.height,
    }
    style = ";".join(f"{side}:{100 * share:.2f}%" for side, share in sides.items())

    return (
        f'<figure><span class="crop"><img loading="lazy" alt="the crop" src="{escape(picture)}">'
        f'<i style="{style}"></i></span>'
        f"<figcaption>cropped to {width}x{height}</figcaption></figure>"
    )


def histogram_figure(histogram: Histogram | None) -> str:
    """Draw a histogram; empty where there is none."""
    if histogram is None:
        return ""

    # Without the darkest and the brightest values: black borders would outdo all the rest.
    highest = max(max(channel[1:-1]) for channel in histogram) or 1
    lines = []
    for colour, counts in zip(("#cf222e", "#1a7f37", "#0969da"), histogram, strict=True):
        heights = [60 * min(1, count / highest) for count in counts]
        points = " ".join(f"{3 * at},{60 - height:.1f}" for at, height in enumerate(heights))
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )

    width = 3 * len(histogram[0])
    return (
        f'<figure><svg width="{2 * width}" height="90" viewBox="0 -2 {width} 64" role="img">'
        f"{''.join(lines)}</svg>"
        "<figcaption>red, green and blue, from dark to light</figcaption></figure>"
    )
