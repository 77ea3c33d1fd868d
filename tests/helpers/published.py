"""Files of weights as others publish them: names and shapes, frozen, and made-up weights of exactly these."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

FOLDER = Path(__file__).parent.parent / "trainer" / "models" / "published"
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Published:
    """A file as `tests/trainer/models/published/NAME.yaml` says.

    Attributes:
        what: Which file, and how its names were found.
        source: The public repository whose code has them.
        commit: Its state.
        keys: Of the file, those that hold a network each; the first words of names.
        tensors: Names and shapes.
    """

    what: str
    source: str
    commit: str
    keys: tuple[str, ...]
    tensors: dict[str, tuple[int, ...]]

    def content(self, device: str = "meta") -> dict[str, Any]:
        """What such a file holds; each tensor is one number in memory, none on the meta device."""
        content: dict[str, Any] = {key: {} for key in self.keys}
        for name, shape in self.tensors.items():
            tensor: Tensor = torch.zeros((), device=device).expand(shape)
            key, _, rest = name.partition(".")
            if key in self.keys:
                content[key][rest] = tensor
            else:
                content[name] = tensor
        return content


def published(name: str) -> Published:
    """A frozen file; `{0..11}` in a name stands for twelve of them."""
    tree = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    tensors = {
        expanded: tuple(shape)
        for pattern, shape in tree.pop("tensors").items()
        for expanded in _expand(pattern)
    }
    return Published(**tree | {"keys": tuple(tree["keys"])}, tensors=tensors)


def _expand(pattern: str) -> list[str]:
    if not (found := _NUMBERS.search(pattern)):
        return [pattern]
    return [
        _NUMBERS.sub(str(number), pattern) for number in range(int(found[1]), int(found[2]) + 1)
    ]
