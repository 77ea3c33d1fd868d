"""Problems of a run that is to begin, and the views of reports that their rules and the table share."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from surgstream.trainer.preflight.judgement.report import NodeFacts, RankReport


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something to mend.

    Attributes:
        check: The column of the table.
        sentence: What is wrong and what to do.
        ranks: The ranks that have the problem.
        fatal: Whether a run cannot, or must not, start.
        comes_again: Whether the next start would meet it again, unlike a check that did not end in time.
        of_node: Whether the nodes of these ranks have it, so that a run may start on others.
    """

    check: str
    sentence: str
    ranks: tuple[int, ...]
    fatal: bool = True
    comes_again: bool = True
    of_node: bool = False


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """The needs of a recipe.

    Attributes:
        checkpoint_gib: Size of one checkpoint.
        checkpoints: The most checkpoints at a time, the one that is being written included.
        cache_gib: The most that the cache of one node may hold.
        with_step: Whether a step of the model was to be taken.
    """

    checkpoint_gib: float
    checkpoints: int
    cache_gib: float
    with_step: bool


def verdict(problems: Sequence[Problem]) -> str:
    """`go` or `no go: N problems`."""
    number = sum(problem.fatal for problem in problems)
    if not number:
        return "go"
    return f"no go: {number} problem{'s' if number > 1 else ''}"


def come_again(problems: Sequence[Problem]) -> bool:
    """Whether something forbids a run that the next start would meet again."""
    return any(problem.fatal and problem.comes_again for problem in problems)


def nodes(reports: Iterable[RankReport]) -> dict[str, list[RankReport]]:
    """The reports by node, in the order of their ranks."""
    found: dict[str, list[RankReport]] = {}
    for report in reports:
        found.setdefault(report.node, []).append(report)
    return found


def usual(values: Iterable[str]) -> str:
    """The value that most have; the first one where several are equally common."""
    return Counter(values).most_common(1)[0][0]


def gpus_in_words(facts: NodeFacts) -> str:
    """The GPU that a rank has, such as `NVIDIA H800 80 GiB`."""
    own = next((gpu for gpu in facts.gpus if gpu.uuid == facts.own_gpu), None)
    return f"{own.name} {own.gib:.0f} GiB" if own else "no GPU"


def skews(reports: Sequence[RankReport]) -> dict[int, float]:
    """Seconds by which the ranks' clocks are ahead of rank 0's."""
    here = next((report.clock for report in reports if report.rank == 0), None)
    if here is None:
        return {}
    return {report.rank: report.clock - here for report in reports if report.clock is not None}
