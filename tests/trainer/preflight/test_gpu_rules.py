"""Nodes that show fewer GPUs than the run was given, or to each rank its own alone."""

from dataclasses import replace

import pytest

from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.problems import Problem, verdict
from surgstream.trainer.preflight.judgement.report import RankReport
from tests.trainer.preflight.reports import NEEDS, change, cluster


def problems(reports: list[RankReport]) -> list[Problem]:
    return find_problems(reports, NEEDS)


def each_sees_its_own(reports: list[RankReport]) -> list[RankReport]:
    """The same ranks, under `srun --gpus-per-task=1`."""
    alone = []
    for report in reports:
        assert report.facts
        own = tuple(gpu for gpu in report.facts.gpus if gpu.uuid == report.facts.own_gpu)
        alone.append(replace(report, facts=replace(report.facts, gpus=own)))
    return alone


def test_a_run_that_was_given_gpus_does_not_start_where_no_node_shows_any() -> None:
    found = problems(change(cluster(4), gpus=(), own_gpu="", gpus_asked_for=8))
    assert verdict(found) == "no go: 4 problems"
    assert [(problem.check, problem.ranks) for problem in found] == [
        ("GPUs", tuple(range(8 * node, 8 * node + 8))) for node in range(4)
    ]
    assert "expected 8 GPUs, got 0; see nvidia-smi" in found[0].sentence


def test_a_node_whose_ranks_see_fewer_gpus_together_is_named() -> None:
    """Each rank sees one, as under `--gpus-per-task=1`, and two of them the same."""
    reports = each_sees_its_own(change(cluster(3), gpus_asked_for=8))
    reports[7] = replace(reports[7], facts=reports[6].facts)
    (problem,) = [found for found in problems(reports) if "expected" in found.sentence]
    assert problem.fatal and problem.ranks == tuple(range(8))
    assert "expected 8 GPUs, got 7" in problem.sentence


@pytest.mark.parametrize("asked_for", [0, 8])
def test_ranks_that_see_their_own_gpu_alone_may_train_and_are_warned(asked_for: int) -> None:
    (problem,) = problems(each_sees_its_own(change(cluster(1), gpus_asked_for=asked_for)))
    assert not problem.fatal and problem.check == "GPUs"
    assert problem.sentence.startswith("1 GPU visible, 8 ranks on the node: where cgroups hide")


def test_one_gpu_a_node_has_no_neighbour() -> None:
    assert problems(change(cluster(2, gpus=1), gpus_asked_for=1)) == []


def test_a_node_whose_rank_says_nothing_is_not_said_to_lack_its_gpu() -> None:
    reports = each_sees_its_own(change(cluster(1), gpus_asked_for=8))
    found = problems([replace(reports[0], facts=None), *reports[1:]])
    assert not any("expected 8 GPUs" in problem.sentence for problem in found)


def test_cores_of_another_socket_than_the_gpu_s_are_warned_of() -> None:
    reports = cluster(1)
    assert reports[4].facts
    reports[4] = replace(reports[4], facts=replace(reports[4].facts, num_cores=12, num_far_cores=8))
    (problem,) = problems(reports)
    assert problem.ranks == (4,) and not problem.fatal
    assert "8 of a rank's 12 cores are of another NUMA node than its GPU" in problem.sentence
