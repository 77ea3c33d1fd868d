"""The same videos under the names that other datasets have for them."""

import re
from dataclasses import dataclass

FIELD = "{n}"


@dataclass(frozen=True)
class Alias:
    """Two patterns of ids, each with `{n}` where the part goes that both have in common.

    Attributes:
        there: Ids of the other dataset.
        here: Ids of the task's.
    """

    there: str
    here: str

    @staticmethod
    def parse(text: str) -> "Alias":
        """Read `THERE = HERE`, such as `VID{n} = video{n}`; ValueError where it is none."""
        there, equals, here = (part.strip() for part in text.partition("="))
        if not equals or there.count(FIELD) != 1 or here.count(FIELD) != 1:
            raise ValueError(f"expected two ids such as 'VID{{n}} = video{{n}}', got {text!r}")
        return Alias(there, here)

    def from_there(self, id: str) -> str | None:
        """The task's id of a video of the other dataset; None where the pattern is not its."""
        return _translated(id, self.there, self.here)

    def from_here(self, id: str) -> str | None:
        """The other dataset's id of a video of the task; None where the pattern is not its."""
        return _translated(id, self.here, self.there)


def _translated(id: str, pattern: str, into: str) -> str | None:
    before, _, after = map(re.escape, pattern.partition(FIELD))
    match = re.fullmatch(f"{before}(.+){after}", id)
    return into.replace(FIELD, match[1]) if match else None
