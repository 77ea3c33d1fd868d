"""A Slurm of virtual nodes on the loopback: munged, slurmctld and one slurmd a node, in a folder that is thrown away.

Needs Debian's slurmctld, slurmd, slurm-client and munge; works as root and as a plain user, several at a time. A node's
GPUs are device files that every machine has, of a type h800: they are counted and set CUDA_VISIBLE_DEVICES, nothing
more.

What Slurm 22.05 does to a job, measured here. "Told" is SIGCONT and SIGTERM to every process, SIGKILL after KillWait.

| event                     | batch shell        | tasks and their children | `scontrol show job` from the batch shell |
|---------------------------|--------------------|--------------------------|------------------------------------------|
| scancel                   | told               | told                     | COMPLETING, Restarts as before           |
| scontrol requeue          | told               | told                     | COMPLETING, Restarts one more            |
| time limit                | told               | told, SIGTERM twice      | COMPLETING, Reason=TimeLimit             |
| scancel --signal=USR1     | nothing            | SIGUSR1                  | RUNNING                                  |
| ... --batch; --full       | SIGUSR1            | nothing; SIGUSR1         | RUNNING                                  |
| --signal=B:USR1@60        | SIGUSR1 and CONT   | nothing                  | RUNNING or SIGNALING                     |
| --signal=USR1@60          | nothing            | SIGUSR1 and CONT         |                                          |
| preempted, GraceTime      | nothing            | CONT and TERM, no KILL   | RUNNING, PreemptTime is set              |
| preempted, after the grace| told               | told                     | COMPLETING, Restarts one more            |
| another node dies         | told               | told (after 15 s here)   | COMPLETING, Restarts one more            |
| its own slurmd is killed  | nothing, runs on   | told on other nodes      | COMPLETING or PENDING, Restarts one more |
| a task dies, bad exit     | srun's exit status | TERM or KILL             | RUNNING                                  |

- KillWait is Slurm's own default: within a shorter one a loaded machine's batch shell cannot ask `scontrol` any more.
- Limits and --signal are looked at every 30 s: --signal came 5 to 25 s early (the manual says up to
  60), the end of a limit 25 s late.
- What tasks have started is told as proctrack/linuxproc does it. proctrack/cgroup, which real clusters have, and
  proctrack/pgid tell tasks alone, of SIGKILL apart: torchrun is told, its workers are not.
- A job that ends by itself in its grace is COMPLETED, and is not requeued; nor does a time limit requeue, but the batch
  shell can, before KillWait is over.
- `scontrol update ExcNodeList=` is refused while a job runs, and taken once it is requeued, COMPLETING or not; a
  job with too few nodes left is PENDING (BadConstraints), and `sbatch --test-only --exclude=` tells so before.
- srun prints how tasks end in the order in which they do: the first line is of the task that ended the others.
- `scontrol requeue $SLURM_JOB_ID` works from inside, RUNNING or not: after a scancel it brings the job back.
- Commands that a trap runs may be hit by the signal that it traps: set a variable, and look when `wait` is over.
- The old script of a killed slurmd runs on beside the new one; it can know by Restarts > SLURM_RESTART_COUNT.
- A requeued job begins six seconds after it ended (cred_expire + 1) and empties its output, but for --open-mode=append.
- srun returns the largest status of its tasks, 143 or 137 where it killed the others; it waits for all that a task has
  started and that holds its output open.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.services.rgw import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "salloc", "sbatch", "scontrol", "sinfo", "scancel")
ENDED = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL")

_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
FirstJobId={first_job}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool.%n
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
MessageTimeout=5
SlurmdTimeout=5
SlurmctldTimeout=5
ReturnToService=2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=30
OverTimeLimit=0
MinJobAge=3600
GresTypes=gpu
PartitionName=normal Nodes=ALL Default=YES PriorityTier=1 GraceTime={grace_seconds}
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""
_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=8000 "
    "Gres=gpu:h800:{gpus}\n"
)

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


class Cluster:
    """A running Slurm with nodes `node1`, `node2`, ...; `stop` ends everything."""

    def __init__(
        self,
        folder: Path,
        *,
        num_nodes: int = 2,
        cpus_per_node: int = 2,
        gpus_per_node: int = 2,
        grace_seconds: int = 5,
    ) -> None:
        """Start it in a new folder, with at most six GPUs a node; takes about two seconds.

        Raises:
            RuntimeError: A program is missing or does not come up; its log's last lines are in the message.
        """
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise RuntimeError(
                f"Slurm: {', '.join(missing)} not installed; run `make test-services`"
            )
        self.folder = folder.absolute()
        self.nodes = [f"node{number}" for number in range(1, num_nodes + 1)]
        self._own = _variables(self.folder)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._configure(cpus_per_node, gpus_per_node, grace_seconds)
        try:
            socket_path = self.folder / "munge.socket"
            files = [
                f"--{name}-file={self.folder}/munged.{name}"
                for name in ("key", "pid", "log", "seed")
            ]
            self._spawn(
                "munged", "munged", "--foreground", "--force", f"--socket={socket_path}", *files
            )
            self._wait_for("munged", socket_path.exists)
            self._spawn("slurmctld", "slurmctld", "-D", "-i")
            for name in self.nodes:
                self.start_node(name)
        except BaseException:
            self.stop()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """What a shell needs to talk to this cluster, and to no job of another one that it runs in."""
        others = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM", "SBATCH"))
        }
        return others | self._own

    def run(self, *words: str, folder: Path | None = None) -> str:
        """Run a command that talks to the cluster; returns what it printed.

        Raises:
            RuntimeError: It failed; the message has what it said.
        """
        done = subprocess.run(
            words,
            env=self.environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(words)} failed with status {done.returncode}: {done.stderr[-2000:]}"
            )
        return done.stdout

    def submit(self, *words: str | Path, folder: Path | None = None) -> str:
        """Give words (options, a script, its arguments) to sbatch from a folder; returns the job's id."""
        return self.run(
            "sbatch", "--parsable", *map(str, words), folder=folder or self.folder
        ).strip()

    def show(self, job: str) -> dict[str, str]:
        """The fields of `scontrol show job`; of an array without a task's number those of the task shown first."""
        return self._records(job)[0]

    def wait(self, job: str, *states: str, timeout: float = 60.0) -> dict[str, str]:
        """Wait until a job, or every task of an array, is in one of some states (default: ENDED); returns `show`.

        Raises:
            RuntimeError: It did not get there in time; the message has its state and the logs' last lines.
        """
        states, deadline = states or ENDED, time.monotonic() + timeout
        while True:
            records = self._records(job)
            if all(record["JobState"] in states for record in records):
                return records[0]
            if time.monotonic() > deadline:
                now = ", ".join(f"{record['JobState']} ({record['Reason']})" for record in records)
                wanted = f"{' or '.join(states)} within {timeout:.0f} s"
                raise RuntimeError(f"job {job}: expected {wanted}, got {now}; {self.tail()}")
            time.sleep(0.2)

    def cancel(self, job: str, signal: str | None = None) -> None:
        """Run scancel; with a signal ("USR1") the job's steps get that, the batch shell does not."""
        self.run("scancel", *([f"--signal={signal}"] if signal else []), job)

    def requeue(self, job: str) -> None:
        """Run scontrol requeue."""
        self.run("scontrol", "requeue", job)

    def start_node(self, name: str) -> None:
        """Start a node's slurmd and wait until Slurm may use it."""
        self._spawn(
            name, "slurmd", "-D", "-N", name, "-f", self._own["SLURM_CONF"], SLURMD_NODENAME=name
        )
        self._wait_for(
            name, lambda: self._state(name) in ("idle", "mixed", "allocated", "completing")
        )

    def kill_slurmd(self, name: str) -> None:
        """SIGKILL a node's slurmd; the tasks of its jobs run on."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def kill_node(self, name: str) -> None:
        """SIGKILL a node's slurmd and all that ran on the node, as when a machine dies."""
        self.kill_slurmd(name)
        _sweep({"SLURMD_NODENAME": name, **self._own})

    def signal_controller(self, number: signal.Signals) -> None:
        """Send a signal to slurmctld, such as SIGSTOP: it is away until SIGCONT."""
        self._processes["slurmctld"].send_signal(number)

    def stop(self) -> None:
        """End all processes, those of jobs too."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()
        sweep(self.folder)

    def tail(self) -> str:
        """The last lines of Slurm's logs."""
        logs = sorted(self.folder.glob("slurm*.log"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in logs)

    def _configure(self, cpus: int, gpus: int, grace_seconds: int) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "state").mkdir()
        key = self.folder / "munged.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        host, user = socket.gethostname().split(".")[0], pwd.getpwuid(os.getuid()).pw_name
        nodes = [
            _NODE.format(name=name, host=host, port=free_port(), cpus=cpus, gpus=gpus)
            for name in self.nodes
        ]
        head = _CONFIG.format(
            folder=self.folder,
            host=host,
            port=free_port(),
            # A job's number decides the port of its ranks, and another test's cluster is on this host, too.
            first_job=1 + 100 * (os.getpid() % 90),
            user=user,
            grace_seconds=grace_seconds,
        )
        (self.folder / "slurm.conf").write_text(head + "".join(nodes))
        (self.folder / "gres.conf").write_text(
            "".join(f"Name=gpu Type=h800 File={file}\n" for file in _DEVICES[:gpus])
        )

    def _records(self, job: str) -> list[dict[str, str]]:
        lines = self.run("scontrol", "-o", "show", "job", job).splitlines()
        return [dict(re.findall(r"(\S+?)=(.*?)(?=\s+[A-Z]\S*?=|\s*$)", line)) for line in lines]

    def _state(self, node: str) -> str:
        with contextlib.suppress(RuntimeError):
            return self.run("sinfo", "-h", "-n", node, "-p", "normal", "-o", "%T").strip()
        return "unknown"

    def _spawn(self, name: str, *words: str, **more: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                words, stdout=log, stderr=log, env=self.environment | more, start_new_session=True
            )

    def _wait_for(self, name: str, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / f"{name}.out").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} did not come up within {seconds:.0f} s: {tail}")
            time.sleep(0.1)


def sweep(folder: Path) -> None:
    """SIGKILL all processes of a cluster and of its jobs, whoever started it."""
    _sweep(_variables(folder.absolute()))


def _variables(folder: Path) -> dict[str, str]:
    """What all of a cluster's processes have in their environment."""
    return {"SLURM_CONF": str(folder / "slurm.conf")}


def _sweep(environment: dict[str, str]) -> None:
    """SIGKILL every process that has all of an environment, oldest first, until there is none left."""
    wanted = {f"{name}={value}".encode() for name, value in environment.items()}
    while found := [
        pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _has(pid, wanted)
    ]:
        for pid in sorted(found):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _has(pid: int, wanted: set[bytes]) -> bool:
    try:
        return pid != os.getpid() and wanted <= set(
            Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        )
    except OSError:
        return False
