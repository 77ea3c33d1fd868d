import os
import socket
from typing import Any

import pytest
import torch

from surgstream.trainer.distributed import RankInfo, leave, rank_info_from_environment
from surgstream.trainer.errors import DistributedError
from surgstream.trainer.joining import join
from tests.helpers.ranks import finish, start_ranks

SHELL = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}


@pytest.mark.parametrize(("world_size", "bound"), [(1, None), (2, torch.device("cuda", 0))])
def test_nccl_is_bound_to_its_gpu_unless_it_is_alone(
    world_size: int, bound: torch.device | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dict[str, Any]()
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: found.update(current=device))
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda name, **settings: found.update(settings)
    )
    monkeypatch.setattr("surgstream.trainer.joining.bind_near", lambda device: None)
    monkeypatch.setattr("surgstream.trainer.joining._meet", lambda *_: None)
    join(RankInfo(world_size=world_size), 60)
    assert found["current"] == torch.device("cuda", 0) and found["device_id"] == bound


@pytest.mark.parametrize(("num_gpus", "expected"), [(8, "3"), (1, "0")])
def test_the_number_of_the_gpu_is_the_local_rank_that_deepspeed_is_told(
    num_gpus: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeepSpeed makes GPU number LOCAL_RANK the current one; a task that sees one alone has number 0."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr("surgstream.trainer.joining.bind_near", lambda _: None)
    monkeypatch.setattr("surgstream.trainer.joining._meet", lambda *_: None)
    join(RankInfo(rank=11, local_rank=3, world_size=16), 60)
    assert (os.environ["RANK"], os.environ["LOCAL_RANK"]) == ("11", expected)


def test_ranks_without_gpus_keep_their_local_rank_and_meet_where_rank_0_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr("surgstream.trainer.joining._meet", lambda *_: None)
    join(RankInfo(rank=3, local_rank=3, world_size=8), 60)
    assert os.environ["LOCAL_RANK"] == "3" and os.environ["GLOO_SOCKET_IFNAME"] == "lo"


@pytest.fixture
def alone_of_four(monkeypatch: pytest.MonkeyPatch) -> RankInfo:
    """The first of four ranks, whose others never come."""
    monkeypatch.setattr(
        os, "environ", {name: value for name, value in os.environ.items() if "SLURM" not in name}
    )
    monkeypatch.setattr("surgstream.trainer.joining._PATIENCE_SECONDS", 0.01)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return RankInfo(world_size=4, master_port=probe.getsockname()[1])


def test_a_shell_that_is_one_of_many_tasks_is_told_whom_it_waits_for(
    alone_of_four: RankInfo, caplog: pytest.LogCaptureFixture
) -> None:
    os.environ.update(SHELL)
    with pytest.raises(
        DistributedError, match=r"could not meet the other 3 ranks at .*\(ranks 1-3 did not come\)"
    ):
        join(alone_of_four, 0.5)
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith(
        "waiting for ranks 1-3 of 4, since srun has started 4 tasks (SLURM_NTASKS); in a shell"
    )
    assert (
        "set SLURM_NTASKS=1 to train in this process alone, or `surgstream launch torchrun RECIPE`"
        in said
    )
    assert rank_info_from_environment(SHELL | {"SLURM_NTASKS": "1"}) == RankInfo(), (
        "the way out is one"
    )


def test_ranks_of_other_launchers_need_no_way_out(
    alone_of_four: RankInfo, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DistributedError):
        join(alone_of_four, 0.5)
    assert [record.getMessage() for record in caplog.records] == ["waiting for ranks 1-3 of 4"]


def add_up() -> None:
    join(rank_info_from_environment(os.environ), 60)
    total = torch.ones(1)
    torch.distributed.all_reduce(total)
    leave()
    raise SystemExit(int(total))


@pytest.mark.slow
def test_all_ranks_meet() -> None:
    assert finish(start_ranks(add_up, 3, ())) == [3, 3, 3]
