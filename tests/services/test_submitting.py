"""Jobs are the same wherever they are submitted from, and get the GPUs that a site asks for, on a real Slurm."""

import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from surgstream.launch.site import Site
from surgstream.launch.slurm import render
from tests.services.jobs import ROOT
from tests.services.slurm import Cluster

PLACES = (
    [],
    ["salloc", "-n1"],
    ["salloc", "-n1", "--mem-per-cpu=100"],
    ["salloc", "-n1", "--gpus-per-task=1"],
    ["srun", "-n1", "--mem-per-gpu=10", "--gpus-per-node=1", "--cpu-bind=none"],
)
SUBMIT = """
import sys
from pathlib import Path
from surgstream.launch.slurm import submit
print(submit(Path(sys.argv[1])))
"""
SHOW = "echo $SLURM_PROCID of $SLURM_NTASKS sees ${CUDA_VISIBLE_DEVICES-none}, restart $SLURM_RESTART_COUNT"


def ranks(
    cluster: Cluster, folder: Path, site: Site, place: list[str], *, by_hand: bool = False
) -> list[str]:
    """What the ranks of a job say of themselves that is submitted from some place."""
    folder.mkdir()
    (folder / "surgstream").write_text(f"#!/bin/bash\n{SHOW}\n")
    (folder / "surgstream").chmod(0o755)
    (folder / "script").write_text(render(site, [], run_dir=folder, name="run"))
    way = ["sbatch", "--parsable"] if by_hand else [sys.executable, "-c", SUBMIT]
    surroundings = [
        f"PATH={folder}:/usr/bin:/bin",
        f"PYTHONPATH={ROOT / 'src'}",
        "SLURM_RESTART_COUNT=3",
    ]
    job = cluster.run(*place, "env", *surroundings, *way, str(folder / "script")).split()[-1]
    ended = cluster.wait(job)
    log = (folder / f"slurm-{job}.log").read_text()
    assert ended["JobState"] == "COMPLETED", f"from {place}: {log}"
    return sorted(line for line in log.splitlines() if " sees " in line)


@pytest.mark.parametrize("by_hand", [False, True], ids=["surgstream launch", "sbatch"])
def test_a_job_is_the_same_wherever_it_is_submitted_from(
    cluster: Cluster, tmp_path: Path, by_hand: bool
) -> None:
    site = Site(time="5", nodes=2, gpus_per_node=1, memory="1000M")
    for number, place in enumerate(PLACES):
        said = ranks(cluster, tmp_path / str(number), site, place, by_hand=by_hand)
        assert said == ["0 of 2 sees 0, restart 0", "1 of 2 sees 0, restart 0"], place


def test_gpus_are_asked_for_by_type_or_plainly(cluster: Cluster, tmp_path: Path) -> None:
    for gpu_type in (None, "h800"):
        for option in get_args(get_type_hints(Site)["gpu_option"]):
            site = Site(time="5", gpus_per_node=2, gpu_type=gpu_type, gpu_option=option)
            said = ranks(cluster, tmp_path / f"{gpu_type}-{option}", site, [])
            assert said == ["0 of 2 sees 0,1, restart 0", "1 of 2 sees 0,1, restart 0"], site.gpus


def test_slurm_tells_what_becomes_of_jobs(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nsleep 60\n")
    waits, cancelled = (cluster.submit("--hold", "--output=/dev/null", script) for _ in range(2))
    cluster.cancel(cancelled)
    code = "import sys; from surgstream.trainer.runs.slurm import ask_slurm; "
    code += "print(*ask_slurm(sys.argv[1:]).values(), sep='\\n')"
    ask = ["env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, "-c", code]
    assert cluster.run(*ask, waits, cancelled, "99").splitlines() == [
        f"job {waits} is PENDING (JobHeldUser)", f"job {cancelled} is CANCELLED (JobHeldUser)", "job 99 is FORGOTTEN",
    ]  # fmt: skip
    assert cluster.run(*ask, "99") == "job 99 is FORGOTTEN\n"
