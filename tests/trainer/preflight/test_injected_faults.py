"""Twenty faults of a first day on a cluster: each is named in one sentence that says what to do."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from surgstream.shards.reading.memory import check_buffer
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.errors import PreflightError
from surgstream.trainer.host.interface import choose_interface
from surgstream.trainer.preflight.checklist import Checklist
from surgstream.trainer.preflight.child import in_child
from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.report import CheckFailure, Gpu, GpuDecoding, RankReport
from surgstream.trainer.preflight.judgement.unfit import unfit_nodes
from tests.trainer.preflight.reports import CUDA, NEEDS, change
from tests.trainer.preflight.test_hardware_rules import PORTS, break_gpu, h800s, on_node

Reports = list[RankReport]


CPU = torch.device("cpu")
NOBODY = SimpleNamespace(rank_info=RankInfo(), put=lambda key, value: None)
"""A meeting of one rank that says nothing to anybody."""


def cluster() -> Reports:
    return change(h800s(4), gpus_asked_for=8)


def without_gpus(reports: Reports) -> Reports:
    bare = change(reports, gpus=(), own_gpu="")
    return [replace(report, hardware=type(report.hardware)()) for report in bare]


def fewer_gpus(reports: Reports) -> Reports:
    gpus = tuple(Gpu(uuid=f"left-{seat}", name="NVIDIA H800", gib=79.6) for seat in range(4))
    # As many ranks as are left: otherwise ranks would share GPUs as well.
    return [
        change([report], gpus=gpus, own_gpu=f"left-{report.rank % 4}")[0]
        if report.rank < 4
        else report
        for report in reports
        if report.rank not in range(4, 8)
    ]


def another_model(reports: Reports) -> Reports:
    gpus = tuple(Gpu(uuid=f"other-{seat}", name="NVIDIA H100", gib=79.6) for seat in range(8))
    return [
        change([report], gpus=gpus, own_gpu=f"other-{report.rank % 8}")[0]
        if report.rank // 8 == 1
        else report
        for report in reports
    ]


def failing(
    check: str, failure: Callable[[], object], ranks: Sequence[int]
) -> Callable[[Reports], Reports]:
    """A check of these ranks fails as the code itself does."""

    def fail(reports: Reports) -> Reports:
        checks = Checklist(cast(Any, NOBODY), CPU, seconds=60)
        checks.run(check, failure, seconds=60, advice="")
        failures = tuple(checks.failures)
        return [
            replace(report, failures=failures) if report.rank in ranks else report
            for report in reports
        ]

    return fail


def wrong_interface() -> None:
    choose_interface({"GLOO_SOCKET_IFNAME": "docker9"}, "127.0.0.1")


def silent(reports: Reports) -> Reports:
    """The first rank of a node says nothing."""
    failure = CheckFailure(
        check="run_dir", sentence="no word since this check began; see these ranks", in_time=False
    )
    lost = RankReport(rank=8, node=reports[8].node, failures=(failure,))
    return [*reports[:8], lost, *reports[9:]]


def dying_decoder(reports: Reports) -> Reports:
    with pytest.raises(PreflightError) as caught:
        in_child(kill_this_process, 30)
    tried = GpuDecoding(problem=f"GPU decoding {caught.value}", is_asked_for=True)
    return [replace(reports[0], decoding=tried), *reports[1:]]


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def small_buffers() -> None:
    dataset = SimpleNamespace(name="all", lanes=4096, chunk_clips=320)
    order = SimpleNamespace(report=lambda: [dataset], num_lanes=4096)
    table = SimpleNamespace(
        chunk_bytes=lambda name, num_clips, look_back: 21_000.0 * (num_clips + look_back)
    )
    check_buffer(cast(Any, table), cast(Any, order), 60, buffer_bytes=2**32, world_size=4)


DOWN = replace(PORTS[3], state="DOWN (Polling)", gbit_per_second=0.0)
SLOW_PORT = replace(PORTS[3], gbit_per_second=200.0)
OLD_DRIVER = replace(CUDA, driver="550.54.15", of_driver="12.4")

FAULTS: dict[str, tuple[Callable[[Reports], Reports], str, str]] = {
    "no GPU": (without_gpus, "expected 8 GPUs, got 0; see nvidia-smi -L", "all"),
    "fewer GPUs than asked": (fewer_gpus, "expected 8 GPUs, got 4; see nvidia-smi -L", "node"),
    "another model of GPU": (
        another_model,
        "NVIDIA H100 80 GiB where most have NVIDIA H800",
        "node",
    ),
    "a slow GPU": (
        lambda reports: on_node(reports, 1, gemm_tflops=430.0),
        "multiplies matrices at 430 TFLOP/s where the median is 610",
        "node",
    ),
    "uncorrected ECC": (
        lambda reports: break_gpu(reports, 9, uncorrected_errors=2),
        "has 2 uncorrected ECC errors since its last reset; drain the node and reset the GPU",
        "node",
    ),
    "rows to be remapped": (
        lambda reports: break_gpu(reports, 9, remap_pending=True),
        "has rows of memory to be remapped; reset the GPU when the node is free",
        "warning",
    ),
    "throttled": (
        lambda reports: break_gpu(reports, 9, slowdown="the hardware for its temperature"),
        "is slowed down by the hardware for its temperature; look at",
        "warning",
    ),
    "a dead NVLink": (
        lambda reports: break_gpu(reports, 9, num_links=7),
        "has 7 NVLinks up where others have 8; see `nvidia-smi nvlink --status`",
        "node",
    ),
    "an HCA down": (
        lambda reports: on_node(reports, 1, adapters=(*PORTS[:3], DOWN, *PORTS[4:])),
        "the adapter mlx5_3:1 is DOWN (Polling) where others have it at 400 Gb/s; look at its cable",
        "node",
    ),
    "an HCA at half rate": (
        lambda reports: on_node(reports, 1, adapters=(*PORTS[:3], SLOW_PORT, *PORTS[4:])),
        "the adapter mlx5_3:1 has 200 Gb/s where others have 400; reseat its cable",
        "warning",
    ),
    "driver older than CUDA": (
        lambda reports: change(reports, 1, cuda=OLD_DRIVER),
        "driver 550.54.15 runs CUDA 12.4, torch is of CUDA 13.0; install driver 580 or newer",
        "node",
    ),
    "wrong gloo interface": (
        failing("network", wrong_interface, [9]),
        "got 'docker9'; unset it, and the one that leads to 127.0.0.1 is taken",
        "run",
    ),
    "clock skew": (
        lambda reports: change(reports, 1, clock=1_790_000_042.0),
        "the clock of h800-node-001 is +42.0 s from rank 0's",
        "node",
    ),
    "full disk": (
        lambda reports: change(reports, 1, run_dir_gib=0.5),
        "run_dir has 0.5 GiB free, 4 checkpoints take 4.8; free some",
        "node",
    ),
    "small /dev/shm": (
        lambda reports: change(reports, 1, shm_gib=0.06),
        "/dev/shm has 0.06 GiB free, NCCL needs 0.50 for 8 ranks; start the container with",
        "node",
    ),
    "low nofile": (
        lambda reports: change(reports, 1, nofile=256),
        "nofile is 256, expected 384 for the sockets between 32 ranks; set `ulimit -n 65536`",
        "node",
    ),
    "a rank that hangs": (silent, "no word since this check began; see these ranks", "node"),
    "decoder killed by a signal": (
        dying_decoder,
        "GPU decoding ended with signal 11 (SIGSEGV); set data.decode.device=cpu",
        "node",
    ),
    "another corpus on one node": (
        lambda reports: change(reports, 1, manifest="0123456789ab"),
        "manifest 0123456789ab where most have d0985de36c13",
        "node",
    ),
    "buffers too small": (
        failing("corpus", small_buffers, range(32)),
        "set data.read.buffer_bytes=8589934592",
        "run",
    ),
}
"""What is broken, what is said, and whose fault it is: a node's own, the run's, or a warning."""


def test_there_are_twenty() -> None:
    assert len(FAULTS) == 20


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_sentence_with_what_to_do(fault: str) -> None:
    inject, says, whose = FAULTS[fault]
    reports = inject(cluster())
    found = [problem for problem in find_problems(reports, NEEDS) if says in problem.sentence]
    assert found and all(";" in problem.sentence for problem in found), "what is wrong; what to do"

    others = [problem for problem in find_problems(reports, NEEDS) if problem not in found]
    assert not others, "one fault is one problem"
    assert all(problem.fatal == (whose != "warning") for problem in found)

    unfit = unfit_nodes(found, reports)
    assert bool(unfit) == (whose == "node")


def test_a_sound_cluster_has_none_of_them() -> None:
    assert find_problems(cluster(), NEEDS) == []
