"""The description of an exported encoder in its `config.json`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import read_text
from surgstream.configs.loading import build, to_tree
from surgstream.configs.ranges import LAST_DRAW, Range
from surgstream.trainer.data.augmentation.config import CropConfig
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig

CONFIG = "config.json"
TRANSFORMERS_KEY = "surgstream"
"""The key of our numbers in a `config.json` of transformers."""

LayoutName = Literal["surgstream", "transformers", "videomae", "surgvista", "vjepa2"]
"""The code that a folder is written for."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The findings when the folder was read again.

    Attributes:
        largest_difference: Largest difference of any feature of the check's clip from the training encoder's.
        read_by: The code that has read it.
    """

    largest_difference: Annotated[float, Range(0, 1)]
    read_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """The encoder's numbers, what its clips are like, and where it is from.

    Attributes:
        layout: The code that the folder is for.
        encoder: The network. `image_size` and `num_frames` are those of its clips.
        mean: Per channel, what is subtracted from pixels in [0, 1].
        std: Per channel, what they are then divided by.
        fps: Frames a second that its clips were cut at, `data.fps` of its recipe; null where that does not say.
        stride: Steps of such frames from one frame of a clip to the next.
        crop: The crop of training. Clips that are not trained on are cropped to the largest centred square.
        objective: The objective that it was trained with.
        weights: Whether this is the moving average of the encoder or the encoder itself.
        step: The step of the training.
        clips_seen: Until then.
        check: The findings when the folder was read again.
    """

    layout: LayoutName
    encoder: EncoderConfig
    mean: tuple[Annotated[float, Range(-1e3, 1e3)], ...]
    std: tuple[Annotated[float, Range(1e-6, 1e3)], ...]
    fps: Annotated[float, Range(1e-3, 1e4)] | None = None
    stride: Annotated[int, Range(1, 10**4)]
    crop: CropConfig
    objective: str
    weights: Literal["average", "trained"]
    step: Annotated[int, Range(0, 2**62)]
    clips_seen: Annotated[int, Range(0, LAST_DRAW)]
    check: Check | None = None

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        if len(self.mean) != 3 or len(self.std) != 3:
            yield f"mean and std: expected three numbers each, got {self.mean} and {self.std}"


def config_bytes(record: ExportRecord, theirs: dict[str, Any] | None = None) -> bytes:
    """The content of `config.json`.

    Args:
        record: Our numbers.
        theirs: transformers' numbers, among which ours then have a key of their own.
    """
    tree = to_tree(record)
    if theirs is not None:
        tree = {**theirs, TRANSFORMERS_KEY: tree}
    return (json.dumps(tree, indent=2) + "\n").encode()


def read_record(folder: Path) -> ExportRecord:
    """Read `config.json` back.

    Raises:
        ModelError: It is missing, or none of `surgstream export`'s.
    """
    path = folder / CONFIG
    try:
        tree = json.loads(read_text(path))
        # transformers' own config.json has our numbers under a key of their own.
        tree = tree.get(TRANSFORMERS_KEY, tree)
        return build(ExportRecord, tree, where=str(path))
    except OSError as error:
        raise ModelError(
            f"{path}: expected what surgstream export wrote, got: {error.strerror or error}"
        ) from None
    except (ValueError, AttributeError, RecursionError):
        raise ModelError(
            f"{path}: expected what surgstream export wrote, got no such JSON; export it again"
        ) from None
    except ConfigError as error:
        raise ModelError(f"{error}; export it again with this version") from None
