"""What a label says, from its text to the numbers that metrics take."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.labels.config import Kind, LabelFilesConfig
from surgstream.shards.labels.tables import finite

Value = int | float | tuple[int, ...]
"""The number of a class, a number, or the numbers of several classes."""


@dataclass(frozen=True, kw_only=True)
class LabelValues:
    """What labels there may be.

    Attributes:
        kind: What a label is.
        classes: Names of the C classes, in order; empty for numbers.
    """

    kind: Kind
    classes: tuple[str, ...] = ()

    def read(self, text: str, config: LabelFilesConfig) -> Value | None:
        """What the text of a label says; None where it says that there is none.

        An empty text that is not among the unlabelled ones is no class at all where a label is of any number of them.

        Raises:
            ValueError: It is none of the classes, or no finite number.
        """
        if text in config.unlabelled:
            return None
        if self.kind == "class":
            return self._number_of(text)
        if self.kind == "multilabel":
            names = text.split(config.separator) if text else []
            return tuple(self._number_of(name) for name in names)

        try:
            return finite(text)
        except ValueError:
            raise ValueError(f"expected a finite number, got {text!r}") from None

    def stack(self, values: Sequence[Value | None]) -> npt.NDArray[Any]:
        """Labels as metrics take them; 0, no class, or NaN where there is none.

        Returns:
            Of classes (n,) int64; of multilabel (n, C) bool; of numbers (n,) float64.
        """
        if self.kind == "class":
            return np.array([value or 0 for value in values], np.int64)
        if self.kind == "number":
            return np.array([np.nan if value is None else value for value in values], np.float64)

        truth = np.zeros((len(values), len(self.classes)), bool)
        for row, numbers in zip(truth, values, strict=True):
            if isinstance(numbers, tuple):
                row[list(numbers)] = True
        return truth

    def _number_of(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            hint = did_you_mean(name, self.classes)
            raise ValueError(f"expected a class of the task, got {name[:80]!r}{hint}")
        return number

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}
