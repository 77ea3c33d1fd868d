from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.host.names import spans
from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.problems import Problem, come_again, verdict
from surgstream.trainer.preflight.judgement.report import CheckFailure, RankReport, StepMemory
from tests.trainer.preflight.reports import NEEDS, VERSIONS, change, cluster


def problems(reports: list[RankReport]) -> list[Problem]:
    return find_problems(reports, NEEDS)


def the_problem(reports: list[RankReport]) -> Problem:
    (problem,) = problems(reports)
    return problem


@pytest.mark.parametrize(
    "reports", [cluster(1, gpus=1), cluster(64), change(cluster(2, gpus=1), gpus=(), own_gpu="")]
)
def test_healthy_nodes_have_no_problem(reports: list[RankReport]) -> None:
    assert problems(reports) == [] and verdict([]) == "go"


@pytest.mark.parametrize("name", VERSIONS)
def test_an_odd_version_is_named_with_what_most_have(name: str) -> None:
    problem = the_problem(change(cluster(3), 1, versions={**VERSIONS, name: "9.9"}))
    assert problem.fatal and problem.check == "versions" and problem.ranks == tuple(range(8, 16))
    assert f"{name} 9.9 where most have {VERSIONS[name]}" in problem.sentence


def test_a_version_that_only_some_have() -> None:
    without = {name: value for name, value in VERSIONS.items() if name != "NCCL"}
    assert (
        "NCCL none where most have 2.28.9"
        in the_problem(change(cluster(3), 0, versions=without)).sentence
    )


def test_a_node_without_gpus_among_nodes_with_some() -> None:
    problem = the_problem(change(cluster(3, gpus=1), 2, gpus=(), own_gpu=""))
    assert problem.fatal and problem.ranks == (2,)
    assert "no GPU where most have NVIDIA H800 80 GiB" in problem.sentence


@pytest.mark.parametrize(
    ("ahead", "fatal"), [(-5.5, True), (5.5, True), (4.5, False), (-4.5, False)]
)
def test_a_clock_that_is_off(ahead: float, fatal: bool) -> None:
    found = problems(change(cluster(2, gpus=1), 1, clock=1_790_000_000.0 + ahead))
    assert [(problem.check, problem.ranks) for problem in found] == (
        [("clock", (1,))] if fatal else []
    )
    assert all(f"{ahead:+.1f} s from rank 0's" in problem.sentence for problem in found)


def test_a_corpus_that_differs() -> None:
    problem = the_problem(change(cluster(3), 2, manifest="50b0d5311c36"))
    assert problem.fatal and problem.ranks == tuple(range(16, 24))
    assert "manifest 50b0d5311c36 where most have d0985de36c13" in problem.sentence


@pytest.mark.parametrize(("free", "fatal"), [(1.1, [True]), (1.3, [False]), (4.9, [])])
def test_a_disk_that_does_not_hold_a_checkpoint_or_not_all(free: float, fatal: list[bool]) -> None:
    found = problems(change(cluster(2), 1, run_dir_gib=free))
    assert [problem.fatal for problem in found] == fatal
    assert all("checkpoint.keep_last" in problem.sentence for problem in found)


@pytest.mark.parametrize(
    ("changes", "check", "says", "fatal"),
    [
        ({"cache_gib": 90.0}, "cache", "has room for 90 GiB, data.cache_bytes are 93", False),
        ({"shm_gib": 0.06}, "shm", "NCCL needs 0.50 for 8 ranks", True),
        ({"nofile": 319}, "limits", "nofile is 319, expected 320", True),
        ({"nproc": 2047}, "limits", "nproc is 2047, expected 2048", True),
        ({"memlock": 65536 * 1024}, "limits", "memlock is 64 MiB", False),
        ({"own_free_gib": 40.0}, "GPUs", "only 50% of a GPU's memory is free", False),
        ({"own_gpu": "h800-node-001-3"}, "GPUs", "8 ranks share 1 GPUs", True),
        ({"mb_per_second": 9.0}, "store", "reads 72 MB/s, 8 GPUs may want 80", False),
        ({"bus_gb_per_second": 4.0}, "network", "4.0 GB/s; that is TCP", False),
        (
            {"step": StepMemory(peak_gib=75.0, gib=79.6)},
            "step",
            "over 90% of the GPU's memory",
            False,
        ),
        ({"mb_per_second": None}, "store", "not checked in time", True),
        ({"shared": None}, "run_dir", "not checked in time", True),
        ({"step": None}, "step", "not checked in time", True),
        ({"bus_gb_per_second": None}, "network", "not checked in time", True),
        ({"clock": None}, "clock", "not checked in time", True),
    ],
)
def test_what_does_not_suffice(
    changes: dict[str, object], check: str, says: str, fatal: bool
) -> None:
    problem = the_problem(change(cluster(2), 1, **changes))
    assert (problem.check, problem.fatal) == (check, fatal) and says in problem.sentence
    assert set(problem.ranks) <= set(range(8, 16))


def test_gpus_that_no_rank_uses_are_no_reason_to_stop() -> None:
    problem = the_problem([report for report in cluster(1) if report.rank % 2 == 0])
    assert not problem.fatal and "8 GPUs are seen, 4 used" in problem.sentence


def test_no_step_is_missed_where_none_was_asked_for() -> None:
    assert find_problems(change(cluster(1), step=None), replace(NEEDS, with_step=False)) == []


def test_what_fails_alike_on_many_ranks_is_said_once_and_hides_what_follows_from_it() -> None:
    failure = CheckFailure(
        check="run_dir", sentence="what rank 8 wrote there is not seen here; share it"
    )
    reports = change(cluster(2), 1, failures=(failure,), shared=None, bus_gb_per_second=None)
    assert the_problem(reports) == Problem(
        check="run_dir", sentence=failure.sentence, ranks=tuple(range(8, 16)), of_node=True
    )


def test_what_was_not_checked_in_time_may_pass_and_what_was_found_comes_again() -> None:
    slow = CheckFailure(check="store", sentence="no answer within 12 s; look", in_time=False)
    silent = change(cluster(2), 1, failures=(slow,), mb_per_second=None)
    late = change(cluster(2), 1, clock=None)
    assert not come_again(problems(silent)) and not come_again(problems(late))
    assert verdict(problems(silent)) == verdict(problems(late)) == "no go: 1 problem"
    assert come_again(problems(change(silent, 0, manifest="other")))
    assert not come_again(problems(change(silent, 0, memlock=1))), "a warning forbids nothing"


def test_the_verdict_counts_what_forbids_a_run() -> None:
    warned = change(cluster(2), 0, mb_per_second=1.0)
    assert verdict(problems(warned)) == "go"
    assert verdict(problems(change(warned, 1, manifest="other"))) == "no go: 1 problem"
    assert (
        verdict(problems(change(change(warned, 1, manifest="other"), 0, shm_gib=0.0)))
        == "no go: 2 problems"
    )


@given(st.sets(st.integers(0, 60)))
def test_spans_name_each_number_once_and_in_order(numbers: set[int]) -> None:
    found: list[int] = []
    for span in filter(None, spans(numbers).split(", ")):
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1)
        assert found[-1] + 1 not in numbers, "a span is as long as it can be"
    assert found == sorted(numbers)
