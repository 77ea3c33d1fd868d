"""What a corpus file tells of its corpus for `croissant.json`, beside what packing finds out itself.

about:
name: Our cholecystectomies
url: https://example.org/corpus
creators: [A hospital]
published: "2026-05-01"
collection: Recorded in two hospitals from 2019 to 2024, with consent.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True, kw_only=True)
class AboutConfig:
    """What only its makers know of a corpus. All of it is meant for everybody: it goes into `croissant.json` as it is.

    Attributes:
        name: The name of the corpus.
        description: What it is, in a few sentences.
        url: Its page.
        creators: The organizations that made it.
        published: The day on which it was published, such as `"2026-05-01"`.
        version: Its version, such as `1.0.0`.
        citation: How to cite it.
        collection: How its videos were recorded and chosen (`rai:dataCollection`).
        sensitive: What it tells of people (`rai:personalSensitiveInformation`).
        limitations: What it is not good for (`rai:dataLimitations`).
        biases: What it has too much or too little of (`rai:dataBiases`).
        use_cases: What it is meant for (`rai:dataUseCases`).
    """

    name: str | None = None
    description: str | None = None
    url: str | None = None
    creators: tuple[str, ...] = ()
    published: str | None = None
    version: str | None = None
    citation: str | None = None
    collection: str | None = None
    sensitive: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            yield f"url: expected https://..., got {self.url!r}"
        if self.version is not None and not _VERSION.fullmatch(self.version):
            yield f"version: expected MAJOR.MINOR.PATCH, such as 1.0.0, got {self.version!r}"
        try:
            date.fromisoformat(self.published or "2000-01-01")
        except ValueError:
            yield f"published: expected a day, such as '2026-05-01', got {self.published!r}"
