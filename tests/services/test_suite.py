"""A suite as arrays of jobs, under a real Slurm: the same table as by one process."""

import json
import re
from pathlib import Path

from surgstream.launch.__main__ import main
from tests.services.jobs import SITE, surgstream
from tests.services.slurm import Cluster
from tests.trainer.suite.made_up import MadeUp, make

SUITE = """
title: "Grey pictures"
parts:
  - tasks: [{phases}, {score}]
    protocols: [probe_ridge]
  - tasks: [{phases}]
    protocols: [probe_knn]
  - tasks: [{phases}]
    protocols: [probe_linear]
    set: [epochs=2, max_clips_per_epoch=16, global_batch_size=8, micro_batch_size=8, test_all=false]
  - tasks: [{phases}]
    protocols: [finetune_tiny] # raw pixels cannot be fine-tuned
seeds: [0]
yardsticks: []
"""


def words(made: MadeUp, out: Path) -> list[str]:
    suite = made.folder / "grey.yaml"
    text = SUITE.format(phases=made.task(), score=made.task("score"))
    suite.write_text(text)
    return [
        *(str(suite), "weights=pixels", "encoder.num_frames=2", "encoder.image_size=16"),
        *(f"--corpus={made.shards}", f"--labels={made.labels}", f"--out={out}"),
    ]


def test_arrays_of_two_nodes_make_the_table_of_one_process(
    cluster: Cluster, tmp_path: Path
) -> None:
    made = make(tmp_path)
    out = tmp_path / "jobs"
    site = ("site.ranks_per_node=1",)
    page = surgstream(cluster, "launch", "suite", SITE, *words(made, out), *site)
    jobs = {name: job for job, name in re.findall(r"job (\d+): (\w+)", page)}
    assert list(jobs) == ["features", "probe", "readouts", "table"]

    logs = lambda: "\n".join(log.read_text() for log in sorted(out.glob("jobs/**/*.log")))  # noqa: E731
    assert cluster.wait(jobs["table"], timeout=400)["JobState"] == "COMPLETED", logs()
    table = (out / "table.md").read_text()
    assert "not possible: fine-tuning takes video encoders" in table

    alone = tmp_path / "alone"
    main(["suite", *words(made, alone)])
    for name in ("table.md", "table.tex"):
        assert (out / name).read_bytes() == (alone / name).read_bytes(), logs()

    runs = [str(path) for path in sorted(out.glob("cells/*"))]
    states = surgstream(cluster, "status", "--json", *runs).splitlines()
    assert [json.loads(line)["state"] for line in states] == ["done"] * 4
