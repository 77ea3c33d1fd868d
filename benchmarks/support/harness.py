"""Measures rates that can be compared: cases interleaved in one run, medians with intervals, the conditions noted."""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from surgstream.configs.columns import markdown
from surgstream.configs.files import write_atomically
from surgstream.trainer.distributed import RankInfo, rank_info_from_environment
from surgstream.trainer.joining import join

PACKAGES = (
    *("torch", "nvidia-dali-cuda130", "nvidia-dali-cuda120", "deepspeed", "timm", "numpy", "boto3"),
    *(
        "webdataset",
        "litdata",
        "mosaicml-streaming",
        "opencv-python-headless",
        "simplejpeg",
        "torchcodec",
        "decord",
    ),
    *("av", "pillow"),
)


@dataclass(frozen=True)
class Case:
    """One way to do a piece of work.

    Attributes:
        name: A name for the work.
        unit: The unit that is counted, such as `clips`.
        run: Does it once and returns how many; None where it cannot be done here.
        missing: Why it cannot be done here, such as a package that is not installed.
        most: The highest rate that is plausible, in units a second, where there is a floor to the time.
        peak_mb: Does it in a process of its own, and returns the most memory it took there beyond what imports did.
        peak_rate: The rate at the device's peak of arithmetic, where that is what the work is made of.
        prepare: Brings about what `run` begins with, before each time and untimed.
    """

    name: str
    unit: str
    run: Callable[[], float] | None
    missing: str = ""
    most: float | None = None
    peak_mb: Callable[[], float] | None = None
    peak_rate: float | None = None
    prepare: Callable[[], object] | None = None


class ImplausibleError(Exception):
    """A measurement says what cannot be, so something else was measured than is claimed."""


@dataclass(frozen=True)
class Row:
    """The measurements of a case.

    Attributes:
        name: The name of the case.
        unit: Its unit.
        rate: Median of the repeats, units a second.
        low: Lower end of the median's 95 % interval, by bootstrap over repeats.
        high: Its upper end.
        cpu_seconds: Median CPU time of all threads for one unit.
        ratio: Median over repeats of this case's rate to the first case's in the same repeat.
        rates: The rate of every repeat.
        peak_mb: Most memory it took, in 10^6 bytes, where the case can tell.
        missing: Why it was not measured; its numbers are then 0.
        mfu: Model FLOPs utilisation, the rate's share of `Case.peak_rate`.
    """

    name: str
    unit: str
    rate: float
    low: float
    high: float
    cpu_seconds: float
    ratio: float
    rates: tuple[float, ...]
    peak_mb: float | None = None
    missing: str = ""
    mfu: float | None = None


@dataclass(frozen=True)
class Fact:
    """A measurement that is no rate, such as a time or a share.

    Attributes:
        name: A name for the quantity.
        unit: Such as `s` or `%`.
        value: The median of all values.
        values: The value of every repeat.
    """

    name: str
    unit: str
    value: float
    values: tuple[float, ...]

    @staticmethod
    def of(name: str, unit: str, *values: float) -> "Fact":
        """Make a fact of the values of all repeats."""
        return Fact(name, unit, float(np.median(values)), values)


@dataclass(frozen=True)
class Findings:
    """Findings of a theme besides its rates: facts, and a plot as an SVG file's text where a table says less."""

    facts: Sequence[Fact]
    plot: str | None = None


def join_once() -> RankInfo:
    """Make this process a run of its own, unless another theme has."""
    rank_info = rank_info_from_environment(os.environ)
    if not torch.distributed.is_initialized():
        join(rank_info, 600)
    return rank_info


def measure(cases: Sequence[Case], *, repeats: int) -> list[Row]:
    """Run all cases in turn, once to warm up and then `repeats` times.

    Raises:
        ImplausibleError: A case was faster than it can be.
    """
    rates, cpu = np.zeros((2, len(cases), repeats))

    for repeat in range(-1, repeats):
        for i, case in enumerate(cases):
            if case.run is None:
                continue
            if case.prepare:
                case.prepare()
            wall, busy = time.perf_counter(), time.process_time()
            count = case.run()
            if repeat >= 0:
                rates[i, repeat] = count / (time.perf_counter() - wall)
                cpu[i, repeat] = (time.process_time() - busy) / count

    # Bootstrap: which repeats each of 2000 resamples has, the same for all cases
    resampled = np.random.default_rng(0).integers(repeats, size=(2000, repeats))
    base = rates[next(i for i, case in enumerate(cases) if case.run)]
    return [
        _row(case, own, busy, own / base, resampled)
        for case, own, busy in zip(cases, rates, cpu, strict=True)
    ]


