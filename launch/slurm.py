"""A site and a command as a batch script, and its way to Slurm."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from surgstream.launch.errors import LaunchError
from surgstream.launch.site import Site

_SCRIPT = Path(__file__).with_name("slurm.sbatch")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_JOB = re.compile(r"(\d+)(;\S+)?")
_SPECIAL = re.compile(
    r"""\$\$|(?P<name>\$[A-Z_]\w*|\$\{[A-Z_]\w*\})|[\\"`$]""", re.ASCII | re.IGNORECASE
)

_OF_A_JOB = re.compile(
    "(SLURM|SBATCH|SALLOC|SRUN|PMI|PMIX)[A-Z0-9]*_|(CUDA_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL)$"
)
_OF_SLURM = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
"""Variables that say which Slurm to talk to, and as which user; nothing of a job."""


def render(
    site: Site,
    words: Sequence[str],
    *,
    run_dir: Path,
    task_dir: str | None = None,
    name: str,
    options: Sequence[str] = (),
    requeues: bool = True,
) -> str:
    """Write the batch script of a job: `launch/slurm.sbatch` with a site's own settings.

    Args:
        site: Topology, time, and how programs are started.
        words: The surgstream command that every rank runs; may hold variables of the job, as `$SLURM_ARRAY_TASK_ID`.
        run_dir: Absolute; holds the job's log, its marks and checkpoints.
        task_dir: The run directory of each task of an array, below `run_dir`; may hold variables of the job as well.
        name: The job's name.
        options: More options of sbatch.
        requeues: Whether the job is told to save before its time is over, and starts again then, or when it loses a
            rank.

    Returns:
        The script's text.
    """
    text = _SCRIPT.read_text(encoding="utf-8")
    if requeues:
        # `B:` signals the batch shell alone, which then tells the ranks
        options = (f"--signal=B:USR1@{site.save_before_end_seconds}", "--requeue", *options)

    all_options = (*directives(site, run_dir, name), *options)
    lines = [f"#SBATCH {_directive(option)}" for option in all_options]
    text = _replace(text, "directives", lines)
    settings = [*_settings(site, words, run_dir, requeues)]
    if task_dir:
        settings.append(f"run_dir={_word(task_dir)}")
    return _replace(text, "site", settings)


def directives(site: Site, run_dir: Path, name: str) -> Iterator[str]:
    """The options of sbatch that a site asks for."""
    yield f"--job-name={_NO_NAME.sub('-', name)}"
    yield f"--nodes={site.nodes}"
    yield f"--ntasks-per-node={site.tasks_per_node}"
    yield f"--cpus-per-task={site.cpus_per_task}"

    if site.gpus_per_node:
        yield site.gpus
    if site.memory:
        yield f"--mem={site.memory}"
    if site.exclusive:
        yield "--exclusive"
    for option in ("partition", "account", "qos", "constraint", "exclude"):
        if value := getattr(site, option):
            yield f"--{option}={value}"

    yield f"--time={site.time}"
    # A job that is requeued goes on in the log that it has
    yield "--open-mode=append"
    yield f"--chdir={Path.cwd()}"
    yield f"--output={run_dir}/slurm-%j.log"
    yield from site.options


def submit(script: Path, *options: str) -> str:
    """Hand a script to sbatch. A job is the same wherever it is submitted from, inside another job as well.

    Returns:
        The job's id.

    Raises:
        LaunchError: There is no sbatch, or it refuses, or names no job; its own words are in the message.
    """
    done = _sbatch("--parsable", *options, str(script))
    if done.returncode:
        raise LaunchError(
            f"sbatch refused {script}: {done.stderr.strip() or f'status {done.returncode}'}"
        )

    ids = [found[1] for line in done.stdout.splitlines() if (found := _JOB.fullmatch(line.strip()))]
    if not ids:
        raise LaunchError(
            f"sbatch {script}: expected a line with the job's id, got {done.stdout.strip()!r}; a "
            "job may have been queued: see squeue before you submit again"
        )
    return ids[-1]  # some sites greet first


def would_take(script: Path, *options: str) -> bool:
    """Whether Slurm would run a script now or later; it does not where there are too few nodes for it.

    Raises:
        LaunchError: There is no sbatch.
    """
    return _sbatch("--test-only", *options, str(script)).returncode == 0


def _sbatch(*words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["sbatch", *words], capture_output=True, text=True, env=outside_of_jobs(os.environ)
        )
    except FileNotFoundError:
        raise LaunchError(
            "sbatch: not found; run this where Slurm is, usually a login node, or print the script "
            "with --dry-run"
        ) from None


