"""Batch scripts as they are rendered; tests/services runs them on a real Slurm."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from surgstream.configs.loading import load
from surgstream.launch.__main__ import main
from surgstream.launch.site import ContainerConfig, Site
from surgstream.launch.slurm import render
from surgstream.trainer.runs.jobs import jobs_of
from tests.launch.test_site import PRESETS

RECIPE = "configs/pretrain/surgvista_tiny.yaml"
CONTAINERS = {
    "none": None,
    "apptainer": ContainerConfig(
        runtime="apptainer", image="/images/s.sif", mounts=("/scratch", "/a:/b")
    ),
    "pyxis": ContainerConfig(runtime="pyxis", image="/images/s.sqsh", mounts=("/scratch", "/a:/b")),
}


def checked(script: str) -> str:
    """A script that bash and shellcheck have nothing against."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([shellcheck, "-"], input=script, text=True, capture_output=True)
    assert found.returncode == 0, found.stdout
    return script


def setting(script: str, name: str) -> list[str]:
    """The words of one of a script's arrays."""
    (line,) = [line for line in script.splitlines() if line.startswith(f"{name}=(")]
    return shlex.split(line.removeprefix(f"{name}=(").removesuffix(")"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["srun", "torchrun"])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_renders(preset: Path, container: str, launcher: str, tmp_path: Path) -> None:
    site = load(Site, preset, [f"launcher={launcher}"])
    if CONTAINERS[container]:
        site = Site(**{**vars(site), "venv": None, "container": CONTAINERS[container]})
    script = checked(render(site, ["pretrain", "r.yaml"], run_dir=tmp_path, name="run"))
    assert f"#SBATCH --nodes={site.nodes}\n" in script
    assert f"#SBATCH --time={site.time}\n" in script
    assert ("#SBATCH --gpus" in script) == (site.gpus_per_node > 0)
    assert all(f"export {name}=" in script for name in site.environment)
    assert f"launcher={launcher}\n" in script


@pytest.mark.parametrize(
    "path", [*sorted(Path("launch").glob("*.sh")), Path("launch/slurm.sbatch")], ids=str
)
def test_our_own_scripts(path: Path) -> None:
    checked(path.read_text())


@pytest.mark.parametrize(("gpus", "count"), [(None, "0"), ("5", "1"), ("0,1,2,3", "4")])
def test_a_script_of_one_s_own_asks_for_the_gpus_that_the_job_has(
    gpus: str | None, count: str
) -> None:
    lines = Path("launch/slurm.sbatch").read_text().splitlines()
    script = "\n".join(line for line in lines if "_GPUS" in line)
    environment = {"SLURM_JOB_GPUS": gpus} if gpus else {}
    command = ["bash", "-c", f"{script}\necho $SURGSTREAM_GPUS_PER_NODE"]
    assert subprocess.check_output(command, env=environment, text=True).strip() == count


def test_all_that_a_site_may_say() -> None:
    site = Site(
        nodes=3, gpus_per_node=2, cpus_per_task=5, memory="100G", exclusive=True, partition="p", account="a", qos="q",
        constraint="h800&ib", exclude="node[1,3]", time="1-00:00:00", options=("--mail-type=FAIL", "--comment=a b"),
        srun_options=("--cpu-bind=cores",), save_before_end_seconds=90, max_starts_without_progress=7,
        modules=("cuda/13", "gcc"), venv="/some where/.venv", setup_commands=("surgstream stage 's3://b/c' /local",),
        environment={"A": 1, "B": "two words"},
    )  # fmt: skip
    script = checked(
        render(site, ["pretrain", "a b.yaml"], run_dir=Path("/run dir"), name="my run")
    )
    asked = [
        line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")
    ]
    assert asked == [
        "--job-name=my-run", "--nodes=3", "--ntasks-per-node=2", "--cpus-per-task=5", "--gpus-per-node=2", "--mem=100G",
        "--exclusive", "--partition=p", "--account=a", "--qos=q", "--constraint=h800&ib", "--exclude=node[1,3]",
        "--time=1-00:00:00", "--open-mode=append", f"--chdir={Path.cwd()}", "'--output=/run dir/slurm-%j.log'",
        "--mail-type=FAIL", "'--comment=a b'", "--signal=B:USR1@90", "--requeue",
    ]  # fmt: skip
    assert setting(script, "words") == ["pretrain", "a b.yaml"]
    assert setting(script, "setup_commands") == ["surgstream stage 's3://b/c' /local"]
    assert setting(script, "srun_options") == ["--cpu-bind=cores"]
    for line in (
        "export A=1", "export B='two words'", "module load cuda/13 gcc", "source '/some where/.venv/bin/activate'",
        "max_starts_without_progress=7", "exclude='node[1,3]'", "max_excluded_nodes=2", "exclude_hours=24",
        "run_dir='/run dir'", "export SURGSTREAM_GPUS_PER_NODE=2",
    ):  # fmt: skip
        assert f"\n{line}\n" in script


def test_containers_see_what_is_mounted() -> None:
    scripts = {
        name: render(
            Site(time="1", container=container), ["pretrain"], run_dir=Path("/run"), name="run"
        )
        for name, container in CONTAINERS.items()
    }
    bound = [
        "apptainer",
        "exec",
        "--nv",
        "--bind=/run",
        "--bind=/scratch",
        "--bind=/a:/b",
        "/images/s.sif",
    ]
    assert setting(scripts["apptainer"], "inside") == bound
    assert setting(scripts["apptainer"], "srun_options") == []
    mounted = [
        "--container-image=/images/s.sqsh",
        "--container-mounts=/run:/run,/scratch:/scratch,/a:/b",
    ]
    assert setting(scripts["pyxis"], "srun_options") == mounted
    assert setting(scripts["pyxis"], "inside") == []
    assert setting(scripts["none"], "inside") == setting(scripts["none"], "srun_options") == []


@pytest.mark.parametrize(("runtime", "array"), [("apptainer", "inside"), ("pyxis", "srun_options")])
def test_variables_of_the_node_are_expanded_in_image_and_mounts(
    tmp_path: Path, runtime: str, array: str
) -> None:
    container = ContainerConfig(
        runtime=runtime, image="$IMAGES/s.sif", mounts=("/local/$USER:/local",)
    )  # type: ignore[arg-type]
    script = render(Site(time="1", container=container), [], run_dir=Path("/runs/$5"), name="run")
    head = script.partition("job=${SLURM_JOB_ID")[0] + f'printf "%s\n" "${{{array}[@]}}"'
    environment = {"PATH": "/usr/bin:/bin", "IMAGES": "/my images", "USER": "me"}
    printed = subprocess.run(
        ["bash", "-c", head], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "/my images/s.sif" in printed and "/local/me:/local" in printed and "/runs/$5" in printed


def said_by(script: str, programs: Path, **environment: str) -> dict[str, str]:
    """What the head of a script makes of an environment, up to where it looks for its job."""
    head = script.partition("job=${SLURM_JOB_ID")[0] + "env -0\n"
    path = f"{programs}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", head], env={"PATH": path, **environment}, capture_output=True, check=True
    )
    return dict(line.decode().split("=", 1) for line in done.stdout.split(b"\0") if line)


