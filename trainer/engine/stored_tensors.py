"""The tensors in a checkpoint's files: their headers tell names and shapes, and only what is asked for is read."""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from surgstream.configs.files import open_regular
from surgstream.trainer.engine.checkpoint_files import read_state, unreadable

_FP32 = "F32"


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor in an open file.

    Attributes:
        kind: `param`, `exp_avg`, `exp_avg_sq` or `average`.
        name: The parameter that it belongs to.
        shape: Its shape.
        rows: The slices of its first dimension, which are read when they are taken.
        checkpoint: The checkpoint's directory.
    """

    kind: str
    name: str
    shape: torch.Size
    rows: Any
    checkpoint: Path

    def whole(self) -> Tensor:
        """Read all of it.

        Raises:
            CheckpointError: It cannot be read.
        """
        with _refusing_unreadable(self.checkpoint):
            tensor: Tensor = self.rows[...]
            return tensor

    def part(self, elements: range) -> Tensor:
        """Read some elements of the flattened tensor, and nothing of the file but the rows that they are in.

        Args:
            elements: The elements, one after the other; there may be none.

        Returns:
            (n,), fp32.

        Raises:
            CheckpointError: They cannot be read.
        """
        if not elements:
            return torch.empty(0)
        if not self.shape:
            return self.whole().flatten()

        row_elements = math.prod(self.shape[1:])
        first = elements.start // row_elements
        stop = -(-elements.stop // row_elements)
        with _refusing_unreadable(self.checkpoint):
            rows: Tensor = self.rows[first:stop]
        return rows.flatten().narrow(0, elements.start - first * row_elements, len(elements))


def stored_tensors(checkpoint: Path, kinds: Collection[str]) -> Iterator[StoredTensor]:
    """Go through the tensors of some kinds, in the files that the state names; each can be read until the next comes.

    Args:
        checkpoint: The checkpoint's directory.
        kinds: Of `param`, `exp_avg`, `exp_avg_sq` and `average`.

    Raises:
        CheckpointError: A file is missing or malformed, or a tensor is of another type than fp32.
    """
    for file in sorted(read_state(checkpoint)["files"]):
        with _refusing_unreadable(checkpoint):
            open_regular(checkpoint / file).close()
            with safe_open(checkpoint / file, framework="pt") as content:
                for key in content.keys():  # noqa: SIM118 - not a dictionary
                    kind, _, name = key.partition("/")
                    if kind not in kinds:
                        continue

                    rows = content.get_slice(key)
                    dtype = rows.get_dtype()
                    if dtype != _FP32:
                        raise unreadable(
                            checkpoint, f"{file}: {key}: expected {_FP32}, got {dtype}"
                        )
                    yield StoredTensor(
                        kind=kind,
                        name=name,
                        shape=torch.Size(rows.get_shape()),
                        rows=rows,
                        checkpoint=checkpoint,
                    )


@contextmanager
def _refusing_unreadable(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise unreadable(checkpoint, error) from None
