"""A site: what a job asks Slurm for, and how programs are started there. One YAML file in `configs/launch`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

_TIME = re.compile(r"(\d+-\d{1,2}(:\d{2}){0,2}|\d+(:\d{2}){0,2})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class ContainerConfig:
    """The image that programs run in; `launch/container.def` builds one.

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
        ranks_per_node: Ranks of a node without GPUs.
        cpus_per_task: CPUs a rank, as Slurm counts them: cores or hardware threads.
        memory: Memory a node, such as `900G`; `0` is all of it, null the partition's default.
        exclusive: Share no node with other jobs.
        partition: Where to queue; null takes the cluster's default, as for the next ones.
        account: Whose hours.
        qos: Quality of service.
        constraint: Features that nodes must have, such as `h800&ib`.
        exclude: Nodes to avoid, such as `node[13,27]`.
        time: Longest run of a job, as Slurm writes it, in quotes: `"24:00:00"`, `"2-00:00:00"`. A run goes on beyond
            it by being requeued.
        options: More options of sbatch, such as `--mail-type=FAIL`.
        launcher: `srun` starts one task a rank; `torchrun` one torchrun a node.
        srun_options: More options of srun, such as `--cpu-bind=cores`.
        save_before_end_seconds: How long before the end of its time a run is told to save; Slurm may tell it a minute
            earlier.
        most_starts_without_progress: A job that was started so often from one checkpoint is not requeued again; 0
            never requeues.
        modules: Environment modules to load.
        venv: A virtual environment that all nodes see.
        container: An image instead.
        before: Shell commands to run once on each node first, such as `surgstream stage ...`.
        environment: Variables of every process.
    """

    nodes: int = 1
    gpus_per_node: int = 8
    ranks_per_node: int = 1
    cpus_per_task: int = 1
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
    save_before_end_seconds: int = 300
    most_starts_without_progress: int = 3
    modules: tuple[str, ...] = ()
    venv: str | None = None
    container: ContainerConfig | None = None
    before: tuple[str, ...] = ()
    environment: dict[str, str | int] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name in ("nodes", "ranks_per_node", "cpus_per_task"):
            if getattr(self, name) < 1:
                yield f"{name}: expected 1 or more, got {getattr(self, name)}"
        for name in ("gpus_per_node", "most_starts_without_progress"):
            if getattr(self, name) < 0:
                yield f"{name}: expected 0 or more, got {getattr(self, name)}"
        if self.gpus_per_node and self.ranks_per_node not in (1, self.gpus_per_node):
            yield f"ranks_per_node: expected 1 beside gpus_per_node, since each has a rank, got {self.ranks_per_node}"
        if not _TIME.fullmatch(self.time):
            yield (
                "time: expected minutes, hours:minutes:seconds, days-hours or days-hours:minutes:seconds in quotes, "
                f"got {self.time!r}"
            )
        if self.save_before_end_seconds < 60:
            yield f"save_before_end_seconds: expected 60 or more, got {self.save_before_end_seconds}"
        for name in self.environment:
            if not _NAME.fullmatch(name):
                yield f"environment: expected names of variables, got {name!r}"
        for name in ("options", "srun_options"):
            for option in getattr(self, name):
                if not option.startswith("-") or "\n" in option:
                    yield f"{name}: expected options such as --mail-type=FAIL, got {option!r}"
        if self.container and (self.venv or self.modules):
            yield "container: expected no venv and no modules beside it; what a container needs is inside"

    @property
    def tasks_per_node(self) -> int:
        """Ranks of a node."""
        return self.gpus_per_node or self.ranks_per_node

    @property
    def world_size(self) -> int:
        """Ranks of a job."""
        return self.nodes * self.tasks_per_node
