"""Once the site is built, every link within it must lead to a file that is there, and to a place in it."""

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)


class Page(HTMLParser):
    """What a page of HTML refers to, and its places.

    Attributes:
        links: Values of `href` and `src`.
        places: Ids of its elements.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's links and its id."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.places.add(value)


def broken(site: Path) -> Iterator[tuple[Path, str]]:
    """Find links that lead nowhere.

    Args:
        site: The folder of the built site.

    Yields:
        A page, and a link in it.
    """
    read = cache(Page)
    for path in sorted(site.rglob("*.html")):
        for link in dict.fromkeys(read(path).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue

            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            is_page = target.suffix == ".html"
            if not target.is_file() or (
                is_page and parts.fragment and unquote(parts.fragment) not in read(target).places
            ):
                yield path, link


def check(app: Sphinx, error: Exception | None) -> None:
    """Warn of each."""
    if error is None and app.builder.format == "html":
        site = Path(app.outdir)
        for path, link in broken(site):
            log.warning("%s: %s leads nowhere", path.relative_to(site), link)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
