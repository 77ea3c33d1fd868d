"""Problems of how ranks sit on a node's GPUs: fewer than the run was given, each seen alone, far from their cores."""

from collections.abc import Iterator, Mapping, Sequence

from surgstream.trainer.preflight.judgement.problems import Problem, nodes
from surgstream.trainer.preflight.judgement.report import NodeFacts, RankReport


def gpu_problems(reports: Sequence[RankReport]) -> Iterator[Problem]:
    """Find nodes that lack GPUs, and ranks that cannot reach their neighbours' GPUs.

    A rank may see all GPUs of its node or its own alone, so what a node has is what its ranks see together. A node is
    left out where a rank has no facts, since that rank's own failure is told.

    Args:
        reports: The reports of all ranks, by rank.
    """
    for own in nodes(reports).values():
        facts = {report.rank: report.facts for report in own if report.facts}
        yield from _far_cores(facts)
        if len(facts) < len(own):
            continue

        ranks = tuple(facts)
        seen = {gpu.uuid for found in facts.values() for gpu in found.gpus}
        asked_for = max(report.gpus_asked_for or 0 for report in own)
        if len(seen) < asked_for:
            yield Problem(
                check="GPUs",
                sentence=too_few_gpus(asked_for, len(seen)),
                ranks=ranks,
                of_node=True,
            )

        sees_one_each = len(seen) == len(ranks) and all(len(f.gpus) == 1 for f in facts.values())
        if sees_one_each and len(ranks) > 1:
            yield Problem(
                check="GPUs",
                sentence=f"1 GPU visible, {len(ranks)} ranks on the node: where cgroups hide the "
                "others, NCCL cannot use NVLink or P2P between them; give every task all GPUs of its "
                "node (--gpus-per-node, without --gpus-per-task and --gpu-bind)",
                ranks=ranks,
                fatal=False,
            )


def too_few_gpus(asked_for: int, num_gpus: int) -> str:
    """Say that a node shows fewer GPUs than the run was given there."""
    return (
        f"expected {asked_for} GPUs, got {num_gpus}; see nvidia-smi -L and "
        "CUDA_VISIBLE_DEVICES there, or exclude the node"
    )


def _far_cores(facts: Mapping[int, NodeFacts]) -> Iterator[Problem]:
    far = {rank: found for rank, found in facts.items() if found.num_far_cores}
    if far:
        worst = max(far.values(), key=lambda found: found.num_far_cores)
        yield Problem(
            check="GPUs",
            sentence=f"{worst.num_far_cores} of a rank's {worst.num_cores} cores are of another "
            "NUMA node than its GPU, which slows copies to it; with --cpu-bind=none among "
            "srun_options each rank is bound to those near its GPU",
            ranks=tuple(far),
            fatal=False,
        )
