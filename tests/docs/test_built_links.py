"""Links of the built site are found where they lead nowhere, and only there."""

from pathlib import Path

import pytest
from docs.extensions.built_links import broken

GOOD = [
    "other.html",
    "other.html#place",
    "#here",
    "folder/deep.html",
    "a%20picture.svg",
    "https://example.org/nowhere",
    "mailto:a@example.org",
    "other.html?q=1",
]
BAD = ["gone.html", "other.html#gone", "#gone", "folder", "folder/deep.html#here", "../other.html"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.html").write_text('<p id="place"></p>')
    (tmp_path / "folder" / "deep.html").write_text('<a href="../other.html#place">up</a>')
    (tmp_path / "a picture.svg").write_text("<svg/>")
    return tmp_path


@pytest.mark.parametrize("link", GOOD)
def test_a_link_that_leads_somewhere_is_not_told(site: Path, link: str) -> None:
    (site / "index.html").write_text(f'<a id="here" href="{link}">x</a>')
    assert not list(broken(site))


@pytest.mark.parametrize("link", BAD)
@pytest.mark.parametrize("tag", ['<a id="here" href="{}">', '<p id="here"><img src="{}">'])
def test_a_link_that_leads_nowhere_is_told(site: Path, link: str, tag: str) -> None:
    page = site / "index.html"
    page.write_text(tag.format(link))
    assert list(broken(site)) == [(page, link)]
