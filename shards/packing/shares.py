"""Shares of a plan: the shards that each of many machines packs, decided without communication."""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PackingShare:
    """Share `number`, from 0 on, of `count` equal ones."""

    number: int
    count: int

    @staticmethod
    def parse(text: str) -> "PackingShare":
        """Parse `K/N`.

        Raises:
            ValueError: The text is something else.
        """
        match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or int(match[1]) >= int(match[2]):
            raise ValueError(f"expected K/N with K from 0 to N - 1, such as 0/4, got {text!r}")
        return PackingShare(int(match[1]), int(match[2]))

    def of(self, sizes: Sequence[int]) -> list[int]:
        """Select this share's pieces of work: the largest first, each goes to the share that has the least so far.

        Args:
            sizes: The amount of work in each piece.

        Returns:
            Numbers of pieces, ascending; every piece is in exactly one share.
        """
        # A heap of (work, number): the first one is the share with the least.
        shares = [(0, number) for number in range(self.count)]

        mine = []
        for piece in sorted(range(len(sizes)), key=lambda piece: -sizes[piece]):
            work, number = shares[0]
            heapq.heapreplace(shares, (work + sizes[piece], number))
            if number == self.number:
                mine.append(piece)

        return sorted(mine)