def test_variables_in_values_are_those_of_the_job_and_all_else_is_literal(tmp_path: Path) -> None:
    values: dict[str, str | int] = {
        "PATH": "/x/bin:$PATH", "WHERE": "${HOME}/a b", "PRICE": "$$HOME", "NONE": "-$NO_SUCH-", "N": 4,
        "ODD": "\"q\" `id` \\ $(id) 'x' $1 $", "BOTH": "\"$HOME\" `id` \\ $(id) 'x' $1 $",
    }  # fmt: skip
    script = render(Site(time="1", environment=values), [], run_dir=tmp_path, name="run")
    found = said_by(script, tmp_path, HOME="/home/me")
    expected = {
        "PATH": f"/x/bin:{tmp_path}:/usr/bin:/bin", "WHERE": "/home/me/a b", "PRICE": "$HOME", "NONE": "--", "N": "4",
        "ODD": values["ODD"], "BOTH": "\"/home/me\" `id` \\ $(id) 'x' $1 $",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_of_what_slurm_and_its_launchers_read_only_the_site_s_own_reaches_a_job(
    tmp_path: Path,
) -> None:
    own: dict[str, str | int] = {"PMIX_MCA_gds": "hash", "SLURM_CPU_BIND": "cores"}
    script = render(Site(time="1", environment=own), [], run_dir=tmp_path, name="run")
    outer = {
        "SLURM_CPU_BIND": "none",
        "SLURM_MEM_PER_CPU": "100",
        "PMI_RANK": "3",
        "SLURM_CONF": "/etc/slurm.conf",
    }
    found = said_by(script, tmp_path, **outer)
    read = {name: value for name, value in found.items() if name.startswith(("SLURM", "PMI"))}
    assert read == {
        "PMIX_MCA_gds": "hash",
        "SLURM_CPU_BIND": "cores",
        "SLURM_CONF": "/etc/slurm.conf",
    }


def test_python_packages_of_the_surroundings_stay_outside(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").touch()
    host = {"PYTHONPATH": "/opt/ros", "PYTHONHOME": "/usr", "PYTHONSTARTUP": "x.py"}

    def inside(site: Site) -> dict[str, str]:
        found = said_by(render(site, [], run_dir=tmp_path, name="run"), tmp_path, **host)
        return {name: value for name, value in found.items() if name.startswith("PYTHON")}

    for place in (
        {"venv": str(tmp_path)},
        {"container": CONTAINERS["apptainer"]},
        {"container": CONTAINERS["pyxis"]},
    ):
        assert inside(Site(time="1", **place)) == {"PYTHONNOUSERSITE": "1"}  # type: ignore[arg-type]
    asked = Site(time="1", venv=str(tmp_path), environment={"PYTHONPATH": "/mine"})
    assert inside(asked) == {"PYTHONNOUSERSITE": "1", "PYTHONPATH": "/mine"}
    assert inside(Site(time="1")) == host, "where Python itself is of the surroundings"


def test_a_job_that_is_not_requeued_is_not_told_to_save() -> None:
    script = render(Site(time="1"), ["loader"], run_dir=Path("/run"), name="run", requeues=False)
    assert "#SBATCH --signal" not in script and "#SBATCH --requeue" not in script
    assert "max_starts_without_progress=0\n" in script


@pytest.mark.parametrize(
    ("word", "rendered"),
    [
        ("$SLURM_ARRAY_TASK_ID/4", '"$SLURM_ARRAY_TASK_ID/4"'),
        ("$HOME", "'$HOME'"),
        ("$(rm -rf /)$SLURM_JOB_ID", "'$(rm -rf /)$SLURM_JOB_ID'"),
        ("x.y=[1, 2]", "'x.y=[1, 2]'"),
    ],
)
def test_only_variables_of_slurm_are_left_to_the_shell(word: str, rendered: str) -> None:
    script = render(Site(time="1"), [word], run_dir=Path("/run"), name="run")
    assert f"\nwords=({rendered})\n" in script


def test_a_dry_run_prints_the_script_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    words = [
        "launch",
        "slurm",
        "configs/launch/cpu_test.yaml",
        "--dry-run",
        RECIPE,
        f"run_dir={run_dir}",
    ]
    assert main([*words, "site.nodes=1", "site.partition=urgent", "site.time=12:00:00"]) == 0
    script = checked(capsys.readouterr().out)
    assert "#SBATCH --nodes=1\n" in script and "#SBATCH --time=12:00:00\n" in script
    assert "#SBATCH --partition=urgent\n" in script
    assert f"run_dir={run_dir}\n" in script
    assert re.search("^export SURGSTREAM_SITE=.?cpu_test.?$", script, re.MULTILINE)
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["micro_batch_size=5"],
            "global_batch_size: expected a multiple of micro_batch_size 5, got 16",
        ),
        (
            ["site.nodes=3"],
            "expected a multiple of micro_batch_size x world_size = 8 x 3 = 24, got 16",
        ),
        (["site.nodes=0"], "nodes: expected 1 to 65536, got 0"),
        (["site.time=24h"], "time: expected minutes, hours:minutes:seconds"),
        (["optim.base_rl=1"], "optim.base_rl: unknown key; did you mean 'base_lr'?"),
    ],
)
def test_a_mistake_is_found_before_anything_is_submitted(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    assert (
        main(
            [
                "launch",
                "slurm",
                "configs/launch/cpu_test.yaml",
                RECIPE,
                f"run_dir={run_dir}",
                *words,
            ]
        )
        == 2
    )
    assert expected in capsys.readouterr().err
    assert not run_dir.exists()


def test_without_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        main(
            [
                "launch",
                "slurm",
                "configs/launch/cpu_test.yaml",
                RECIPE,
                f"run_dir={tmp_path / 'run'}",
            ]
        )
        == 1
    )
    assert "sbatch: not found; run this where Slurm is" in capsys.readouterr().err


