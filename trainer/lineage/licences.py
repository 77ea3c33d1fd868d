"""Whether the licences of all that weights descend from allow commercial use, as far as they are told."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.licences import commercial_use
from surgstream.trainer.lineage.ancestry import Ancestry, Corpus, Foreign
from surgstream.trainer.lineage.config import CommercialConfig
from surgstream.trainer.lineage.names import called
from surgstream.trainer.lineage.recording import THE_TEACHER


def refuse_noncommercial(ancestry: Ancestry, settings: CommercialConfig) -> None:
    """Refuse weights whose licences do not allow commercial use, where that is required.

    Args:
        ancestry: What they descend from.
        settings: Whether it is required, and licences that nothing else tells.

    Raises:
        ConfigError: A licence forbids it, is not known to allow it, or is not told.
    """
    problem = commercial_problem(ancestry, settings)
    if problem:
        raise ConfigError(problem)


def commercial_problem(ancestry: Ancestry, settings: CommercialConfig) -> str:
    """Say which licences do not allow commercial use; empty if it is not required, or all do. See above."""
    if not settings.required:
        return ""

    corpora = _of_corpora(ancestry.corpora, settings.stated)
    weights = _of_weights(ancestry.foreign, settings.stated)
    # Weights may have seen one corpus several times.
    found = dict.fromkeys([*corpora, *weights])
    if not found:
        return ""
    return (
        f"commercial: expected licences that are known to allow commercial use, got {'; '.join(found)}; leave "
        "these datasets out (data.datasets), begin with other weights, state what you know of those that tell "
        "none (commercial.stated.NAME=LICENCE), or set commercial=false"
    )


def _of_corpora(corpora: tuple[Corpus, ...], stated: Mapping[str, str]) -> Iterator[str]:
    # What was kept by a version before tells no licences, and another run's record of the same corpus may.
    told: dict[str, dict[str, str | None]] = defaultdict(dict)
    for corpus in corpora:
        told[corpus.manifest] |= {each.dataset: each.licence for each in corpus.licences}

    for corpus in corpora:
        licences = told[corpus.manifest]
        datasets = licences.keys() | {each.dataset for each in corpus.shown}
        if not datasets:
            yield f"{called(corpus)}, which tells none of its datasets"
        for dataset in sorted(datasets):
            licence = licences.get(dataset) or stated.get(dataset)
            if commercial_use(licence) != "allowed":
                yield f"{dataset} of {called(corpus)}, {_said(licence)}"


def _of_weights(weights: tuple[Foreign, ...], stated: Mapping[str, str]) -> Iterator[str]:
    for each in weights:
        name = each.name.removeprefix(THE_TEACHER)
        licence = stated.get(name)
        if commercial_use(licence) != "allowed":
            yield f"the weights {name}, {_said(licence)}"


def _said(licence: str | None) -> str:
    if licence is None:
        return "whose licence is not told"
    if commercial_use(licence) == "forbidden":
        return f"whose licence {licence} forbids it"
    return f"whose licence {licence} is not known to allow it"
