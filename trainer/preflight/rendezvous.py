"""The meeting of ranks before they trust collectives: a store of keys on rank 0 that tells which are missing."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from surgstream.configs.loading import build
from surgstream.trainer.distributed import RankInfo, slurm_hosts
from surgstream.trainer.errors import (
    DistributedError,
    NotInTimeError,
    PreflightError,
    UnfitNodesError,
)
from surgstream.trainer.host.names import in_words, node_name
from surgstream.trainer.joining import serves_store, telling_who_is_missing
from surgstream.trainer.preflight.judgement.report import CheckFailure, RankReport
from surgstream.trainer.preflight.judgement.unfit import are_few, tell_job

_POLL_SECONDS = 0.05


class Rendezvous:
    """All ranks of a run, connected by a key-value store that rank 0 (under torchrun, its agent) serves.

    Attributes:
        rank_info: This process's place.
        node: The name of its node.
        token: A word that no other meeting has.
    """

    def __init__(self, rank_info: RankInfo, seconds: float) -> None:
        """Wait for all ranks.

        Args:
            rank_info: This process's place.
            seconds: The time to wait.

        Raises:
            NotInTimeError: Rank 0 cannot be reached, or not all ranks came; their nodes are named.
            UnfitNodesError: Nothing was heard of a few nodes.
        """
        self.rank_info = rank_info
        self.node = node_name()
        serves = serves_store(rank_info)
        try:
            if not serves:
                _wait_for_port(rank_info, seconds)
            self._store = TCPStore(
                rank_info.master_addr,
                rank_info.master_port,
                rank_info.world_size,
                is_master=serves,
                timeout=timedelta(seconds=seconds),
                wait_for_workers=False,
                multi_tenant=True,  # the process group will use the same port
            )
        except (OSError, RuntimeError) as error:
            address = f"{rank_info.master_addr}:{rank_info.master_port}"
            reason = str(error).partition("\n")[0]
            raise NotInTimeError(
                f"rank {rank_info.rank} on {self.node}: could not meet rank 0 at {address} "
                f"within {seconds:g} s ({reason}); is it running? is a firewall in between?"
            ) from None

        # False once a rank is missing or rank 0 is gone: from then on this rank waits for nobody
        self._complete = True
        if rank_info.is_main:
            self.put("token", os.urandom(8).hex())
        self.put(f"node/{rank_info.rank}", self.node)
        self.put(f"doing/{rank_info.rank}", "node")

        with (
            telling_who_is_missing(rank_info, self._absent) if rank_info.is_main else nullcontext()
        ):
            all_here = self.all_ok("here", seconds)
        if not all_here:
            raise self._incomplete(seconds)
        self.token = self.get("token", seconds)

    def all_ok(self, name: str, seconds: float, *, ok: bool = True) -> bool:
        """Wait until all ranks are here and well, or one of them is not.

        Args:
            name: The name of this agreement; each is used once.
            seconds: How long to wait. Whoever waited in vain does not wait again, nor does anybody for it.
            ok: Whether this rank is well.

        Returns:
            Whether all ranks are well.
        """
        yes = f"preflight/{name}/yes"
        no = f"preflight/{name}/no"
        deadline = time.monotonic() + seconds

        try:
            here = self._store.add(f"preflight/{name}", 1) if ok and self._complete else 0
            # The last rank to come says yes for all, unless one has said no.
            if here == self.rank_info.world_size and not self._store.check([no]):
                self._store.set(yes, "")
            while ok and self._complete and not self._store.check([yes]):
                if self._store.check([no]):
                    return False
                self._complete = time.monotonic() < deadline
                time.sleep(_POLL_SECONDS)

            # Not well, or out of time: the others need not wait for this rank.
            if not (ok and self._complete):
                self._store.set(no, "")
            return ok and self._complete
        except RuntimeError:  # rank 0 is gone
            self._complete = False
            return False

    def put(self, key: str, value: str) -> None:
        """Publish a text that `get` returns on any rank.

        Raises:
            NotInTimeError: Rank 0 is gone.
        """
        with self._talking():
            self._store.set(f"preflight/{key}", value)

    def get(self, key: str, seconds: float) -> str:
        """Wait for a text that a rank tells.

        Raises:
            NotInTimeError: It does not come.
        """
        deadline = time.monotonic() + seconds
        key = f"preflight/{key}"
        with self._talking():
            # Polling, since `wait` would print to the log when time is up
            while not self._store.check([key]):
                if time.monotonic() > deadline:
                    raise RuntimeError
                time.sleep(_POLL_SECONDS)
            return bytes(self._store.get(key)).decode()

    def collect(self, seconds: float) -> list[RankReport]:
        """Wait for the reports that all ranks tell as `report/RANK`.

        Args:
            seconds: The time to wait.

        Returns:
            The reports by rank. That of a rank that did not report names the check in which it was lost.
        """
        deadline = time.monotonic() + seconds
        reports = []
        for rank in range(self.rank_info.world_size):
            left = deadline - time.monotonic()
            reports.append(self._report(rank, left))
        return reports

    def leave(self, seconds: float) -> None:
        """Say good-bye; rank 0, which serves the meeting, waits for the others."""
        deadline = time.monotonic() + seconds
        with suppress(RuntimeError):
            gone = self._store.add("preflight/gone", 1)
            if not self.rank_info.is_main:
                return
            while gone < self.rank_info.world_size and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                gone = self._store.add("preflight/gone", 0)

    def _report(self, rank: int, seconds: float) -> RankReport:
        try:
            text = self.get(f"report/{rank}", seconds)
        except NotInTimeError:
            failure = CheckFailure(
                check=self.get(f"doing/{rank}", 1),
                sentence="no word since this check began; "
                "see what these ranks print, or exclude their nodes",
                in_time=False,
            )
            return RankReport(rank=rank, node=self.get(f"node/{rank}", 1), failures=(failure,))
        return build(RankReport, json.loads(text), where=f"report of rank {rank}")

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError:
            raise NotInTimeError(
                f"rank {self.rank_info.rank} on {self.node}: lost contact with rank 0; "
                "its own message says why"
            ) from None

    def _absent(self) -> set[int]:
        """The ranks that have not come; a RuntimeError where rank 0 is gone."""
        return {
            rank
            for rank in range(self.rank_info.world_size)
            if not self._store.check([f"preflight/node/{rank}"])
        }

    def _incomplete(self, seconds: float) -> PreflightError:
        """The error of a meeting to which not all ranks came; rank 0 tells the job which nodes are silent."""
        ranks = range(self.rank_info.world_size)
        advice = "see what they print, or exclude their nodes"
        try:
            here = set(ranks) - self._absent()
            nodes = {self._store.get(f"preflight/node/{rank}").decode() for rank in here}
        except RuntimeError:  # rank 0 has reported it and left
            return NotInTimeError(f"not all ranks came within {seconds:g} s; {advice}")
        hosts: list[str] = []
        with suppress(DistributedError):
            hosts = slurm_hosts(os.environ)

        silent = sorted(set(hosts) - nodes)
        missing = f"{in_words(set(ranks) - here)} of {len(ranks)} did not come"
        unheard = f" (nothing was heard of {', '.join(silent)})" if silent else ""
        sentence = f"{missing}{unheard} within {seconds:g} s; {advice}"
        if not silent or not are_few(len(silent), len(hosts)):
            return NotInTimeError(sentence)

        if self.rank_info.is_main:
            tell_job(dict.fromkeys(silent, f"nothing was heard of it within {seconds:g} s"))
        return UnfitNodesError(sentence)


def _wait_for_port(rank_info: RankInfo, seconds: float) -> None:
    """Try until rank 0 listens; the store's own client would fill the log with stacks while it waits."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(
                (rank_info.master_addr, rank_info.master_port), timeout=seconds
            ):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)
