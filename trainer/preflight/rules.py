"""From reports to problems: what differs between nodes, what does not suffice, and what to do about it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from surgstream.trainer.preflight.report import NodeFacts, RankReport

CLOCK_SECONDS = 5.0
"""NTP keeps clocks within milliseconds. One that is seconds off has lost it and drifts on: log lines of nodes cannot be
laid side by side, and signed requests, whose time a store compares with its own, are refused in the end."""

SHM_GIB_PER_RANK = 1 / 16
"""NCCL's buffers between GPUs of a node; containers often come with 64 MiB in all."""

MB_PER_SECOND_PER_GPU = 10.0
"""A GPU of the Hopper generation trains a ViT-B on some 300 clips a second, and a clip costs 24 kB to read."""

BUS_GB_PER_SECOND = 5.0
"""Between nodes, InfiniBand gives tens and more, TCP over common Ethernet less than this."""

FULL_GPU = 0.9
"""The share of a GPU's memory that a step may take: decoding JPEG and NCCL need some as well."""

_THREADS_PER_RANK = 256
_FILES_PER_PEER = 4
_OTHER_FILES = 256


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something to mend.

    Attributes:
        check: The column of the table.
        sentence: What is wrong and what to do.
        ranks: Where.
        fatal: Whether a run cannot, or must not, start.
    """

    check: str
    sentence: str
    ranks: tuple[int, ...]
    fatal: bool = True


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The needs of a recipe.

    Attributes:
        checkpoint_gib: One checkpoint.
        checkpoints: How many there are at most at a time, the one that is being written included.
        cache_gib: What the cache may hold, for one node.
        with_step: Whether a step of the model was to be taken.
    """

    checkpoint_gib: float
    checkpoints: int
    cache_gib: float
    with_step: bool


def judge(reports: Sequence[RankReport], needs: Needs) -> list[Problem]:
    """Find all problems.

    Args:
        reports: Of the ranks, by rank.
        needs: What the recipe needs.
    """
    facts = {report.rank: report.facts for report in reports if report.facts}
    found = list(_failures(reports))
    found += _odd_values(reports, facts)
    found += _clocks(reports)

    for nodes_ranks in nodes(reports).values():
        own = [facts[report.rank] for report in nodes_ranks if report.facts]
        ranks = tuple(report.rank for report in nodes_ranks)
        if own:
            # Space and limits are the node's: one of its ranks speaks for all.
            space = (
                *_space(own[0], len(ranks), needs),
                *_limits(own[0], len(ranks), len(reports)),
                *_gpus(own),
            )
            found += [
                Problem(check=check, sentence=said, ranks=ranks, fatal=fatal)
                for check, said, fatal in space
            ]

    found += _speeds(reports)
    if not any(problem.fatal for problem in found):
        found += _unchecked(reports, needs)
    return found


def verdict(problems: Sequence[Problem]) -> str:
    """`go` or `no go: N problems`."""
    number = sum(problem.fatal for problem in problems)
    return f"no go: {number} problem{'s' if number > 1 else ''}" if number else "go"


def nodes(reports: Iterable[RankReport]) -> dict[str, list[RankReport]]:
    """The reports by node, in the order of their ranks."""
    found: dict[str, list[RankReport]] = {}
    for report in reports:
        found.setdefault(report.node, []).append(report)
    return found


def usual(values: Iterable[str]) -> str:
    """The value that most have; the first one where several are equally common."""
    return Counter(values).most_common(1)[0][0]


def _failures(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """The ranks' own failures, each sentence once."""
    ranks: dict[tuple[str, str], list[int]] = {}
    for report in reports:
        for failure in report.failures:
            ranks.setdefault((failure.check, failure.sentence), []).append(report.rank)
    for (check, sentence), where in ranks.items():
        yield Problem(check=check, sentence=sentence, ranks=tuple(where))


def _odd_values(reports: Sequence[RankReport], facts: Mapping[int, NodeFacts]) -> Iterator[Problem]:
    """Versions, GPUs and manifests that most others do not have."""
    for name in dict.fromkeys(name for own in facts.values() for name in own.versions):
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
        "manifest %s where most have %s; all nodes must read one corpus, so copy it anew",
    )


def _odd(check: str, values: Mapping[int, str], sentence: str) -> Iterator[Problem]:
    most = usual(values.values()) if values else ""
    for value in dict.fromkeys(values.values()):
        if value != most:
            ranks = tuple(rank for rank, found in values.items() if found == value)
            yield Problem(check=check, sentence=sentence % (value, most), ranks=ranks)


def gpus_in_words(facts: NodeFacts) -> str:
    """The GPU that a rank has, such as `NVIDIA H800 80 GiB`."""
    own = next((gpu for gpu in facts.gpus if gpu.uuid == facts.own_gpu), None)
    return f"{own.name} {own.gib:.0f} GiB" if own else "no GPU"


def skews(reports: Sequence[RankReport]) -> dict[int, float]:
    """Seconds by which the ranks' clocks are ahead of rank 0's."""
    here = next((report.clock for report in reports if report.rank == 0), None)
    return {r.rank: r.clock - here for r in reports if r.clock is not None and here is not None}


def _clocks(reports: Sequence[RankReport]) -> Iterator[Problem]:
    found = skews(reports)
    for node, own in nodes(reports).items():
        off = {
            report.rank: found[report.rank]
            for report in own
            if abs(found.get(report.rank, 0.0)) > CLOCK_SECONDS
        }
        if off:
            yield Problem(
                check="clock",
                sentence=f"the clock of {node} is {fmean(off.values()):+.1f} s from rank 0's, expected less than "
                f"{CLOCK_SECONDS:g}; start its time service (chronyd, ntpd), or signed requests will be refused",
                ranks=tuple(off),
            )


