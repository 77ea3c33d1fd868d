"""The word of rank 0 on all reports, as every rank hears it."""

from collections.abc import Sequence
from dataclasses import dataclass

from surgstream.trainer.errors import NotInTimeError, PreflightError, UnfitNodesError
from surgstream.trainer.preflight.judgement.decoding import gpu_decodes
from surgstream.trainer.preflight.judgement.problems import Problem, come_again
from surgstream.trainer.preflight.judgement.report import RankReport
from surgstream.trainer.preflight.judgement.table import one_line
from surgstream.trainer.preflight.judgement.unfit import unfit_nodes


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a run may start, and what was found out for it.

    Attributes:
        line: `go`, or `no go` with the first problems that forbid a run.
        comes_again: Whether the next start would meet them again.
        unfit: The nodes for whose sake alone it may not start, each with the reason.
        gpu_decodes: Whether a GPU of every node decodes JPEGs as its CPU does.
    """

    line: str
    comes_again: bool
    unfit: dict[str, str]
    gpu_decodes: bool

    @classmethod
    def of(cls, reports: Sequence[RankReport], problems: Sequence[Problem]) -> "Verdict":
        """Judge all ranks.

        Args:
            reports: The reports of all ranks, by rank.
            problems: The problems that `find_problems` found.
        """
        return cls(
            line=one_line(reports, problems),
            comes_again=come_again(problems),
            unfit=unfit_nodes(problems, reports),
            gpu_decodes=gpu_decodes(reports),
        )

    def check(self) -> None:
        """Let a run start.

        Raises:
            UnfitNodesError: Some nodes are to blame; the next start may get others.
            NotInTimeError: Nothing was found that the next start must meet again.
            PreflightError: It may not start before something is mended.
        """
        if self.line == "go":
            return
        if self.unfit:
            raise UnfitNodesError(self.line)
        raise (PreflightError if self.comes_again else NotInTimeError)(self.line)
