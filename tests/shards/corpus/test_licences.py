"""Licences: what is known to allow commercial use is a list, and nothing else passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.corpus.licences import commercial_use, spdx_page


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-4.0", "allowed"),
        ("cc by 4.0", "allowed"),
        ("CC0-1.0", "allowed"),
        ("Apache-2.0", "allowed"),
        ("CC-BY-NC-4.0", "forbidden"),
        ("CC-BY-NC-SA-4.0", "forbidden"),
        ("CC BY-NC-ND 3.0", "forbidden"),
        ("PolyForm-Noncommercial-1.0.0", "forbidden"),
        ("for research only", "forbidden"),
        ("Research-Use-Only", "forbidden"),
        ("non-commercial use", "forbidden"),
        ("CC-BY-4.0 OR CC-BY-NC-4.0", "forbidden"),
        ("CC-BY-4.0 AND something", "unknown"),
        ("CC-BY-5.0", "unknown"),
        ("CC-BY-ND-4.0", "unknown"),
        ("on request", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_commercial_use(licence: str | None, expected: str) -> None:
    assert commercial_use(licence) == expected


@given(st.text(max_size=40))
def test_whatever_is_said_beside_an_nc_forbids(text: str) -> None:
    assert commercial_use(f"{text}-NC-4.0") in ("forbidden", "unknown")
    assert commercial_use(f"{text} NC {text}") == "forbidden"


def test_pages_are_those_of_spdx() -> None:
    assert spdx_page("cc by-nc-sa 4.0") == "https://spdx.org/licenses/CC-BY-NC-SA-4.0.html"
    assert spdx_page("ODBL-1.0") == "https://spdx.org/licenses/ODbL-1.0.html"
    assert spdx_page("of our own") is None
