"""What is published of others' weights: `configs/evaluate/known_weights.yaml`."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from surgstream import configs
from surgstream.configs.errors import ConfigError
from surgstream.configs.id_ranges import expand
from surgstream.configs.loading import load
from surgstream.configs.suggestions import did_you_mean
from surgstream.trainer.lineage.ancestry import Foreign

ALL = "*"

_FILE = "evaluate/known_weights.yaml"


@dataclass(frozen=True, kw_only=True)
class Family:
    """Weights of others that were trained on the same.

    Attributes:
        title: What they are called.
        source: Where it is published what they were trained on.
        datasets: The ids of videos that they were trained on, by dataset: ranges as `video[01-40]`, or `*` for all.
        unpublished: Why nothing can be told of other videos; empty where the source tells all.
        weights: Patterns of words that name such weights without a file.
        sha256: SHA-256 of files of such weights, in hexadecimal.
        notes: What else a reader should know.
    """

    title: str
    source: str
    datasets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unpublished: str = ""
    weights: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for dataset, ids in self.datasets.items():
            try:
                expand(ids)
            except ValueError as error:
                yield f"datasets.{dataset}: {error}"

    def holds(self, dataset: str, id: str) -> bool:
        """Whether they were trained on a video."""
        ids = self.datasets.get(dataset, ())
        return ALL in ids or id in expand(ids)


@dataclass(frozen=True, kw_only=True)
class KnownWeights:
    """The table.

    Attributes:
        families: Families by name.
    """

    families: dict[str, Family]


@cache
def known_families() -> dict[str, Family]:
    """All families by name."""
    return load(KnownWeights, Path(configs.__path__[0]) / _FILE).families


def family_of(weights: Foreign) -> Family | None:
    """The family of weights that do not tell what they descend from; None where it is not known.

    Raises:
        ConfigError: They are said to be of one that there is not.
    """
    check_known(weights.known_as)
    families = known_families()
    if weights.known_as is not None:
        return families[weights.known_as]

    for family in families.values():
        if weights.sha256 is not None and weights.sha256 in family.sha256:
            return family
        if any(fnmatch.fnmatchcase(weights.name, pattern) for pattern in family.weights):
            return family
    return None


def check_known(family: str | None) -> None:
    """Make sure that weights that are said to be of a family are of one that there is.

    Raises:
        ConfigError: There is no such family.
    """
    families = known_families()
    if family is not None and family not in families:
        raise ConfigError(
            f"known_as: expected one of {', '.join(families)}, got {family[:80]!r}"
            f"{did_you_mean(family, families)}"
        )
