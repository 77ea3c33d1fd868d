"""The page of recipe keys says what the code says."""

from tests.recipe_keys import PAGE, page


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.recipe_keys"


def test_every_key_has_a_meaning() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert all(row[3].strip("| ") for row in rows)
