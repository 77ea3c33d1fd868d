"""Which nodes are to blame for a start that cannot be."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.report import CheckFailure, RankReport
from surgstream.trainer.preflight.judgement.unfit import are_few, tell_job, unfit_nodes
from surgstream.trainer.runs.files import UNFIT
from tests.trainer.preflight.reports import NEEDS, change, cluster


def blamed(reports: list[RankReport]) -> dict[str, str]:
    return unfit_nodes(find_problems(reports, NEEDS), reports)


@pytest.mark.parametrize(
    "changes",
    [
        {"shm_gib": 0.1},
        {"nofile": 200},
        {"gpus": (), "own_gpu": ""},
        {"versions": {"torch": "2.6"}},
        {"manifest": "other"},
        {"clock": 0.0},
        {"failures": (CheckFailure(check="store", sentence="no answer"),), "mb_per_second": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_node_that_is_unlike_the_others_is_to_blame(changes: dict[str, object]) -> None:
    found = blamed(change(cluster(4), 2, **changes))
    assert list(found) == ["h800-node-002"]
    assert blamed(change(cluster(4), **changes)) == {}, "what all nodes have is the run's"


def test_a_network_that_fails_blames_nobody() -> None:
    failure = CheckFailure(check="network", sentence="no answer within 40 s", of_node=False)
    assert blamed(change(cluster(4), 1, failures=(failure,), bus_gb_per_second=None)) == {}


def test_nor_does_anything_beside_a_fault_of_the_run() -> None:
    reports = change(cluster(4), 2, shm_gib=0.1)
    failure = CheckFailure(check="network", sentence="the network loses data")
    assert blamed([replace(report, failures=(failure,)) for report in reports]) == {}


def test_warnings_blame_nobody() -> None:
    assert blamed(change(cluster(4), 2, mb_per_second=1.0)) == {}


def test_at_most_half_of_the_nodes_are_to_blame() -> None:
    assert [are_few(number, 4) for number in range(1, 5)] == [True, True, False, False]
    reports = cluster(4)
    for node in (0, 1, 2):
        reports = change(reports, node, shm_gib=0.1)
    assert blamed(reports) == {}


def test_a_job_is_told_if_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(UNFIT, raising=False)
    tell_job({"node2": "why"})
    monkeypatch.setenv(UNFIT, str(tmp_path / "unfit"))
    tell_job({})
    assert not (tmp_path / "unfit").exists()
    tell_job({"node2": 'a "word"\nand \x1b', "node3": "why"})
    first, second = (tmp_path / "unfit").read_text().splitlines()
    node, _, reason = first.partition(" ")
    assert (node, json.loads(f'"{reason}"')) == ("node2", 'a "word"\nand \x1b')
    assert second == "node3 why"
