"""The jobs that can be submitted: training, the loader alone on more and more nodes, packing as an array."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree, to_yaml
from surgstream.launch.site import Site
from surgstream.launch.slurm import render, submit, would_take
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.storage.addresses import absolute
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.runs.excluded import Exclusion, forget_nodes, nodes_excluded_by
from surgstream.trainer.runs.files import SUBMITTED


def training(site: Site, config: TrainConfig) -> str:
    """The batch script of a training job.

    Args:
        site: The site of the job.
        config: The recipe; its run directory is absolute.

    Raises:
        ConfigError: The global batch cannot be divided evenly among the site's ranks.
    """
    # Called for its check: the ranks have to share the batch evenly
    config.grad_accum_steps(site.world_size)
    run_dir = Path(config.run_dir)
    words = ["pretrain", "--preflight", str(run_dir / "recipe.yaml")]
    # One job at a time works in a run directory: later ones of the same name wait
    return render(
        site, words, run_dir=run_dir, name=_name(run_dir), options=["--dependency=singleton"]
    )


def submit_training(site: Site, config: TrainConfig, *, forget: bool = False) -> str:
    """Save script, site and recipe in the run directory and submit the job, without nodes that the run leaves out.

    Args:
        site: The site of the job.
        config: The recipe; its run directory is absolute.
        forget: Leave no node out any more.

    Returns:
        A message for the user: job, files, and how to watch, stop and resume.

    Raises:
        ConfigError: The global batch cannot be divided evenly among the site's ranks.
        LaunchError: Slurm does not take the job.
    """
    run_dir = Path(config.run_dir)
    script = training(site, config)
    batch = _write(run_dir, script, site, config)

    excluded = [] if forget else nodes_excluded_by(run_dir)[: site.max_excluded_nodes]
    while excluded and not would_take(batch, _exclude(site, excluded)):
        excluded.pop()  # a job that lacks nodes would be refused, or wait for ever

    job = _queue(run_dir, batch, *([_exclude(site, excluded)] if excluded else []))
    if forget:
        forget_nodes(run_dir)
    left_out = "".join(f"  left out  {found.node}: {found.reason}\n" for found in excluded)

    return (
        f"job {job}: {site.nodes} nodes, {site.world_size} ranks by {site.launcher}\n"
        f"{left_out}"
        f"  script    {run_dir}/slurm.sbatch, from site.yaml and recipe.yaml there\n"
        f"  log       {run_dir}/slurm-{job}.log\n"
        f"  watch     surgstream status {run_dir} --follow\n"
        f"  stop      scancel {job}\n"
        f"  save now  scancel --signal=USR1 {job}    (it is requeued and goes on)\n"
        f"  resume    the same command again; it waits for a job that is still at work there\n"
    )


def submit_loader(
    site: Site, config: TrainConfig, *, nodes: Sequence[int], folder: Path, seconds: float
) -> str:
    """Submit the loader alone on each number of nodes, one job after another so that they do not share the store.

    Ranks read `micro_batch_size` clips a step each, whatever the number of nodes.

    Args:
        site: The site of the jobs; its `nodes` are replaced.
        config: The recipe whose clips are read.
        nodes: Numbers of nodes.
        folder: The folder of results and logs.
        seconds: The time that each job measures.

    Returns:
        A message for the user.

    Raises:
        LaunchError: Slurm does not take a job.
    """
    page = ""
    before = list[str]()
    for num_nodes in nodes:
        part = dataclasses.replace(site, nodes=num_nodes)
        run_dir = folder / f"nodes_{num_nodes:04d}"
        recipe = dataclasses.replace(
            config,
            run_dir=str(run_dir),
            global_batch_size=config.micro_batch_size * part.world_size,
        )

        words = [
            "loader",
            str(run_dir / "recipe.yaml"),
            f"--seconds={seconds:g}",
            f"--out={run_dir}/loader.json",
        ]
        script = render(part, words, run_dir=run_dir, name=_name(run_dir), requeues=False)
        job = _queue(run_dir, _write(run_dir, script, part, recipe), *before)
        # Not `afterok`: where one number of nodes fails, the others are still measured
        before = [f"--dependency=afterany:{job}"]
        page += (
            f"job {job}: {num_nodes} nodes, {part.world_size} ranks; log "
            f"{run_dir}/slurm-{job}.log\n"
        )

    return page


def packing(
    site: Site,
    corpus: CorpusConfig,
    path: Path,
    out: str,
    options: Sequence[str],
    *,
    num_tasks: int,
    logs: Path,
) -> dict[str, str]:
    """The batch scripts of a packing: `plan` decides what goes where, `part` packs a share, `merge` publishes.

    Args:
        site: The site of the jobs; a task takes one node's `cpus_per_task`.
        corpus: The corpus file, already read and so known to be right.
        path: The file itself.
        out: The folder or address of the shards.
        options: Packing options, as words.
        num_tasks: Array tasks.
        logs: The folder of logs, absolute.
    """
    # A task runs on one node without GPUs, whatever training asks for there
    one = dataclasses.replace(site, nodes=1, gpus_per_node=0, ranks_per_node=1, launcher="srun")
    words = [
        "pack",
        str(path.absolute()),
        absolute(out),
        *options,
    ]
    name = f"pack-{corpus.datasets[0].name}"

    kinds = {
        "plan": (["--plan-only"], []),
        "part": (
            ["--part", f"$SLURM_ARRAY_TASK_ID/{num_tasks}"],
            [f"--array=0-{num_tasks - 1}", f"--output={logs}/part-%A_%a.log"],
        ),
        "merge": ([], []),
    }

    scripts = {}
    for kind, (more, directives) in kinds.items():
        scripts[kind] = render(
            one, [*words, *more], run_dir=logs, name=name, options=directives, requeues=False
        )
    return scripts


def submit_packing(scripts: dict[str, str], logs: Path) -> str:
    """Submit a packing's scripts, each after the one before has succeeded.

    Returns:
        A message for the user.

    Raises:
        LaunchError: Slurm does not take a job.
    """
    logs.mkdir(parents=True, exist_ok=True)
    page = ""
    before = list[str]()

    for kind, script in scripts.items():
        batch = logs / f"{kind}.sbatch"
        batch.write_text(script, encoding="utf-8")
        job = submit(batch, *before)
        # Without the second option, what follows a failed job stays queued for ever
        before = [f"--dependency=afterok:{job}", "--kill-on-invalid-dep=yes"]
        page += f"job {job}: {kind}\n"

    return f"{page}logs in {logs}; the same command again does what is missing\n"


def note_submitted(run_dir: Path, job: str) -> None:
    """Note the job of a run for `surgstream status`, until it starts."""
    with (run_dir / SUBMITTED).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": time.time(), "job": job}) + "\n")


def _exclude(site: Site, excluded: Sequence[Exclusion]) -> str:
    """The option that leaves out nodes, and those that the site leaves out anyway."""
    nodes = [*filter(None, [site.exclude]), *(found.node for found in excluded)]
    return f"--exclude={','.join(nodes)}"


def _write(run_dir: Path, script: str, site: Site, config: TrainConfig) -> Path:
    """Save all that a job reads in its run directory; returns the script."""
    # The job reads these files back, and has to find the settings that were checked here
    for name, settings in (("site", site), ("recipe", config)):
        if build(type(settings), to_tree(settings), where=f"{run_dir}/{name}.yaml") != settings:
            raise ConfigError(
                f"{run_dir}/{name}.yaml: expected no $ in paths, got one that a job would expand"
            )

    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "site.yaml").write_text(to_yaml(site), encoding="utf-8")
    (run_dir / "recipe.yaml").write_text(to_yaml(config), encoding="utf-8")

    batch = run_dir / "slurm.sbatch"
    batch.write_text(script, encoding="utf-8")
    return batch


def _queue(run_dir: Path, batch: Path, *options: str) -> str:
    job = submit(batch, *options)
    note_submitted(run_dir, job)
    return job


def _name(run_dir: Path) -> str:
    """The name of a job, another one for each run directory."""
    digest = hashlib.sha256(str(run_dir).encode()).hexdigest()
    return f"surgstream-{run_dir.name}-{digest[:6]}"