def _row(
    case: Case,
    rates: npt.NDArray[np.float64],
    cpu: npt.NDArray[np.float64],
    ratios: npt.NDArray[np.float64],
    resampled: npt.NDArray[np.int64],
) -> Row:
    rate = float(np.median(rates))
    if case.most is not None and rate > case.most:
        raise ImplausibleError(
            f"{case.name}: expected at most {case.most:,.1f} {case.unit}/s, which is the floor of "
            f"its time, got {rate:,.1f}; it does not do what it says, or the floor is wrong"
        )

    # The medians of all resamples; their middle 95 % are the interval
    low, high = np.percentile(np.median(rates[resampled], axis=1), (2.5, 97.5))
    return Row(
        name=case.name,
        unit=case.unit,
        rate=rate,
        low=float(low),
        high=float(high),
        cpu_seconds=float(np.median(cpu)),
        ratio=float(np.median(ratios)),
        rates=tuple(rates.tolist()),
        peak_mb=case.peak_mb and case.peak_mb(),
        missing=case.missing,
        mfu=rate / case.peak_rate if case.peak_rate else None,
    )


def table(rows: Sequence[Row]) -> str:
    """Lay rows out as Markdown: what was not measured with the reason, ratios where the unit is the first row's."""
    unit = next((row.unit for row in rows if not row.missing), "")
    columns: dict[str, Callable[[Row], str]] = {
        "rate": lambda row: f"{_short(row.rate)} {row.unit}/s",
        "95 % interval": lambda row: f"{_short(row.low)} to {_short(row.high)}",
        "CPU ms each": lambda row: _short(1e3 * row.cpu_seconds),
        "ratio": lambda row: f"{row.ratio:.2f}" if row.unit == unit else "",
    }

    if any(row.peak_mb is not None for row in rows):
        columns["peak MB"] = lambda row: "" if row.peak_mb is None else _short(row.peak_mb)
    if any(row.mfu for row in rows):
        columns["MFU"] = lambda row: "" if row.mfu is None else f"{row.mfu:.1%}"

    lines = [("case", *columns)]
    for row in rows:
        if row.missing:
            cells = [f"not measured: {row.missing}", *[""] * (len(columns) - 1)]
        else:
            cells = [cell(row) for cell in columns.values()]
        lines.append((row.name, *cells))
    return markdown(lines)


def facts_table(facts: Sequence[Fact]) -> str:
    """Lay facts out as Markdown, with the least and the most of their repeats."""
    rows = [("what", "median", "least to most")]
    for fact in facts:
        ends = ""
        if len(fact.values) > 1:
            ends = f"{_short(min(fact.values))} to {_short(max(fact.values))}"
        rows.append((fact.name, f"{_short(fact.value)} {fact.unit}", ends))
    return markdown(rows)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def conditions() -> dict[str, object]:
    """The machine, the versions and the command of a measurement."""
    on_gpu = torch.cuda.is_available()
    commit = os.environ.get(
        "SURGSTREAM_COMMIT"
    )  # where there is no git, or a copy without its history
    if commit is None:
        describe = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(
            describe, cwd=Path(__file__).parent, capture_output=True, text=True
        ).stdout.strip()

    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except ModuleNotFoundError:
            continue

    return {
        "commit": commit,
        "command": command(),
        "hardware": hardware(),
        "gpu": torch.cuda.get_device_name() if on_gpu else None,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": packages,
    }


def command() -> str:
    """The command line that measured, without the paths of this machine."""
    spec = sys.modules["__main__"].__spec__
    program = f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    return shlex.join([*program.split(), *sys.argv[1:]])


def hardware() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def save(path: Path, rows: Sequence[Row], findings: Findings | None = None) -> None:
    """Write everything and the conditions as JSON, and the plot as SVG next to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {**conditions(), "rows": [asdict(row) for row in rows]}
    if findings:
        result["facts"] = [asdict(fact) for fact in findings.facts]
        if findings.plot:
            path.with_suffix(".svg").write_text(findings.plot, encoding="utf-8")
    write_atomically(path, json.dumps(result, indent=1))
