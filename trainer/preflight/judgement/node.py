"""Problems of one node: its space, its limits and its GPUs."""

import itertools
from collections.abc import Iterator, Sequence

from surgstream.trainer.preflight.judgement.problems import Requirements
from surgstream.trainer.preflight.judgement.report import NodeFacts

SHM_GIB_PER_RANK = 1 / 16
"""NCCL's buffers between GPUs of a node; containers often come with 64 MiB in all."""

MIN_FREE = 0.9
"""The share of a GPU's memory that should be free before anything runs."""

_THREADS_PER_RANK = 256
_FILES_PER_PEER = 4
_OTHER_FILES = 256

Verdict = tuple[str, str, bool]
"""A check, a sentence, and whether it forbids a run."""


def node_problems(
    facts: Sequence[NodeFacts], num_ranks: int, world_size: int, needs: Requirements
) -> Iterator[Verdict]:
    """Find the problems of a node.

    Args:
        facts: The node as its ranks see it, at least one of them.
        num_ranks: Ranks on the node.
        world_size: Ranks on all nodes.
        needs: The needs of the recipe.
    """
    # Space and limits are the node's: one of its ranks speaks for all
    yield from _space(facts[0], num_ranks, needs)
    yield from _limits(facts[0], num_ranks, world_size)
    yield from _gpus(facts, all_here=len(facts) == num_ranks)


def _space(facts: NodeFacts, num_ranks: int, needs: Requirements) -> Iterator[Verdict]:
    checkpoints = needs.checkpoint_gib * needs.checkpoints
    if facts.run_dir_gib < checkpoints:
        yield (
            "disk",
            f"run_dir has {facts.run_dir_gib:.1f} GiB free, {needs.checkpoints} checkpoints take "
            f"{checkpoints:.1f}; free some, or lower checkpoint.keep_last",
            facts.run_dir_gib < needs.checkpoint_gib,  # with room for one a run can begin
        )

    if facts.cache_gib is not None and facts.cache_gib < needs.cache_gib:
        yield (
            "cache",
            f"data.cache_dir has room for {facts.cache_gib:.0f} GiB, data.cache_bytes are "
            f"{needs.cache_gib:.0f}; what does not fit is read from the store in every epoch",
            False,
        )

    least = SHM_GIB_PER_RANK * num_ranks
    if len(facts.gpus) > 1 and num_ranks > 1 and facts.shm_gib < least:
        yield (
            "shm",
            f"/dev/shm has {facts.shm_gib:.2f} GiB free, NCCL needs {least:.2f} for {num_ranks} "
            "ranks; start the container with a larger one (--shm-size=8g)",
            True,
        )


def _limits(facts: NodeFacts, num_ranks: int, world_size: int) -> Iterator[Verdict]:
    files = _OTHER_FILES + _FILES_PER_PEER * world_size
    threads = _THREADS_PER_RANK * num_ranks

    # A limit of -1 is none
    if 0 <= facts.nofile < files:
        yield (
            "limits",
            f"nofile is {facts.nofile}, expected {files} for the sockets between {world_size} "
            f"ranks; set `ulimit -n {max(files, 65536)}` in the job",
            True,
        )

    if 0 <= facts.nproc < threads:
        yield (
            "limits",
            f"nproc is {facts.nproc}, expected {threads} for the threads of {num_ranks} ranks; "
            f"set `ulimit -u {max(threads, 65536)}` in the job",
            True,
        )

    # No more than a warning: a privileged process may lock more all the same
    if facts.infiniband and facts.gpus and facts.memlock >= 0:
        yield (
            "limits",
            f"memlock is {facts.memlock // 2**20} MiB, and InfiniBand locks its buffers; "
            "let `ulimit -l` be unlimited (PropagateResourceLimitsExcept=MEMLOCK in slurm.conf)",
            False,
        )


def _gpus(facts: Sequence[NodeFacts], *, all_here: bool) -> Iterator[Verdict]:
    used = [own.own_gpu for own in facts if own.own_gpu]
    seen = {*itertools.chain.from_iterable(own.gpus for own in facts)}
    if len(set(used)) < len(used):
        yield "GPUs", f"{len(used)} ranks share {len(set(used))} GPUs; start one task a GPU", True
    elif all_here and len(seen) > len(used):
        yield "GPUs", f"{len(seen)} GPUs are seen, {len(used)} used; start one task a GPU", False

    sizes = {gpu.uuid: gpu.gib for gpu in seen}
    free = [own.own_free_gib / sizes[own.own_gpu] for own in facts if own.own_gpu]
    least = min(free, default=1.0)
    if least < MIN_FREE:
        yield (
            "GPUs",
            f"only {least:.0%} of a GPU's memory is free before anything runs; "
            "look for an old process with nvidia-smi",
            False,
        )