_Verdicts = Iterator[tuple[str, str, bool]]
"""Check, sentence, and whether it forbids a run."""


def _space(facts: NodeFacts, num_ranks: int, needs: Needs) -> _Verdicts:
    checkpoints = needs.checkpoint_gib * needs.checkpoints
    if facts.run_dir_gib < checkpoints:
        yield (
            "disk",
            f"run_dir has {facts.run_dir_gib:.1f} GiB free, {needs.checkpoints} checkpoints take {checkpoints:.1f}; "
            "free some, or lower checkpoint.keep_last",
            facts.run_dir_gib < needs.checkpoint_gib,  # with room for one a run can begin
        )

    if facts.cache_gib is not None and facts.cache_gib < needs.cache_gib:
        yield (
            "cache",
            f"data.cache_dir has room for {facts.cache_gib:.0f} GiB, data.cache_bytes are {needs.cache_gib:.0f}; what "
            "does not fit is read from the store in every epoch",
            False,
        )

    least = SHM_GIB_PER_RANK * num_ranks
    if len(facts.gpus) > 1 and num_ranks > 1 and facts.shm_gib < least:
        yield (
            "shm",
            f"/dev/shm has {facts.shm_gib:.2f} GiB free, NCCL needs {least:.2f} for {num_ranks} ranks; start the "
            "container with a larger one (--shm-size=8g)",
            True,
        )


def _limits(facts: NodeFacts, num_ranks: int, world_size: int) -> _Verdicts:
    files = _OTHER_FILES + _FILES_PER_PEER * world_size
    threads = _THREADS_PER_RANK * num_ranks
    # A limit of -1 is none.
    if 0 <= facts.nofile < files:
        yield (
            "limits",
            f"nofile is {facts.nofile}, expected {files} for the sockets between {world_size} ranks; set `ulimit -n "
            f"{max(files, 65536)}` in the job",
            True,
        )

    if 0 <= facts.nproc < threads:
        yield (
            "limits",
            f"nproc is {facts.nproc}, expected {threads} for the threads of {num_ranks} ranks; set `ulimit -u "
            f"{max(threads, 65536)}` in the job",
            True,
        )

    if (
        facts.infiniband and facts.gpus and facts.memlock >= 0
    ):  # a privileged process may lock more all the same
        yield (
            "limits",
            f"memlock is {facts.memlock // 2**20} MiB, and InfiniBand locks its buffers; let `ulimit -l` be unlimited "
            "(PropagateResourceLimitsExcept=MEMLOCK in slurm.conf)",
            False,
        )


def _gpus(facts: Sequence[NodeFacts]) -> _Verdicts:
    used = [own.own_gpu for own in facts if own.own_gpu]
    seen = {gpu.uuid for own in facts for gpu in own.gpus}
    if len(set(used)) < len(used):
        yield "GPUs", f"{len(used)} ranks share {len(set(used))} GPUs; start one task a GPU", True
    elif len(seen) > len(used):
        yield "GPUs", f"{len(seen)} GPUs are seen, {len(used)} used; start one task a GPU", False

    sizes = {gpu.uuid: gpu.gib for own in facts for gpu in own.gpus}
    least = min(
        (own.own_free_gib / sizes[own.own_gpu] for own in facts if own.own_gpu), default=1.0
    )
    if least < FULL_GPU:
        yield (
            "GPUs",
            f"only {least:.0%} of a GPU's memory is free before anything runs; look for an old process with nvidia-smi",
            False,
        )


def _speeds(reports: Sequence[RankReport]) -> Iterator[Problem]:
    read = [r for r in reports if r.mb_per_second is not None and r.facts and r.facts.gpus]
    for node, own in nodes(read).items():
        speed = sum(report.mb_per_second or 0.0 for report in own)
        if speed < (least := MB_PER_SECOND_PER_GPU * len(own)):
            yield Problem(
                check="store",
                sentence=f"{node} reads {speed:.0f} MB/s, {len(own)} GPUs may want {least:.0f}; raise "
                "data.read.threads, set data.cache_dir, or stage the corpus nearer",
                ranks=tuple(report.rank for report in own),
                fatal=False,
            )

    speeds = {
        r.rank: r.bus_gb_per_second
        for r in reports
        if r.bus_gb_per_second and r.facts and r.facts.gpus
    }
    slow = {rank: speed for rank, speed in speeds.items() if speed < BUS_GB_PER_SECOND}
    if slow and len(nodes(reports)) > 1:
        yield Problem(
            check="network",
            sentence=f"an all-reduce has {min(slow.values()):.1f} GB/s; that is TCP rather than InfiniBand: see what "
            "NCCL_DEBUG=INFO says of NET, and set NCCL_IB_HCA or NCCL_SOCKET_IFNAME",
            ranks=tuple(slow),
            fatal=False,
        )

    full = tuple(r.rank for r in reports if r.step and r.step.peak_gib > FULL_GPU * r.step.gib)
    if full:
        yield Problem(
            check="step",
            sentence=f"a step takes over {FULL_GPU:.0%} of the GPU's memory, and decoding needs some as well; lower "
            "micro_batch_size",
            ranks=full,
            fatal=False,
        )


def _unchecked(reports: Sequence[RankReport], needs: Needs) -> Iterator[Problem]:
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
        if ranks := tuple(report.rank for report in reports if lacks(report)):
            yield Problem(check=check, sentence="not checked in time; run again", ranks=ranks)
