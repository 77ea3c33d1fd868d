"""All checks of one rank, in step with the others."""

import os
import time
from dataclasses import replace
from pathlib import Path

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.health.adapters import find_adapters
from surgstream.trainer.health.gemm import look_at_gpu
from surgstream.trainer.health.nccl import transport_of_rank
from surgstream.trainer.host.interface import choose_interface
from surgstream.trainer.joining import join
from surgstream.trainer.preflight.checklist import Checklist
from surgstream.trainer.preflight.decoding import examine_decoding
from surgstream.trainer.preflight.driver import look_at_driver
from surgstream.trainer.preflight.judgement.report import HardwareFacts, RankReport, StepMemory
from surgstream.trainer.preflight.model import build_model, take_step
from surgstream.trainer.preflight.network import bus_gb_per_second, node_bus_gb_per_second
from surgstream.trainer.preflight.node import look_at_node
from surgstream.trainer.preflight.rendezvous import Rendezvous
from surgstream.trainer.preflight.shared_folder import check_shared
from surgstream.trainer.preflight.store import Corpora, try_mirror

FIRST_TOUCH_SECONDS = 30.0
"""For what may be the first to touch a GPU: that is slow without persistence mode, and by all ranks at once."""

COMPILE_SECONDS = 600.0
"""The time to build and compile a model, where a model is compiled: all ranks of a node do it at once."""

MEASURE_SECONDS = 3.0
"""For the store's and for the network's speed, each."""

GPU_SECONDS = 1.0
"""For matrix products, and for the network inside a node, each."""


def examine(
    config: TrainConfig, meeting: Rendezvous, checks: Checklist, *, with_step: bool
) -> RankReport:
    """Run all checks on this rank, in step with the others.

    A check that needs every rank is left out where one of them has failed.
    """
    rank_info = meeting.rank_info
    run_dir = Path(config.run_dir)
    facts = checks.run(
        "node",
        lambda: look_at_node(rank_info.device, run_dir, config.data.cache_folder),
        seconds=FIRST_TOUCH_SECONDS,
        advice="see whether df and nvidia-smi answer on this node",
    )
    cuda = checks.run(
        "GPUs", look_at_driver, seconds=10, advice="see whether nvidia-smi answers on this node"
    )
    corpora = examine_corpora(config, meeting, checks)

    # All ranks leave an agreement at about the same moment, so that their clocks can be compared.
    all_here = meeting.all_ok("clock", checks.at_most(2 * FIRST_TOUCH_SECONDS + 31))
    clock = time.time() if all_here else None

    mb_per_second = examine_store(corpora, meeting, checks) if corpora else None
    decoding = examine_decoding(config, meeting, checks, corpora)
    shared = checks.run(
        "run_dir",
        lambda: check_shared(meeting, run_dir / "checkpoints", checks.at_most(10)),
        seconds=15,
        advice="choose a run_dir that this node can write to",
    )
    examine_mirror(config, meeting, checks)
    # Before the network: a GPU that is sick would be taken for a network that hangs.
    hardware = examine_gpu(meeting, checks)
    bus = examine_network(config, meeting, checks)
    hardware = examine_connections(meeting, checks, hardware, well=bus is not None)
    step = examine_step(config, meeting, checks, well=bus is not None) if with_step else None

    return RankReport(
        rank=rank_info.rank,
        node=meeting.node,
        facts=facts,
        cuda=cuda,
        clock=clock,
        manifest=corpora.manifest if corpora else None,
        mb_per_second=mb_per_second,
        decoding=decoding,
        shared=shared,
        bus_gb_per_second=bus,
        hardware=hardware,
        step=step,
        failures=tuple(checks.failures),
    )


def examine_corpora(config: TrainConfig, meeting: Rendezvous, checks: Checklist) -> Corpora | None:
    """Read the manifests, and see whether this rank can hold what the order keeps open; None where one fails."""
    rank_info = meeting.rank_info
    advice = "see whether this node reaches the store, and as whom"
    corpora = checks.run("corpus", lambda: Corpora(config), seconds=15, advice=advice)
    if corpora:
        checks.run(
            "corpus",
            lambda: corpora.check_memory(rank_info.world_size),
            seconds=15,
            advice=advice,
        )
    return corpora


