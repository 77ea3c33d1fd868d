"""The papers of a run, kept when it starts: in its directory, and in the state of its checkpoints."""

import hashlib
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from surgstream.configs.files import write_atomically
from surgstream.configs.loading import to_yaml
from surgstream.shards.storage.stores import Storage
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.lineage.ancestry import Ancestry
from surgstream.trainer.provenance.code import describe_code
from surgstream.trainer.provenance.corpora import (
    describe_ancestry,
    describe_corpus,
    describe_weights,
)
from surgstream.trainer.provenance.record import (
    PROVENANCE,
    UNKNOWN,
    Record,
    read_record,
    record_in,
    to_bytes,
    with_start,
)
from surgstream.trainer.provenance.surroundings import (
    describe_command,
    describe_site,
    describe_versions,
)

log = logging.getLogger(__name__)


class RunConfig(Protocol):
    """The configuration of a run."""

    @property
    def run_dir(self) -> str:
        """The run's directory."""

    @property
    def seed(self) -> int:
        """Its seed."""


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What a command knows of what its run is made of.

    Attributes:
        corpus: The corpus that it trains on.
        datasets: The datasets of it that it draws from.
        weights: The words that name weights in its recipe, by what they are for; none are random ones.
        ancestry: What its weights descend from, its own corpus among it.
    """

    corpus: Storage
    datasets: Collection[str]
    weights: Mapping[str, str] = field(default_factory=dict)
    ancestry: Ancestry


def keep_provenance(config: RunConfig, progress: Progress, made_of: Ingredients) -> Record:
    """Add a start to a run's record, and write it. A run does not fail for its papers: what fails is `unknown`.

    Rank 0 calls it, when the run directory is prepared.

    Args:
        config: The run's configuration.
        progress: Where the run stands; its state has the record of the checkpoint that it resumes from.
        made_of: What it is made of.

    Returns:
        The record, for its checkpoints.
    """
    path = Path(config.run_dir) / PROVENANCE
    before = read_record(path) or record_in(progress)
    setup = describe_setup(config, made_of, _digests(before))
    moment = {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "step": progress.step,
    }

    record = with_start(before, setup, moment)
    try:
        write_atomically(path, to_bytes(record))
    except OSError as error:
        log.warning("%s: cannot be written: %s; the run goes on", path, error.strerror or error)
    return record


def describe_setup(
    config: RunConfig, made_of: Ingredients, digests: Mapping[str, str | None]
) -> dict[str, Any]:
    """What a run is made of; what cannot be found out is `unknown`.

    Args:
        config: The run's configuration.
        made_of: What its command knows.
        digests: Digests of weights that are known already, by their names.
    """
    parts: dict[str, Callable[[], Any]] = {
        "code": describe_code,
        "recipe": lambda: {"sha256": hashlib.sha256(to_yaml(config).encode()).hexdigest()},
        "seed": lambda: config.seed,
        "corpus": lambda: describe_corpus(made_of.corpus, made_of.datasets),
        "weights": lambda: describe_weights(made_of.weights, digests),
        "descends_from": lambda: describe_ancestry(made_of.ancestry),
        "site": lambda: describe_site(os.environ),
        "versions": describe_versions,
        "command": lambda: describe_command(sys.argv),
    }
    return {name: _found(name, find) for name, find in parts.items()}


def _found(name: str, find: Callable[[], Any]) -> Any:
    """What is found out, or `unknown`, with a warning: whatever fails there, training does not depend on it."""
    try:
        return find()
    except Exception as error:
        log.warning("%s: %s is not known: %s", PROVENANCE, name, error)
        return UNKNOWN


def _digests(record: Record) -> dict[str, str | None]:
    """The digests of weights in earlier setups, by their names."""
    known = {}
    for setup in record["setups"]:
        weights = setup.get("weights")
        for found in weights.values() if isinstance(weights, dict) else ():
            if isinstance(found, dict) and isinstance(found.get("name"), str):
                known[found["name"]] = found.get("sha256")
    return known
