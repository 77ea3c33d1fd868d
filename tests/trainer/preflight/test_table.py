from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.report import CheckFailure, RankReport
from surgstream.trainer.preflight.judgement.table import render
from tests.trainer.preflight.reports import NEEDS, change, cluster


def page(reports: list[RankReport]) -> list[str]:
    return render(reports, find_problems(reports, NEEDS)).splitlines()


def row(lines: list[str], node: str) -> dict[str, str]:
    """A line of the table by its headings; headings end where their cells end."""
    (heading,) = (line for line in lines if line.startswith("node "))
    (line,) = (line for line in lines if line.startswith(node))
    cells = [cell.strip() for cell in line.replace("  ", "\t").split("\t") if cell.strip()]
    return dict(zip(heading.split(), cells, strict=True))


def test_64_nodes_fit_into_120_columns() -> None:
    lines = page(cluster(64))
    assert max(map(len, lines)) <= 120
    assert len(lines) == 2 + 1 + 65 + 1 + 1
    assert lines[0] == (
        "64 nodes, 512 ranks: NVIDIA H800 80 GiB, torch 2.13.0+cu130, DALI 2.4.0, driver 580.65.06, CUDA 13.0, "
        "NCCL 2.28.9"
    )
    assert lines[1] == "corpus d0985de36c13"
    assert lines[-1] == "go"
    assert len({len(line) for line in lines[3:68]}) == 1, "columns are aligned"


def test_a_node_in_a_line() -> None:
    assert row(page(cluster(64)), "h800-node-063") == {
        "node": "h800-node-063", "ranks": "504-511", "GPUs": "8x80G", "versions": "same", "limits": "ok",
        "clock": "+0.5s", "disk": "19.5T", "cache": "2.9T", "shm": "1.0T", "corpus": "same",
        "store": "1200 MB/s", "run_dir": "ok", "network": "312 GB/s", "step": "61G",
    }  # fmt: skip


def test_what_failed_is_marked_where_it_failed_and_told_below() -> None:
    reports = change(cluster(3), 1, clock=1_790_000_060.0, manifest="50b0d5311c36", shm_gib=0.06)
    lines = page(reports)
    bad, good = row(lines, "h800-node-001"), row(lines, "h800-node-002")
    assert (bad["clock"], bad["corpus"], bad["shm"]) == ("+60.0s!", "failed", "0.1G!")
    assert (good["clock"], good["corpus"], good["shm"]) == ("+0.0s", "same", "1.0T")
    told = "\n".join(lines[lines.index("what failed: what to do") :])
    assert (
        "  clock, ranks 8-15 on h800-node-001: the clock of h800-node-001 is +60.0 s from rank 0's"
        in told
    )
    assert lines[-1] == "no go: 3 problems"
    assert max(map(len, lines)) <= 120


def test_warnings_are_told_and_do_not_stop() -> None:
    lines = page(change(cluster(1), mb_per_second=5.0))
    assert "warnings" in lines and "what failed: what to do" not in lines and lines[-1] == "go"


def test_nothing_known_is_a_dash_and_not_an_error() -> None:
    failure = CheckFailure(check="node", sentence="no answer within 10 s; see whether df answers")
    reports = [*cluster(1, gpus=1), RankReport(rank=1, node="dark", failures=(failure,))]
    lines = page(reports)
    cells = row(lines, "dark!")
    assert {
        cells[name] for name in ("GPUs", "clock", "corpus", "store", "run_dir", "network", "step")
    } == {"-"}
    assert lines[-1] == "no go: 1 problem"


def test_many_nodes_with_one_problem_are_counted() -> None:
    lines = page(
        change(
            cluster(64), failures=(CheckFailure(check="store", sentence="access is denied; see"),)
        )
    )
    assert "  store, ranks 0-511 on 64 nodes: access is denied; see" in lines