def examine_store(corpora: Corpora, meeting: Rendezvous, checks: Checklist) -> float | None:
    """Measure how fast the corpus comes, while all ranks read; None where this one fails."""
    rank_info = meeting.rank_info
    return checks.run(
        "store",
        lambda: corpora.mb_per_second(
            MEASURE_SECONDS, rank=rank_info.rank, world_size=rank_info.world_size
        ),
        seconds=12,
        advice="see whether this node reaches the store",
    )


def examine_mirror(config: TrainConfig, meeting: Rendezvous, checks: Checklist) -> None:
    """See whether rank 0, which copies the checkpoints, can write to their mirror, if the run has one."""
    address = config.checkpoint.mirror
    if address and meeting.rank_info.is_main:
        checks.run(
            "mirror",
            lambda: try_mirror(address, config.data.s3),
            seconds=15,
            advice="see whether this node may write to checkpoint.mirror, or choose another place",
        )


def examine_network(config: TrainConfig, meeting: Rendezvous, checks: Checklist) -> float | None:
    """Join the process group and measure an all-reduce; None where a rank failed, or lacks its GPU."""
    rank_info = meeting.rank_info
    advice = "see what NCCL_DEBUG=INFO prints; set NCCL_SOCKET_IFNAME and NCCL_IB_HCA"

    def join_group() -> bool:
        join(rank_info, config.parallel.timeout_seconds)
        return True

    if rank_info.device.type == "cpu":
        # Only gloo needs to be told; a wrong one is known here before the others wait for this rank.
        checks.run(
            "network",
            lambda: choose_interface(os.environ, rank_info.master_addr),
            seconds=10,
            advice="see whether this node finds the address of rank 0's",
        )
    ready = not checks.has_failed("GPUs", "network")
    if not meeting.all_ok("alive", checks.at_most(30), ok=ready):
        return None
    joined = checks.run("network", join_group, seconds=40, advice=advice)
    if not meeting.all_ok("joined", checks.at_most(20), ok=joined is not None):
        return None

    return checks.run(
        "network",
        lambda: bus_gb_per_second(rank_info.device, MEASURE_SECONDS),
        seconds=15,
        advice=advice,
    )


def examine_gpu(meeting: Rendezvous, checks: Checklist) -> HardwareFacts:
    """Look at this rank's GPU."""
    gpu = checks.run(
        "GPUs",
        lambda: look_at_gpu(meeting.rank_info.device, GPU_SECONDS),
        seconds=20,
        advice="see whether nvidia-smi answers on this node",
    )
    if gpu is None:
        return HardwareFacts()
    return HardwareFacts(gemm_tflops=gpu.tflops, health=gpu.health)


def examine_connections(
    meeting: Rendezvous, checks: Checklist, hardware: HardwareFacts, *, well: bool
) -> HardwareFacts:
    """Look at how this rank is connected.

    Args:
        meeting: The ranks.
        checks: The checks of this rank.
        hardware: What is known of its GPU.
        well: Whether it has joined the others, so that the network inside its node can be measured.

    Returns:
        All that is known of both.
    """
    inside = None
    if meeting.all_ok("hardware", checks.at_most(20), ok=well):
        inside = checks.run(
            "network",
            lambda: node_bus_gb_per_second(meeting.rank_info.device, GPU_SECONDS, meeting.node),
            seconds=15,
            advice="see what NCCL_DEBUG=INFO prints, and `nvidia-smi topo -m`",
        )

    return replace(
        hardware,
        adapters=find_adapters(os.environ),
        node_gb_per_second=inside,
        transport=transport_of_rank(os.environ),
    )


def examine_step(
    config: TrainConfig, meeting: Rendezvous, checks: Checklist, *, well: bool
) -> StepMemory | None:
    """Build the model and take a step; None where a rank failed, or was not `well` before."""
    rank_info = meeting.rank_info
    advice = "see what it prints above; try compile=false or a smaller micro_batch_size"

    model = None
    if well:
        model = checks.run(
            "step",
            lambda: build_model(config, rank_info),
            seconds=COMPILE_SECONDS,
            advice=advice,
        )
    all_built = meeting.all_ok("model", checks.at_most(COMPILE_SECONDS), ok=model is not None)
    if not all_built or model is None:
        return None

    return checks.run(
        "step",
        lambda: take_step(config, rank_info, model),
        seconds=COMPILE_SECONDS,
        advice=advice,
    )
