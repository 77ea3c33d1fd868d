"""The networks of a temporal readout, one for each learning rate and seed, as files that outlive a kill."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from surgstream.configs.files import open_regular, write_atomically
from surgstream.configs.loading import to_tree
from surgstream.trainer.readouts.config import TemporalConfig
from surgstream.trainer.readouts.rows import VideoRows

log = logging.getLogger(__name__)

_FOLDER = "networks"
_ABOUT = "about"


class Cell(NamedTuple):
    """A network of the grid."""

    lr: float
    seed: int


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that was trained.

    Attributes:
        score: The task's main metric on the validation videos; NaN where there are none, or it diverged.
        weights: Its weights by name; none where it diverged.
    """

    score: float
    weights: Mapping[str, Tensor]


def cells_of(config: TemporalConfig) -> Iterator[Cell]:
    """The grid, learning rate by learning rate."""
    for lr in config.lrs:
        for seed in config.seeds:
            yield Cell(lr, seed)


class Cells:
    """Files of trained networks.

    Args:
        run_dir: The run's directory.
        of: What decides the networks, beside learning rate and seed; a file of another is as good as none.
    """

    def __init__(self, run_dir: Path, of: str) -> None:
        self._folder = run_dir / _FOLDER
        self._of = of

    def save(self, cell: Cell, trained: Trained) -> None:
        """Keep a network, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # One entry, as several would be written in any order.
        about = json.dumps([self._of, repr(trained.score)])
        weights = {name: tensor.contiguous() for name, tensor in trained.weights.items()}
        write_atomically(self._path(cell), save(weights, {_ABOUT: about}), durable=True)

    def load(self, cell: Cell) -> Trained | None:
        """A network that was kept; None where there is none, or its file is damaged or of something else."""
        path = self._path(cell)
        try:
            open_regular(path).close()
            with safe_open(path, framework="pt") as content:
                of, score = json.loads((content.metadata() or {})[_ABOUT])
                weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            found = Trained(float(score), weights)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            log.warning("%s: %s; the network is trained again", path, error)
            return None
        return found if of == self._of else None

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"lr_{cell.lr!r}_seed_{cell.seed}.safetensors"


def fingerprint(
    config: TemporalConfig, seed: int, features: str, videos: Sequence[Sequence[VideoRows]]
) -> str:
    """SHA-256 of what decides the networks of a grid beside learning rate and seed, in hexadecimal.

    Args:
        config: The readout.
        seed: The run's seed.
        features: The key of the features.
        videos: The rows of training and of validation.
    """
    tree = to_tree(config)
    # More of these are more networks, and no others.
    del tree["lrs"], tree["seeds"]
    hashed = hashlib.sha256(json.dumps([tree, seed, features], sort_keys=True).encode())
    for split in videos:
        for video in split:
            hashed.update(repr((video.video, video.truth.shape)).encode())
            hashed.update(video.seconds.tobytes())
            hashed.update(video.truth.tobytes())
    return hashed.hexdigest()
