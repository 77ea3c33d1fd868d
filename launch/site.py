"""A site: what a job asks Slurm for, and how programs are started there. One YAML file in `configs/launch`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from surgstream.configs.loading import load
from surgstream.configs.places import Folder
from surgstream.configs.ranges import Range
from surgstream.configs.renamed import Renamed

_TIME = re.compile(r"(\d+-\d{1,2}(:\d{2}){0,2}|\d+(:\d{2}){0,2})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GPU_TYPE = re.compile(r"[A-Za-z0-9_.-]+")
_GPU_OPTION = re.compile(r"--(gpus|gpus-per-\w+|ntasks-per-gpu)(=|$)|--gres=gpu|-G")


@dataclass(frozen=True, kw_only=True)
class ContainerConfig:
    """The image that programs run in; `launch/container.def` builds one.

    `$NAME` in image and mounts is a variable of the job, as in `environment`.

    Attributes:
        runtime: `apptainer` starts it in every task; `pyxis` is srun's plugin for enroot.
        image: The image file, or for pyxis an address too.
        mounts: Folders to see inside, as `/scratch` or `/host/path:/path`: corpus, caches, weights. The
            run directory is seen without it.
    """

    runtime: Literal["apptainer", "pyxis"]
    image: str
    mounts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Site:
    """All that differs from one cluster to the next.

    Attributes:
        nodes: Nodes of a job.
        gpus_per_node: GPUs of a node, one rank each; 0 trains on CPUs.
        gpu_type: Their type, as the cluster calls it, such as `h800`; null takes any.
        gpu_option: The option that asks for them: most clusters know `--gpus-per-node`, older ones `--gres`.
        ranks_per_node: Ranks of a node without GPUs.
        cpus_per_task: CPUs a rank, as Slurm counts them: cores or hardware threads.
        memory: Memory a node, such as `900G`; `0` is all of it, null the partition's default.
        exclusive: Share no node with other jobs.
        partition: The partition to queue in; null takes the cluster's default, as for the next ones.
        account: The account that is charged.
        qos: Quality of service.
        constraint: Features that nodes must have, such as `h800&ib`.
        exclude: Nodes to avoid, such as `node[13,27]`.
        time: Longest run of a job, as Slurm writes it, in quotes: `"24:00:00"`, `"2-00:00:00"`. A run goes on beyond
            it by being requeued.
        options: More options of sbatch, such as `--mail-type=FAIL`.
        launcher: `srun` starts one task a rank; `torchrun` one torchrun a node.
        srun_options: More options of srun, such as `--cpu-bind=cores`.
        save_before_end_seconds: The time before its end at which a run is told to save; Slurm may tell it a minute
            earlier.
        max_starts_without_progress: A job that was started this often from one checkpoint is not requeued again; 0
            never requeues.
        max_excluded_nodes: The most nodes that a run leaves out since starts have failed for their sake; fewer where
            Slurm has not enough others, 0 never leaves one out.
        exclude_hours: The time for which it does.
        modules: Environment modules to load, that of Apptainer for instance.
        venv: A virtual environment that all nodes see. Python packages of its surroundings stay outside, as they do of
            a container: PYTHONPATH and its like are unset, unless `environment` sets them.
        container: An image instead.
        setup_commands: Shell commands to run once on each node first, such as `surgstream stage ...`.
        environment: Variables of every process. In their values `$NAME` and `${NAME}` are variables of the job as it
            starts, as in `/opt/x/bin:$PATH`, and `$$` is a dollar.
    """

    renamed: ClassVar[Renamed] = Renamed(
        {
            "before": "setup_commands",
            "most_starts_without_progress": "max_starts_without_progress",
        }
    )

    nodes: Annotated[int, Range(1, 2**16)] = 1
    gpus_per_node: Annotated[int, Range(0, 1024)] = 8
    gpu_type: str | None = None
    gpu_option: Literal["gpus-per-node", "gres"] = "gpus-per-node"
    ranks_per_node: Annotated[int, Range(1, 1024)] = 1
    cpus_per_task: Annotated[int, Range(1, 2**16)] = 1
    memory: str | None = None
    exclusive: bool = False
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    time: str
    options: tuple[str, ...] = ()
    launcher: Literal["srun", "torchrun"] = "srun"
    srun_options: tuple[str, ...] = ()
    save_before_end_seconds: Annotated[int, Range(60, 2**16 - 1)] = 300
    max_starts_without_progress: Annotated[int, Range(0, 10**6)] = 3
    max_excluded_nodes: Annotated[int, Range(0, 1024)] = 2
    exclude_hours: Annotated[int, Range(1, 10**4)] = 24
    modules: tuple[str, ...] = ()
    venv: Folder | None = None
    container: ContainerConfig | None = None
    setup_commands: tuple[str, ...] = ()
    environment: dict[str, str | Annotated[int, Range(-(2**62), 2**62)]] = field(
        default_factory=dict
    )

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.gpus_per_node and self.ranks_per_node not in (1, self.gpus_per_node):
            yield (
                "ranks_per_node: expected 1 with gpus_per_node, since each has a rank, got "
                f"{self.ranks_per_node}"
            )
        if not _TIME.fullmatch(self.time):
            yield (
                "time: expected minutes, hours:minutes:seconds, days-hours or "
                f"days-hours:minutes:seconds in quotes, got {self.time!r}"
            )
        if self.gpu_type is not None:
            is_name = _GPU_TYPE.fullmatch(self.gpu_type)
            if not is_name or not self.gpus_per_node:
                yield (
                    "gpu_type: expected a name such as h800, with gpus_per_node, got "
                    f"{self.gpu_type!r}"
                )

        for name in self.environment:
            if not _NAME.fullmatch(name):
                yield f"environment: expected names of variables, got {name!r}"
        path = str(self.environment.get("PATH", "$PATH"))
        if not re.search(r"\$PATH\b|\$\{PATH\}", path):
            yield (
                f"environment.PATH: expected $PATH in it, or no program will be found, got {path!r}"
            )

        for name in ("options", "srun_options"):
            for option in getattr(self, name):
                # A line break would end the comment `#SBATCH ...` and begin a line of the script
                if not option.startswith("-") or "\n" in option:
                    yield f"{name}: expected options such as --mail-type=FAIL, got {option!r}"

        for option in filter(_GPU_OPTION.match, self.options):
            yield (
                "options: expected gpus_per_node, gpu_type and gpu_option to ask for GPUs, got "
                f"{option!r}"
            )

        if self.container and self.venv:
            yield "container: expected no venv with it; what a container needs is inside"

    @property
    def tasks_per_node(self) -> int:
        """Ranks of a node."""
        return self.gpus_per_node or self.ranks_per_node

    @property
    def gpus(self) -> str:
        """The option that asks for a node's GPUs."""
        gpus = str(self.gpus_per_node)
        if self.gpu_type:
            gpus = f"{self.gpu_type}:{gpus}"
        return f"--gres=gpu:{gpus}" if self.gpu_option == "gres" else f"--gpus-per-node={gpus}"

    @property
    def world_size(self) -> int:
        """Ranks of a job."""
        return self.nodes * self.tasks_per_node


def load_site(word: str | Path, overrides: Sequence[str] = ()) -> Site:
    """Load a site by its file, whose name its jobs get in SURGSTREAM_SITE.

    Args:
        word: The file.
        overrides: Words such as `nodes=4`.

    Raises:
        ConfigError: The file is missing or malformed, or any key or value is wrong.
    """
    site = load(Site, word, overrides)
    return replace(site, environment={"SURGSTREAM_SITE": Path(word).stem, **site.environment})
