"""Links in Markdown, as the files of the repository are read on the web, lead to files and headings that are there."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = re.compile(r"`((?:trainer|shards|launch|configs|benchmarks|tests|docs)/[\w./-]+)`")
OF_OTHERS = {"CHANGELOG.md", "recipes_next.md"}
"""Pages that name files of the past, or of other repositories."""

LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")


def pages() -> list[Path]:
    words = ["git", "ls-files", "*.md"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def without_code(text: str) -> str:
    return re.sub(r"(?ms)^(```+).*?^\1$", "", text)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = without_code(page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ +(.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(page: Path) -> None:
    if page.name not in OF_OTHERS:
        named = PATH.findall(page.read_text(encoding="utf-8"))
        assert [path for path in named if not (ROOT / path).exists()] == []


def test_there_are_links_to_check() -> None:
    links = [link for page in pages() for link in LINK.findall(page.read_text(encoding="utf-8"))]
    assert len([link for link in links if not link.startswith("http")]) > 50
