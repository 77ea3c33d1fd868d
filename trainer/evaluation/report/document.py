"""An HTML file that needs no other, in the style of all pages of results."""

from html import escape
from importlib.resources import files


def whole_page(title: str, body: str) -> str:
    """The content of an HTML file.

    Args:
        title: Of the window, as text.
        body: HTML.
    """
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n<body>\n{body}</body>\n</html>\n"
    )
