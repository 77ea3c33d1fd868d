"""Packing as a job array, and the loader measured on more and more nodes, under a real Slurm."""

import contextlib
import hashlib
import json
import re
from pathlib import Path

import psutil

from surgstream.launch.__main__ import main
from tests.end_to_end.conftest import PACKING, Corpora
from tests.end_to_end.runs import RECIPE, words
from tests.helpers.ranks import wait_for
from tests.services.jobs import SITE, surgstream
from tests.services.slurm import Cluster


def contents(corpus: Path) -> dict[str, str]:
    """The checksum of every file of a corpus."""
    return {
        str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in corpus.rglob("*")
        if path.is_file()
    }


def launch_packing(cluster: Cluster, corpora: Corpora, out: Path, *options: str) -> dict[str, str]:
    """Submit plan, array and merge; returns their job ids."""
    page = surgstream(
        cluster, "launch", "pack", SITE, str(corpora.videos / "corpus.yaml"), str(out), *PACKING, "workers=1",
        "shard_bytes=1", *options, "--tasks", "4", "--logs", str(out.with_name("logs")),
    )  # fmt: skip
    return {kind: job for job, kind in re.findall(r"job (\d+): (\w+)", page)}


def packed_alone(corpora: Corpora, out: Path) -> dict[str, str]:
    options = [*PACKING, "workers=1", "shard_bytes=1"]
    assert main(["pack", str(corpora.videos / "corpus.yaml"), str(out), *options]) == 0
    return contents(out)


def logs(out: Path) -> str:
    return "\n".join(log.read_text() for log in sorted(out.with_name("logs").glob("*.log")))


def parts(out: Path) -> list[psutil.Process]:
    """The processes that pack a part each."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "surgstream" and {"--part", str(out)} <= set(process.cmdline()):
                found.append(process)
    return found


def test_an_array_packs_what_one_process_packs(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    out = tmp_path / "array"
    jobs = launch_packing(cluster, corpora, out)
    assert list(jobs) == ["plan", "part", "merge"]
    assert cluster.wait(jobs["merge"], timeout=240)["JobState"] == "COMPLETED", logs(out)
    assert len(list(out.with_name("logs").glob("part-*.log"))) == 4
    alone = packed_alone(corpora, tmp_path / "alone")
    assert len([name for name in alone if name.endswith(".tar")]) > 4, (
        "every task has something to do"
    )
    assert contents(out) == alone


def test_a_killed_task_is_made_good_by_the_same_command(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    out = tmp_path / "array"
    jobs = launch_packing(cluster, corpora, out)
    wait_for(lambda: bool(parts(out)))
    parts(out)[0].kill()
    assert cluster.wait(jobs["merge"], timeout=240)["JobState"] == "CANCELLED", (
        "not before all parts are there"
    )
    assert not (out / "manifest.json").exists()

    jobs = launch_packing(cluster, corpora, out)
    assert cluster.wait(jobs["merge"], timeout=240)["JobState"] == "COMPLETED", logs(out)
    assert contents(out) == packed_alone(corpora, tmp_path / "alone")


def test_the_loader_is_measured_on_more_and_more_nodes(
    cluster: Cluster, corpora: Corpora, tmp_path: Path
) -> None:
    recipe = words(corpora, tmp_path / "run")
    assert recipe[0] == RECIPE
    bench = ["launch", "loader", SITE, *recipe, f"--out={tmp_path}/bench"]
    page = surgstream(cluster, *bench, "--nodes=1,2", "--seconds=3")
    last = re.findall(r"job (\d+)", page)[-1]
    assert cluster.wait(last, timeout=240)["JobState"] == "COMPLETED"
    report = surgstream(cluster, *bench, "--report")
    for nodes in (1, 2):
        found = json.loads((tmp_path / "bench" / f"nodes_{nodes:04d}" / "loader.json").read_text())
        assert found["num_nodes"] == nodes
    assert "100 %" in report and "GET" in report
    assert (tmp_path / "bench" / "scaling.svg").read_text().startswith("<svg")
