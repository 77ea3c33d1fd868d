"""The networks of a file of weights: prefixes of tensors' names, and others' names for averages.

A file may hold one network, bare or in any wrapping (`model`, `state_dict`, `module.`, `teacher.backbone.`), or several
next to each other. A network is known by one weight that it has for certain, its anchor. Everything before the anchor's
name, keys of the file and beginnings of names alike, is the network's prefix.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.files import States, read_states

log = logging.getLogger(__name__)

# Names of moving averages of weights, the surest one first
AVERAGES = (
    "teacher",
    "target_encoder",
    "ema_encoder",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
)
_SHOWN = 4


@dataclass(frozen=True)
class Network:
    """One network of a file.

    Attributes:
        prefix: The beginning of its names there.
        weights: Its weights, by the names that its own code gives them.
    """

    prefix: str
    weights: dict[str, Tensor]

    @property
    def rank(self) -> int | None:
        """The name of an average that is in the prefix; None without one."""
        words = self.prefix.split(".")
        return next((rank for rank, name in enumerate(AVERAGES) if name in words), None)


@dataclass(frozen=True)
class NetworkInFile:
    """A network that files hold on its own.

    Attributes:
        anchor: A weight that it has for certain, by the name that its own code gives it.
        within: The beginning of its names where it is a part of a larger model.
    """

    anchor: str
    within: str = ""

    def named(self, network: Network) -> dict[str, Tensor]:
        """The weights of such a network by their names in the larger model."""
        return {f"{self.within}{name}": tensor for name, tensor in network.weights.items()}


class WeightsFile:
    """A file that holds networks.

    Args:
        path: A .safetensors, .pth or .pt file, or a folder with a `model.safetensors`.
        setting: Its section, for messages: `teacher` for `teacher.weights` and `teacher.prefix`; None where
            a folder of ours does.
        prefix: The beginning of the names of the network that is meant, or its first words; None is any.
        where: The setting that names the file, where that is not `weights` of its section.

    Raises:
        ModelError: See `read_states`.
    """

    def __init__(
        self,
        path: Path,
        setting: str | None,
        prefix: str | None = None,
        *,
        where: str | None = None,
    ) -> None:
        self.path = path
        self.setting = setting
        self.prefix = prefix
        where = where or (f"{setting}.weights" if setting else "weights")
        self.states: States = read_states(path, where=where)

    def network(self, anchor: str, whose: str, *, averaged: bool = False) -> Network:
        """The network that has a weight.

        Args:
            anchor: That weight, by the name that the network's own code gives it.
            whose: The network's name in messages.
            averaged: Whether to take an average where there is one; else only where there is nothing else.

        Raises:
            ModelError: There is none, or none is more likely to be meant than another; does not say in which file.
        """
        found = self.networks(anchor)
        if not found:
            raise ModelError(self._nothing(anchor, whose))

        plain = [network for network in found if network.rank is None]
        averages = _surest(found)
        wanted, others = (averages, plain) if averaged else (plain, averages)
        chosen = self._one(wanted or others)

        if len(found) > 1:
            prefixes = _listed(network.prefix for network in found)
            log.info("%s: takes %r of %s", self.path, chosen.prefix, prefixes)
        return chosen

    def average(self, anchor: str) -> Network | None:
        """The average of the network that has a weight; None where the file has none.

        Raises:
            ModelError: See `network`.
        """
        averages = _surest(self.networks(anchor))
        return self._one(averages) if averages else None

    def networks(self, anchor: str) -> list[Network]:
        """All networks that have a weight, where they are not left out by the prefix."""
        found = self._all(anchor)
        if self.prefix is None:
            return found
        start = _closed(self.prefix)
        exact = [network for network in found if network.prefix == start]
        return exact or [network for network in found if network.prefix.startswith(start)]

    def _one(self, chosen: list[Network]) -> Network:
        if len(chosen) > 1:
            prefixes = _listed(network.prefix for network in chosen)
            advice = f"; set {self.setting}.prefix to one" if self.setting else ""
            raise ModelError(f"expected one network, got those behind {prefixes}{advice}")
        return chosen[0]

    def _all(self, anchor: str) -> list[Network]:
        found = []
        for keys, tensors in self.states.items():
            anchors = [name for name in tensors if name == anchor or name.endswith(f".{anchor}")]
            starts = [name.removesuffix(anchor) for name in anchors]
            for start in starts:
                # A network whose prefix goes on from this one's is another one
                longer = [other for other in starts if other.startswith(start) and other != start]

                weights = {}
                for name, tensor in tensors.items():
                    if name.startswith(start) and not name.startswith(tuple(longer)):
                        weights[name.removeprefix(start)] = tensor
                found.append(Network(f"{keys}{start}", weights))
        return found

    def _nothing(self, anchor: str, whose: str) -> str:
        others = self._all(anchor)
        if others:
            prefixes = _listed(network.prefix for network in others)
            return f"expected {self.setting}.prefix to be one of {prefixes}, got {self.prefix!r}"

        words: list[str] = []
        for keys, names in self.states.items():
            words += [f"{keys}{name.partition('.')[0]}" for name in names]
        starts = _listed(words)
        return (
            f"expected the weights of {whose}, {anchor} among them, got names that begin with "
            f"{starts}"
        )


def differences_between(given: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> Iterator[str]:
    """What keeps weights from their places, one difference at a time: other shapes, missing ones, ones too many."""
    for name, tensor in given.items():
        if name in places and places[name].shape != tensor.shape:
            expected = tuple(places[name].shape)
            yield f"{name} has the shape {tuple(tensor.shape)}, not {expected}"

    for name in places:
        if name not in given:
            yield f"{name} is missing"
    for name in given:
        if name not in places:
            yield f"{name} has no place"


def _closed(prefix: str) -> str:
    """The prefix with the dot that ends it, unless it is empty."""
    return f"{prefix.rstrip('.')}." if prefix else ""


def _surest(found: list[Network]) -> list[Network]:
    """The averages among networks whose name is the surest one."""
    ranks = [network.rank for network in found if network.rank is not None]
    return [network for network in found if ranks and network.rank == min(ranks)]


def _listed(words: Iterable[str]) -> str:
    """Each word once, the first few of them."""
    each = [repr(word) for word in dict.fromkeys(words)]
    shown = ", ".join(each[:_SHOWN])
    if len(each) <= _SHOWN:
        return shown
    return f"{shown} and {len(each) - _SHOWN} more"
