"""What a run was made of: its corpus, in numbers and licences, and the weights that it began with."""

from collections.abc import Collection, Mapping
from typing import Any

from surgstream.shards.format.first_sample import licence_in
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.storage.base import without_secrets
from surgstream.shards.storage.stores import Storage
from surgstream.trainer.encoders.config import RANDOM
from surgstream.trainer.lineage.ancestry import Ancestry
from surgstream.trainer.lineage.reading import digest_of


def describe_corpus(storage: Storage, datasets: Collection[str]) -> dict[str, Any]:
    """The digest, address, hours and licences of a corpus, without names of videos.

    Args:
        storage: Where it lies.
        datasets: The datasets that are trained on; others do not count.

    Raises:
        ShardError: It cannot be read.
    """
    file = ManifestFile.load(storage)
    rows: dict[str, dict[str, Any]] = {}
    for shard in file.shards():
        if shard.dataset not in datasets:
            continue

        if shard.dataset not in rows:
            licence = licence_in(storage, shard.name)
            rows[shard.dataset] = {
                "name": shard.dataset,
                "specialty": shard.specialty,
                "licence": licence,
                "videos": 0,
                "hours": 0.0,
            }
        row = rows[shard.dataset]
        row["videos"] += len(shard.videos)
        row["hours"] += shard.seconds / 3600

    for row in rows.values():
        row["hours"] = round(row["hours"], 4)
    return {
        "address": without_secrets(storage.uri),
        "manifest": file.sha256,
        "hours": round(sum(row["hours"] for row in rows.values()), 4),
        "datasets": [rows[name] for name in sorted(rows)],
    }


def describe_weights(
    weights: Mapping[str, str], known: Mapping[str, str | None]
) -> dict[str, dict[str, str | None]]:
    """The names and digests of weights, by what they are for.

    Args:
        weights: The words that name them in the recipe.
        known: Digests that an earlier start has found: what it began with need not be there any more, and reading it
            again takes time.
    """
    found: dict[str, dict[str, str | None]] = {}
    for use, word in weights.items():
        if word == RANDOM:
            found[use] = {"name": RANDOM}
            continue

        name = without_secrets(word)
        sha256 = known[name] if name in known else digest_of(word)
        found[use] = {"name": name, "sha256": sha256}
    return found


def describe_ancestry(ancestry: Ancestry) -> dict[str, Any]:
    """What weights descend from, without the ids of videos, which checkpoints keep."""
    corpora = []
    for corpus in ancestry.corpora:
        names = {each.dataset for each in corpus.shown} | {each.dataset for each in corpus.licences}
        corpora.append({"manifest": corpus.manifest, "datasets": sorted(names)})
    weights = [
        {"name": each.name, "sha256": each.sha256, "known_as": each.known_as}
        for each in ancestry.foreign
    ]
    return {"corpora": corpora, "weights": weights}
