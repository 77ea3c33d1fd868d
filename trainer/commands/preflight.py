"""`surgstream preflight`: check on every node that a run has all it needs."""

import argparse
import json
import logging
import os
import shutil
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch

from surgstream.configs.loading import build, to_tree
from surgstream.trainer.compile_caches import keep_on_node
from surgstream.trainer.config import TrainConfig, load_recipe
from surgstream.trainer.device import check_own_gpu
from surgstream.trainer.distributed import (
    RankInfo,
    alone_when_failing,
    leave,
    rank_info_from_environment,
)
from surgstream.trainer.errors import PreflightError
from surgstream.trainer.estimates import GIB
from surgstream.trainer.health.nccl import nccl_tells
from surgstream.trainer.host.limits import raise_file_limit
from surgstream.trainer.joining import after
from surgstream.trainer.model_sizes import count_sizes
from surgstream.trainer.preflight import decoding
from surgstream.trainer.preflight.checklist import SECONDS_PER_RANK, Checklist
from surgstream.trainer.preflight.examination import COMPILE_SECONDS, FIRST_TOUCH_SECONDS, examine
from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.problems import Requirements
from surgstream.trainer.preflight.judgement.table import render
from surgstream.trainer.preflight.judgement.unfit import tell_job
from surgstream.trainer.preflight.judgement.verdict import Verdict
from surgstream.trainer.preflight.rendezvous import Rendezvous
from surgstream.trainer.preflight.shared_folder import trial_folder
from surgstream.trainer.session.log import configure_logging

MEETING_SECONDS = 30.0
"""The time that ranks wait for a missing one. The nodes of a job start within seconds of each other."""

CHECK_SECONDS = 75.0
"""The time for all checks; `SECONDS_PER_RANK`, `COMPILE_SECONDS` where a model is compiled, and the time to try
decoding on the GPU are added."""

REPORT_SECONDS = 20.0
"""The time after rank 0 within which a rank must report; ranks meet more often than that during the checks."""

_GOODBYE_SECONDS = 5.0

log = logging.getLogger(__name__)


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream preflight`."""
    keep_on_node(os.environ)
    rank_info = rank_info_from_environment(os.environ)
    configure_logging(rank_info)
    with alone_when_failing(rank_info), nccl_tells(os.environ):
        config = load_recipe(words.config, words.overrides)
        config.grad_accum_steps(rank_info.world_size)
        preflight(config, rank_info, with_step=True)
    leave()
    return 0


def preflight(
    config: TrainConfig, rank_info: RankInfo, *, with_step: bool, patience_seconds: float = 0.0
) -> RankInfo:
    """Check everything, and join the process group on the way; rank 0 prints the results.

    Args:
        config: The run's configuration.
        rank_info: This process's place.
        with_step: Whether to take a step of the model.
        patience_seconds: How much later than others a rank may start.

    Returns:
        This process's place, with what was found out for the run, alike on all ranks.

    Raises:
        PreflightError: On every rank: a check forbids a run. It is an UnfitNodesError where nodes are to blame, and a
            NotInTimeError where one did not end in time, or not all ranks came.
        ModelError: There is no such model.
    """
    # A model that does not exist is refused before ranks wait for each other.
    raise_file_limit()
    needed = needs(config, with_step=with_step)
    more_seconds = SECONDS_PER_RANK * rank_info.world_size
    seconds = check_seconds(config, rank_info, with_step=with_step) + more_seconds
    meeting_seconds = MEETING_SECONDS + more_seconds + patience_seconds

    with ended_after(meeting_seconds + seconds + 2 * REPORT_SECONDS):
        meeting = Rendezvous(rank_info, meeting_seconds)
        checks = Checklist(meeting, rank_info.device, seconds)
        gpus_asked_for = checks.run(
            "GPUs",
            lambda: check_own_gpu(rank_info),
            seconds=FIRST_TOUCH_SECONDS,
            advice="see whether nvidia-smi answers on this node",
        )
        found = examine(config, meeting, checks, with_step=with_step)
        report = replace(found, gpus_asked_for=gpus_asked_for)
        meeting.put(f"report/{rank_info.rank}", json.dumps(to_tree(report)))
        if rank_info.is_main:
            reports = meeting.collect(REPORT_SECONDS)
            problems = find_problems(reports, needed)
            sys.stdout.write(render(reports, problems) + "\n")
            sys.stdout.flush()
            verdict = Verdict.of(reports, problems)
            tell_job(verdict.unfit)
            meeting.put("verdict", json.dumps(to_tree(verdict)))

        text = meeting.get("verdict", checks.at_most(seconds) + 2 * REPORT_SECONDS)
        # Once there is a verdict, no rank looks for files there any more.
        trial = trial_folder(meeting, Path(config.run_dir) / "checkpoints")
        shutil.rmtree(trial, ignore_errors=True)
        meeting.leave(_GOODBYE_SECONDS)

    verdict = build(Verdict, json.loads(text), where="verdict of rank 0")
    verdict.check()
    # The checks did so in threads of their own.
    if rank_info.device.type == "cuda":
        torch.cuda.set_device(rank_info.device)
    return replace(rank_info, gpu_decodes=verdict.gpu_decodes)


def check_seconds(config: TrainConfig, rank_info: RankInfo, *, with_step: bool) -> float:
    """The time for all checks of a rank."""
    seconds = CHECK_SECONDS
    if config.data.decode.device != "cpu" and rank_info.device.type == "cuda":
        seconds += decoding.SECONDS
    if with_step and config.compile:
        seconds += COMPILE_SECONDS
    return seconds


def ended_after(seconds: float) -> AbstractContextManager[None]:
    """End this process when the block takes longer: the socket of a node that froze stays open and silent."""

    def end() -> None:
        log.error(
            "no verdict after %g s: rank 0 or the network to it hangs; see its output", seconds
        )
        logging.shutdown()
        os._exit(PreflightError.exit_status)

    return after(seconds, end)


def needs(config: TrainConfig, *, with_step: bool) -> Requirements:
    """The needs of a recipe on a node."""
    model = count_sizes(config.objective)
    assert model is not None, "ranks have torch"
    return Requirements(
        checkpoint_gib=model.checkpoint_bytes / GIB,
        checkpoints=config.checkpoint.keep_last + 1,
        cache_gib=config.data.cache_bytes / 2**30,
        with_step=with_step,
    )
