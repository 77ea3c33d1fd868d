"""From reports to problems: what differs between nodes, what does not suffice, and what to do about it."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from surgstream.trainer.preflight.judgement.decoding import decoding_problems
from surgstream.trainer.preflight.judgement.driver import driver_problems
from surgstream.trainer.preflight.judgement.gpus import gpu_problems
from surgstream.trainer.preflight.judgement.hardware import hardware_problems
from surgstream.trainer.preflight.judgement.node import node_problems
from surgstream.trainer.preflight.judgement.problems import (
    Problem,
    Requirements,
    gpus_in_words,
    nodes,
    skews,
    usual,
)
from surgstream.trainer.preflight.judgement.report import CheckFailure, NodeFacts, RankReport

CLOCK_SECONDS = 5.0
"""NTP keeps clocks within milliseconds. One that is seconds off has lost it and drifts on: log lines of nodes cannot be
laid side by side, and signed requests, whose time a store compares with its own, are refused in the end."""

MB_PER_SECOND_PER_GPU = 10.0
"""A GPU of the Hopper generation trains a ViT-B on some 300 clips a second, and a clip costs 24 kB to read."""

FULL_GPU = 0.9
"""The share of a GPU's memory that a step may take: decoding JPEG and NCCL need some as well."""


def find_problems(reports: Sequence[RankReport], needs: Requirements) -> list[Problem]:
    """Find all problems.

    Args:
        reports: The reports of all ranks, by rank.
        needs: The needs of the recipe.
    """
    facts = {report.rank: report.facts for report in reports if report.facts}
    found = list(_failures(reports))
    found += _odd_values(reports, facts)
    found += driver_problems(reports)
    found += _clocks(reports)
    found += gpu_problems(reports)

    for nodes_ranks in nodes(reports).values():
        own = [facts[report.rank] for report in nodes_ranks if report.facts]
        ranks = tuple(report.rank for report in nodes_ranks)
        if not own:
            continue
        for check, sentence, fatal in node_problems(own, len(ranks), len(reports), needs):
            found.append(
                Problem(check=check, sentence=sentence, ranks=ranks, fatal=fatal, of_node=True)
            )

    found += decoding_problems(reports)
    found += _speeds(reports)
    found += hardware_problems(reports)
    found += _memory(reports)
    if not any(problem.fatal for problem in found):
        found += _unchecked(reports, needs)
    return found


def _failures(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """The ranks' own failures, each sentence once."""
    ranks: dict[CheckFailure, list[int]] = {}
    for report in reports:
        for failure in report.failures:
            ranks.setdefault(failure, []).append(report.rank)

    for failure, where in ranks.items():
        yield Problem(
            check=failure.check,
            sentence=failure.sentence,
            ranks=tuple(where),
            fatal=failure.fatal,
            comes_again=failure.in_time,
            of_node=failure.of_node,
        )


def _odd_values(reports: Sequence[RankReport], facts: Mapping[int, NodeFacts]) -> Iterator[Problem]:
    """Versions, GPUs and manifests that most others do not have."""
    packages = itertools.chain.from_iterable(own.versions for own in facts.values())
    for name in dict.fromkeys(packages):
        values = {rank: own.versions.get(name, "none") for rank, own in facts.items()}
        yield from _odd(
            "versions",
            values,
            f"{name} %s where most have %s; one container image for all nodes helps",
        )

    gpus = {rank: gpus_in_words(own) for rank, own in facts.items()}
    yield from _odd(
        "GPUs",
        gpus,
        "%s where most have %s; the slowest decides for all, a missing one ends the run",
    )

    manifests = {report.rank: report.manifest for report in reports if report.manifest}
    yield from _odd(
        "corpus",
        manifests,
        "manifest %s where most have %s; all nodes must read one corpus, so copy it again",
    )


def _odd(check: str, values: Mapping[int, str], sentence: str) -> Iterator[Problem]:
    most = usual(values.values()) if values else ""
    for value in dict.fromkeys(values.values()):
        if value != most:
            ranks = tuple(rank for rank, found in values.items() if found == value)
            yield Problem(check=check, sentence=sentence % (value, most), ranks=ranks, of_node=True)


def _clocks(reports: Sequence[RankReport]) -> Iterator[Problem]:
    far = {rank: skew for rank, skew in skews(reports).items() if abs(skew) > CLOCK_SECONDS}
    for node, own in nodes(reports).items():
        off = {report.rank: far[report.rank] for report in own if report.rank in far}
        if not off:
            continue
        yield Problem(
            check="clock",
            sentence=f"the clock of {node} is {fmean(off.values()):+.1f} s from rank 0's, "
            f"expected less than {CLOCK_SECONDS:g}; start its time service (chronyd, ntpd), "
            "or signed requests will be refused",
            ranks=tuple(off),
            of_node=True,
        )


def _speeds(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """Stores that are too slow for GPUs."""
    on_gpus = [report for report in reports if report.facts and report.facts.gpus]
    have_read = [report for report in on_gpus if report.mb_per_second is not None]
    for node, own in nodes(have_read).items():
        speed = sum(report.mb_per_second or 0.0 for report in own)
        least = MB_PER_SECOND_PER_GPU * len(own)
        if speed < least:
            yield Problem(
                check="store",
                sentence=f"{node} reads {speed:.0f} MB/s, {len(own)} GPUs may want {least:.0f}; "
                "raise data.read.threads, set data.cache_dir, or stage the corpus nearer",
                ranks=tuple(report.rank for report in own),
                fatal=False,
            )


def _memory(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """GPUs that a step fills."""
    full = []
    for report in reports:
        if report.step and report.step.peak_gib > FULL_GPU * report.step.gib:
            full.append(report.rank)
    if full:
        yield Problem(
            check="step",
            sentence=f"a step takes over {FULL_GPU:.0%} of the GPU's memory, and decoding needs "
            "some as well; lower micro_batch_size",
            ranks=tuple(full),
            fatal=False,
        )


def _unchecked(reports: Sequence[RankReport], needs: Requirements) -> Iterator[Problem]:
    """Ranks that lack a value although nobody failed: silence is no consent."""
    lacking: dict[str, Callable[[RankReport], bool]] = {
        "versions": lambda report: report.facts is None,
        "clock": lambda report: report.clock is None,
        "corpus": lambda report: report.manifest is None,
        "store": lambda report: report.mb_per_second is None,
        "run_dir": lambda report: report.shared is None,
        "network": lambda report: report.bus_gb_per_second is None,
        "step": lambda report: needs.with_step and report.step is None,
    }
    for check, lacks in lacking.items():
        ranks = tuple(report.rank for report in reports if lacks(report))
        if ranks:
            sentence = "not checked in time; run again"
            yield Problem(check=check, sentence=sentence, ranks=ranks, comes_again=False)
