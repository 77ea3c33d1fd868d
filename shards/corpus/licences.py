"""Licences of datasets and weights, by their SPDX identifiers: what each says of commercial use."""

import re
from typing import Literal

CommercialUse = Literal["allowed", "forbidden", "unknown"]

_ALLOWED = (
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-2.0",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-2.0",
    "CC-BY-SA-2.5",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "CDLA-Sharing-1.0",
    "MIT",
    "ODC-By-1.0",
    "ODbL-1.0",
    "PDDL-1.0",
    "Unlicense",
)
"""The licences that are known to allow commercial use. One that is missing here is unknown, and may be added."""

_SPDX = {licence.lower(): licence for licence in _ALLOWED}

_CC_NC = re.compile(r"CC-BY-NC(-ND|-SA)?-\d\.\d")
"""The identifiers of Creative Commons' licences that forbid it."""

_FORBIDS = re.compile(
    r"\bnc\b|non-?commercial|(research|academic|educational|evaluation)-(use-)?only"
)
"""Words by which other licences say that they forbid it; between words stands a hyphen."""

_SPDX_PAGE = "https://spdx.org/licenses/{}.html"


def commercial_use(licence: str | None) -> CommercialUse:
    """What a licence says of commercial use.

    Args:
        licence: An SPDX identifier, or words in its place; None where none is stated.

    Returns:
        `unknown` where none is stated, or one that is not in the table.
    """
    if licence is None:
        return "unknown"

    words = _hyphenated(licence)
    if words in _SPDX:
        return "allowed"
    return "forbidden" if _FORBIDS.search(words) else "unknown"


def spdx_page(licence: str) -> str | None:
    """The page of a licence at SPDX; None where it is not known to have one."""
    words = _hyphenated(licence)
    if words in _SPDX:
        return _SPDX_PAGE.format(_SPDX[words])
    if _CC_NC.fullmatch(words.upper()):
        return _SPDX_PAGE.format(words.upper())
    return None


def _hyphenated(licence: str) -> str:
    """In small letters, with hyphens for blanks: `CC BY 4.0` is called CC-BY-4.0 as well."""
    return "-".join(licence.lower().split())