def test_packing_is_planned_then_packed_in_parts_then_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus.yaml").write_text(
        "datasets: [{name: d, specialty: s, procedure: p, videos: '*.mp4'}]\npack: {fps: 1}\n"
    )
    words = [
        "launch",
        "pack",
        "configs/launch/h800_infiniband.yaml",
        str(tmp_path / "corpus.yaml"),
        "s3://b/c",
    ]
    assert main([*words, "fps=5", "--tasks", "4", f"--logs={tmp_path}/logs", "--dry-run"]) == 0
    shebang = "#!/usr/bin/env bash\n"
    plan, part, merge = (
        checked(shebang + text) for text in capsys.readouterr().out.split(shebang)[1:]
    )
    packing = ["pack", str(tmp_path / "corpus.yaml"), "s3://b/c", "fps=5"]
    assert setting(plan, "words") == [*packing, "--plan-only"]
    assert setting(part, "words") == [*packing, "--part", "$SLURM_ARRAY_TASK_ID/4"]
    assert setting(merge, "words") == packing
    assert "#SBATCH --array=0-3\n" in part and "#SBATCH --array" not in plan + merge
    assert "#SBATCH --gpus" not in plan + part + merge
    assert main([*words, "fsp=5", "--tasks", "4"]) == 2
    assert "pack.fsp: unknown key" in capsys.readouterr().err
    words[3] = "surgvista"
    assert (
        main(
            [
                *words,
                "--subset=A",
                "--root",
                "data",
                "--tasks=4",
                f"--logs={tmp_path}/logs",
                "--dry-run",
            ]
        )
        == 0
    )
    plan = capsys.readouterr().out.split(shebang)[1]
    preset = str(Path("configs/pack/surgvista.yaml").absolute())
    assert setting(shebang + plan, "words")[1:5] == [
        preset,
        "s3://b/c",
        "--subset=A",
        f"--root={Path.cwd() / 'data'}",
    ]
    files = ["--review=r.csv", "--pseudonyms=names.csv"]
    assert main([*words, *files, "--tasks=4", f"--logs={tmp_path}/logs", "--dry-run"]) == 0
    for script in capsys.readouterr().out.split(shebang)[1:]:
        assert [
            f"--{name}"
            for name in (f"review={Path.cwd()}/r.csv", f"pseudonyms={Path.cwd()}/names.csv")
        ] == (setting(shebang + script, "words")[3:5])
    assert (
        main([*words, "--review=s3://b/r.csv", "--tasks=4", f"--logs={tmp_path}/logs", "--dry-run"])
        == 0
    )
    plan = capsys.readouterr().out.split(shebang)[1]
    assert setting(shebang + plan, "words")[3] == "--review=s3://b/r.csv"
    assert main([*words, "--datasets=colec80", "--tasks=4", "--dry-run"]) == 2
    assert "--datasets: expected one of cholec80, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [("we$ird", "expected a variable that is set, got $ird"), ("$HERE", "expected no $ in paths")],
)
def test_a_folder_that_a_job_would_take_for_another_is_refused(
    name: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HERE", "there")
    folder, root = tmp_path / name, Path.cwd()
    folder.mkdir()
    monkeypatch.chdir(folder)
    words = [
        "launch",
        "slurm",
        str(root / "configs/launch/cpu_test.yaml"),
        str(root / RECIPE),
        "run_dir=run",
    ]
    assert main([*words, "site.venv=null"]) == 2
    assert expected in capsys.readouterr().err and not list(folder.iterdir())


def test_where_a_recipe_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "run-dir", RECIPE, "run_dir=here"]) == 0
    assert capsys.readouterr().out == f"{Path.cwd() / 'here'}\n"


