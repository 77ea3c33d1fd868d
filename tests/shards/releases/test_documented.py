"""The table of releases in the documentation, and what the code reads."""

from pathlib import Path

from surgstream.shards.releases.registry import MODULES, find_release

PAGE = Path(__file__).parents[3] / "docs" / "evaluation.md"


def row(name: str) -> str:
    release = find_release(name)
    files = ", ".join(f"`{file}`" for file in release.layout)
    columns = ", ".join(f"`{column.name}`" for column in release.columns)
    return f"| `{name}` | {release.title} | {files} | {columns} |"


def test_each_release_has_its_row_and_no_other_has_one() -> None:
    _, _, table = PAGE.read_text().partition(
        "| release | title | files | columns |\n|---|---|---|---|\n"
    )
    rows, _, _ = table.partition("\n\n")
    assert rows.splitlines() == [row(name) for name in sorted(MODULES)]
