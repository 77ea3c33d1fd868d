import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from surgstream.configs.loading import to_tree
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.errors import PreflightError, UnfitNodesError
from surgstream.trainer.preflight import rendezvous as meeting
from surgstream.trainer.preflight.rendezvous import Rendezvous
from surgstream.trainer.runs.files import UNFIT
from tests.trainer.preflight.reports import report

T = TypeVar("T")


def topologies(world_size: int) -> list[RankInfo]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        RankInfo(rank=rank, world_size=world_size, master_port=port) for rank in range(world_size)
    ]


def at_once(actions: list[Callable[[], T]]) -> list[T]:
    with ThreadPoolExecutor(len(actions)) as pool:
        return [future.result() for future in [pool.submit(action) for action in actions]]


def meet(world_size: int) -> list[Rendezvous]:
    return at_once(
        [
            lambda rank_info=rank_info: Rendezvous(rank_info, 10)
            for rank_info in topologies(world_size)
        ]
    )


def all_ok(ranks: list[Rendezvous], name: str, well: list[bool]) -> list[bool]:
    return at_once(
        [
            lambda rank=rank, ok=ok: rank.all_ok(name, 10, ok=ok)
            for rank, ok in zip(ranks, well, strict=True)
        ]
    )


def test_ranks_agree_when_all_are_well() -> None:
    ranks = meet(3)
    assert len({rank.token for rank in ranks}) == 1
    assert all_ok(ranks, "first", [True, True, True]) == [True] * 3
    assert all_ok(ranks, "second", [True, False, True]) == [False] * 3
    assert all_ok(ranks, "third", [True, True, True]) == [True] * 3, "a rank may be well again"


def test_who_waited_in_vain_does_not_wait_again() -> None:
    here, late = meet(2)
    assert not here.all_ok("first", 0.1)
    assert not late.all_ok("first", 3600), "and nobody waits for it"
    assert not here.all_ok("second", 3600)
    assert not late.all_ok("second", 3600)


def test_reports_arrive_as_they_were_and_silence_is_told_by_the_check() -> None:
    ranks = meet(3)
    sent = report(0, "a", 8)
    ranks[0].put("report/0", json.dumps(to_tree(sent)))
    ranks[1].put("doing/1", "store")
    found = ranks[0].collect(0.2)
    assert found[0] == sent
    assert [(found[rank].rank, found[rank].failures[0].check) for rank in (1, 2)] == [
        (1, "store"),
        (2, "node"),
    ]
    assert found[1].node == socket.gethostname()


def test_ranks_that_do_not_come_are_named_and_so_are_slurm_s_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meeting, "slurm_hosts", lambda _: ["node1", "node2", "node3"])
    monkeypatch.setenv("SLURMD_NODENAME", "node1")
    first, second, *_ = topologies(4)
    expected = "ranks 2-3 of 4 did not come (nothing was heard of node2, node3) within 0.5 s"

    def fails(rank_info: RankInfo) -> str:
        with pytest.raises(PreflightError) as error:
            Rendezvous(rank_info, 0.5)
        return str(error.value)

    for message in at_once([lambda: fails(first), lambda: fails(second)]):
        assert expected in message


def test_where_a_few_nodes_are_silent_the_job_is_told_to_leave_them_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "slurm_hosts", lambda _: ["node1", "node2"])
    monkeypatch.setenv("SLURMD_NODENAME", "node1")
    monkeypatch.setenv(UNFIT, str(tmp_path / "unfit"))
    with pytest.raises(UnfitNodesError, match=r"nothing was heard of node2"):
        Rendezvous(topologies(2)[0], 0.2)
    assert (tmp_path / "unfit").read_text() == "node2 nothing was heard of it within 0.2 s\n"


def test_without_rank_0_a_rank_says_itself_where_it_failed() -> None:
    with pytest.raises(
        PreflightError,
        match=r"rank 1 on .*: could not meet rank 0 at 127.0.0.1:\d+ within 1 s \(.*refused\)",
    ):
        Rendezvous(topologies(2)[1], 1)


def test_when_rank_0_goes_the_others_are_told() -> None:
    main, other = meet(2)
    del main
    assert not other.all_ok("anything", 10)
    with pytest.raises(PreflightError, match="lost contact with rank 0"):
        other.get("verdict", 10)
