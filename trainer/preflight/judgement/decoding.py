"""What follows from trying to decode on the GPUs: problems, and where the run decodes."""

from collections.abc import Iterator, Sequence

from surgstream.trainer.preflight.judgement.problems import Problem, nodes
from surgstream.trainer.preflight.judgement.report import RankReport


def decoding_problems(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """Nodes whose GPUs do not decode as their CPUs do: fatal where the recipe asks for the GPU."""
    for report in reports:
        tried = report.decoding
        if tried and tried.problem:
            consequence = "" if tried.is_asked_for else "the run decodes on the CPU; "
            yield Problem(
                check="decode",
                sentence=f"{tried.problem}; {consequence}set data.decode.device=cpu",
                ranks=(report.rank,),
                fatal=tried.is_asked_for,
                of_node=True,
            )


def gpu_decodes(reports: Sequence[RankReport]) -> bool:
    """Whether a GPU of every node decodes as its CPU does: all ranks of a run decode alike."""
    for own in nodes(reports).values():
        tried = [report.decoding for report in own if report.decoding]
        if not tried or any(decoding.problem for decoding in tried):
            return False
    return True