def outside_of_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables that Slurm and its launchers set in a job, or take for options.

    `SBATCH_*` would overrule the site's own settings; which Slurm to talk to stays.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in _OF_SLURM or not _OF_A_JOB.match(name)
    }


def _settings(site: Site, words: Sequence[str], run_dir: Path, requeues: bool) -> Iterator[str]:
    if site.modules:
        # `module` is a function that login shells define; the shell of a batch script may lack it
        yield "command -v module >/dev/null || source /etc/profile || true"
        yield f"module load {shlex.join(site.modules)}"

    if site.venv or site.container:
        yield (
            "unset PYTHONPATH PYTHONHOME PYTHONSTARTUP # packages of the host would come before "
            "those inside"
        )
        yield "export PYTHONNOUSERSITE=1"

    yield f"export SURGSTREAM_GPUS_PER_NODE={site.gpus_per_node}"
    for name, value in site.environment.items():
        yield f"export {name}={_value(str(value))}"
    # After the site's variables, so that the venv comes first in PATH
    if site.venv:
        yield f"source {shlex.quote(str(Path(site.venv).absolute() / 'bin' / 'activate'))}"

    most_starts = site.max_starts_without_progress if requeues else 0
    srun_options = [*map(_value, _pyxis(site, run_dir)), *map(_quote, site.srun_options)]
    yield f"launcher={site.launcher}"
    yield f"max_starts_without_progress={most_starts}"
    yield f"exclude={_quote(site.exclude or '')}"
    yield f"max_excluded_nodes={site.max_excluded_nodes}"
    yield f"exclude_hours={site.exclude_hours}"
    yield f"srun_options={_array(srun_options)}"
    yield f"inside={_array(map(_value, _apptainer(site, run_dir)))}"
    yield f"setup_commands={_array(map(_quote, site.setup_commands))}"
    yield f"words={_array(map(_word, words))}"
    yield f"run_dir={shlex.quote(str(run_dir))}"


def _apptainer(site: Site, run_dir: Path) -> Iterator[str]:
    if site.container and site.container.runtime == "apptainer":
        yield from ("apptainer", "exec")
        if site.gpus_per_node:
            yield "--nv"
        for mount in (_literal(run_dir), *site.container.mounts):
            yield f"--bind={mount}"
        yield site.container.image


def _pyxis(site: Site, run_dir: Path) -> Iterator[str]:
    if site.container and site.container.runtime == "pyxis":
        yield f"--container-image={site.container.image}"
        places = (_literal(run_dir), *site.container.mounts)
        mounts = [place if ":" in place else f"{place}:{place}" for place in places]
        yield f"--container-mounts={','.join(mounts)}"


def _directive(option: str) -> str:
    """An option as sbatch reads it from a comment: quotes only where there are blanks."""
    return shlex.quote(option) if re.search(r"\s", option) else option


def _array(words: Iterable[str]) -> str:
    """Quoted words as bash's array."""
    return f"({' '.join(words)})"


def _literal(path: Path) -> str:
    """A path as `_value` takes it."""
    return str(path).replace("$", "$$")


def _quote(word: str) -> str:
    """A word as bash reads it back; one with a comma could be taken for a mistake."""
    return f"'{word}'" if re.fullmatch(r"[\w/=:.,-]*,[\w/=:.,-]*", word) else shlex.quote(word)


def _value(value: str) -> str:
    """A value of the site's: `$NAME` and `${NAME}` are left to the shell, `$$` is a dollar."""
    if not any(found["name"] for found in _SPECIAL.finditer(value)):
        return _quote(value.replace("$$", "$"))

    def quoted(found: re.Match[str]) -> str:
        return found["name"] or f"\\{found[0][0]}"

    return f'"{_SPECIAL.sub(quoted, value)}"'


def _word(word: str) -> str:
    """A quoted word; variables of the job are left to the shell."""
    return f'"{word}"' if re.fullmatch(r"[\w/=.-]*\$SLURM_\w+[\w/=.-]*", word) else _quote(word)


def _replace(text: str, block: str, lines: Iterable[str]) -> str:
    """Put lines between a block's markers."""
    before, opening, rest = text.partition(f"# <{block}\n")
    _, closing, after = rest.partition(f"# {block}>\n")
    return "".join([before, opening, *(f"{line}\n" for line in lines), closing, after])
