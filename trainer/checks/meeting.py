"""Where ranks meet before they trust collectives: a store of keys on rank 0 that tells who is missing."""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from configs.loading import build, to_tree
from trainer.checks.report import RankReport, spans
from trainer.distributed import Topology, slurm_hosts
from trainer.errors import DistributedError, PreflightError


class Meeting:
    """All ranks of a run, connected by a key-value store that rank 0 (under torchrun, its agent) serves."""

    def __init__(self, topology: Topology, seconds: float) -> None:
        """Wait for all ranks.

        Args:
            topology: This process's place.
            seconds: How long to wait.

        Raises:
            PreflightError: Rank 0 cannot be reached, or not all ranks came; their nodes are named.
        """
        self.topology, self.node = topology, node_name(os.environ)
        try:
            self._store = TCPStore(
                topology.master_addr,
                topology.master_port,
                topology.world_size,
                is_master=topology.is_main and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
                timeout=timedelta(seconds=seconds),
                wait_for_workers=False,
                multi_tenant=True,  # the process group will use the same port
            )
        except RuntimeError:
            raise PreflightError(
                f"rank {topology.rank} on {self.node}: no answer from rank 0 at {topology.master_addr}:"
                f"{topology.master_port} within {seconds:g} s; see whether it runs, and whether a firewall is between"
            ) from None
        self._store.set(f"preflight/node/{topology.rank}", self.node)
        if not self.agree("here", seconds):
            raise PreflightError(f"{self._missing()} within {seconds:g} s; see what they print, or exclude their nodes")

    def agree(self, name: str, seconds: float, *, ok: bool = True) -> bool:
        """Wait until all ranks are here, and see whether all of them are well.

        Args:
            name: What is agreed on; each name once.
            seconds: How long to wait.
            ok: Whether this rank is well.

        Returns:
            True on all ranks, or False: one is not well, or did not come.
        """
        key = f"preflight/agree/{name}"
        try:
            if not ok:
                self._store.set(f"{key}/no", "")
            if self._store.add(key, 1) == self.topology.world_size:
                self._store.set(f"{key}/all", "no" if self._store.check([f"{key}/no"]) else "yes")
            self._store.wait([f"{key}/all"], timedelta(seconds=max(seconds, 0.001)))
            return bool(self._store.get(f"{key}/all") == b"yes")
        except RuntimeError:
            return False

    def tell(self, key: str, value: str) -> None:
        """Publish a text that `hear` returns on any rank."""
        self._store.set(f"preflight/{key}", value)

    def hear(self, key: str, seconds: float) -> str:
        """Wait for a text that a rank tells.

        Raises:
            PreflightError: It does not come.
        """
        try:
            self._store.wait([f"preflight/{key}"], timedelta(seconds=max(seconds, 0.001)))
            return bytes(self._store.get(f"preflight/{key}")).decode()
        except RuntimeError:
            raise PreflightError(
                f"rank {self.topology.rank} on {self.node}: rank 0 fell silent; its own message says why"
            ) from None

    def hand_in(self, report: RankReport) -> None:
        """Send this rank's report to rank 0."""
        self._store.set(f"preflight/report/{report.rank}", json.dumps(to_tree(report)))

    def collect(self, seconds: float) -> tuple[list[RankReport], dict[int, str]]:
        """Wait for the reports of all ranks.

        Returns:
            The reports by rank, and of ranks that did not report, their node and what they were doing.
        """
        deadline = time.monotonic() + seconds
        reports: list[RankReport] = []
        silent: dict[int, str] = {}
        for rank in range(self.topology.world_size):
            key = f"preflight/report/{rank}"
            left = timedelta(seconds=max(deadline - time.monotonic(), 0.001))
            with suppress(RuntimeError):
                self._store.wait([key], left)
            if self._store.check([key]):
                reports.append(build(RankReport, json.loads(self._store.get(key)), where=key))
            else:
                node, doing = (self._store.get(f"preflight/{part}/{rank}").decode() for part in ("node", "doing"))
                silent[rank] = f"{node}, in the check of {doing}"
        return reports, silent

    def _missing(self) -> str:
        ranks = range(self.topology.world_size)
        try:
            here = {rank for rank in ranks if self._store.check([f"preflight/node/{rank}"])}
            nodes = {self._store.get(f"preflight/node/{rank}").decode() for rank in here}
        except RuntimeError:  # rank 0 has said it and left
            return "not all ranks came"
        silent: set[str] = set()
        with suppress(DistributedError):
            silent = set(slurm_hosts(os.environ)) - nodes
        unheard = f" (nothing was heard of {', '.join(sorted(silent))})" if silent else ""
        return f"ranks {spans(set(ranks) - here)} of {len(ranks)} did not come{unheard}"


def node_name(environment: Mapping[str, str]) -> str:
    """What to call this node: Slurm's name for it, else the host's."""
    return environment.get("SLURMD_NODENAME") or socket.gethostname()