GREETING = "Welcome to X!\n2026-11-29\n----"


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sbatch that says what `says` holds, and notes its arguments in `calls`."""
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls; env -0 >{tmp_path}/environment; cat {tmp_path}/says\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def submissions(folder: Path) -> list[list[str]]:
    """The command lines that submit each kind of job."""
    corpus = folder / "corpus.yaml"
    corpus.write_text("datasets: [{name: d, specialty: s, procedure: p, videos: '*.mp4'}]\n")
    site = "configs/launch/cpu_test.yaml"
    return [
        ["launch", "slurm", site, RECIPE, f"run_dir={folder}/run"],
        ["launch", "loader", site, RECIPE, "--nodes=1,2", f"--out={folder}/bench"],
        [
            "launch",
            "pack",
            site,
            str(corpus),
            str(folder / "out"),
            "--tasks=2",
            f"--logs={folder}/logs",
        ],
    ]


@pytest.mark.parametrize(
    "says", ["4711", "4711;west", f"{GREETING}\n4711;west", f"{GREETING}\n12\n4711\n\nBye."]
)
def test_the_job_is_what_the_last_line_with_an_id_says(
    sbatch: Path, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (sbatch / "says").write_text(says)
    for words in submissions(sbatch):
        assert main(words) == 0
        assert capsys.readouterr().out.startswith("job 4711: ")
    assert jobs_of(sbatch / "run") == ("4711", ""), "`surgstream status` knows it while it waits"
    calls = (sbatch / "calls").read_text()
    assert "--dependency=afterany:4711 " in calls and calls.count("--dependency=afterok:4711 ") == 2


def test_an_sbatch_that_names_no_job_may_have_queued_one(
    sbatch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sbatch / "says").write_text(GREETING)
    for words in submissions(sbatch):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert (
            "expected a line with the job's id, got 'Welcome to X!" in said
            and "may have been queued" in said
        )


def test_a_submission_has_nothing_of_the_job_that_it_comes_from(
    sbatch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SLURM_GPUS_PER_TASK", "SLURM_RESTART_COUNT", "SLURMD_NODENAME",
           "SBATCH_GRES", "SALLOC_PARTITION", "SRUN_CPUS_PER_TASK", "PMI_RANK", "PMI2_SIZE", "PMIX_RANK",
           "CUDA_VISIBLE_DEVICES")  # fmt: skip
    stays = (
        "SLURM_CONF",
        "SLURM_CLUSTERS",
        "SLURM_JWT",
        "AWS_PROFILE",
        "NCCL_DEBUG",
        "SLURMISH",
        "CUDA_HOME",
    )
    for name in (*job, *stays):
        monkeypatch.setenv(name, "7")
    (sbatch / "says").write_text("1")
    for words in submissions(sbatch):
        assert main(words) == 0
        found = dict(
            line.split("=", 1) for line in (sbatch / "environment").read_text().split("\0") if line
        )
        assert not found.keys() & {*job} and found.keys() >= {*stays}


def test_a_merge_fails_over_a_quarantined_video_only_if_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = submissions(tmp_path)[2]
    for more in ([], ["--strict"]):
        assert main([*words, *more, "--dry-run"]) == 0
        merge = "#!" + capsys.readouterr().out.split("#!")[-1]
        assert setting(checked(merge), "words")[3:] == more
