"""Measure a GPU: what crashes, what fits, how fast it is, each beside what was predicted.

  benchmarks/gpu.sh OUT                       every group, half an hour
  benchmarks/gpu.sh OUT first                 a group: nine minutes at most
  benchmarks/gpu.sh OUT jpeg mae --seconds 90
  benchmarks/gpu.sh OUT --cpu                 the parts that need no GPU, at a small size

Every part is a process of its own, so one that fails, crashes or takes too long ends alone. What they find is printed,
one JSON object a line, and written to OUT/findings.jsonl; OUT/report.md has it as tables, predictions beside
measurements. What other calls have found stays in both. What a part writes to standard error is in OUT/PART.err.

Groups `first`, `second` and `gains` need torch, timm, einops, DeepSpeed and Pillow, and nvImageCodec for JPEGs; `node`
needs the whole environment, DALI among it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from surgstream.benchmarks.gpu.parts import CPU_PARTS, GROUPS, Part
from surgstream.benchmarks.gpu.predictions import PREDICTIONS
from surgstream.benchmarks.gpu.report import render
from surgstream.launch.errors import LaunchError
from surgstream.launch.torchrun import num_gpus

_FINDINGS = "findings.jsonl"
_MIN_SECONDS = 8
_LAST_CHARACTERS = 300
_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "4",
    "TOKENIZERS_PARALLELISM": "false",
}
_GPU_ENVIRONMENT = {"DS_ACCELERATOR": "cuda", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
_CPU_ENVIRONMENT = {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}

Finding = dict[str, Any]


def main() -> int:
    """Run the parts; returns 1 where one of them failed."""
    words = _parse()
    parts = chosen(words.names, cpu=words.cpu)
    if isinstance(parts, str):
        sys.stderr.write(f"{parts}\n")
        return 2
    if mistake := _mistake(words):
        sys.stderr.write(f"{mistake}\n")
        return 2

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what ends the part
    try:
        findings = measure(parts, words)
    except KeyboardInterrupt:
        return 130
    return int(any("failed" in finding for finding in findings))


def measure(parts: Sequence[Part], words: argparse.Namespace) -> list[Finding]:
    """Run parts, and write what they find beside what was found there before; returns the new findings."""
    words.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + (words.seconds or sum(part.seconds for part in parts))
    began = datetime.now(UTC)
    predictions = () if words.cpu else PREDICTIONS
    earlier = _earlier(words.out / _FINDINGS, {part.name for part in parts})
    findings: list[Finding] = []

    for part in parts:
        seconds = min(part.seconds, int(end - time.monotonic()))
        for found in find(part, seconds, words.out, cpu=words.cpu):
            findings.append({"part": part.name, **found})
            print(json.dumps(findings[-1]), flush=True)

        # After each part: whoever is cut off has the report of those before
        known = [*earlier, *findings]
        lines = "".join(f"{json.dumps(finding)}\n" for finding in known)
        (words.out / _FINDINGS).write_text(lines, encoding="utf-8")
        page = render(_conditions(began), known, predictions)
        (words.out / "report.md").write_text(page, encoding="utf-8")
    return findings


def _mistake(words: argparse.Namespace) -> str:
    """What is wrong with the folder or the machine; empty where nothing is."""
    names = {*GROUPS, *(part.name for parts in GROUPS.values() for part in parts)}
    if str(words.out) in names:
        return f"OUT: expected a folder, got the name {words.out}; write gpu.sh OUT {words.out}"

    try:
        if not words.cpu and not num_gpus():
            return "expected a GPU, got none; --cpu runs the parts that need none"
    except LaunchError as error:
        return str(error)
    return ""


def _earlier(path: Path, again: Collection[str]) -> list[Finding]:
    """What was found before, but for the parts that run again."""
    if not path.exists():
        return []
    findings, _ = _sorted(path.read_text(encoding="utf-8").splitlines())
    return [finding for finding in findings if finding.get("part") not in again]


def chosen(names: Sequence[str], *, cpu: bool) -> list[Part] | str:
    """The parts that are named, by themselves or by their group, in their own order; all for no names.

    Args:
        names: Names of parts and groups.
        cpu: Choose from those that need no GPU.

    Returns:
        The parts, or what is wrong with the names.
    """
    groups = {"cpu": CPU_PARTS} if cpu else GROUPS
    known = [(group, part) for group, parts in groups.items() for part in parts]
    unknown = {*names} - {*groups} - {part.name for _, part in known}
    if unknown:
        listed = "; ".join(
            f"{group} ({', '.join(part.name for part in parts)})" for group, parts in groups.items()
        )
        return f"NAME: expected groups or parts of {listed}; got {', '.join(sorted(unknown))}"
    return [part for group, part in known if not names or group in names or part.name in names]


def find(part: Part, seconds: int, out: Path, *, cpu: bool) -> list[Finding]:
    """Run a part, if there is the time and everything that it needs.

    Args:
        part: The part.
        seconds: The time for it.
        out: The folder of the results.
        cpu: Hide the GPUs from it.

    Returns:
        What it found; the last finding says how it ended.
    """
    lacking = [name for name in part.needs if not _is_installed(name)]
    if lacking:
        reason = f"needs {', '.join(lacking)}, which this interpreter does not have"
        return [{"skipped": reason, "limit": part.seconds}]
    if seconds < _MIN_SECONDS:
        return [{"skipped": "no time was left", "limit": part.seconds}]
    return run_part(part, seconds, out, cpu=cpu)


def run_part(part: Part, seconds: int, out: Path, *, cpu: bool) -> list[Finding]:
    """Run a part in a process of its own; see `find`.

    Returns:
        What it found until it ended, then what else it printed, its seconds and, unless it ended well, how it failed.
    """
    environment = {**os.environ, **_ENVIRONMENT, **(_CPU_ENVIRONMENT if cpu else _GPU_ENVIRONMENT)}
    words = [word.format(out=out) for word in part.words]
    command = [sys.executable, "-m", f"surgstream.{part.module}", *words]
    errors = out / f"{part.name}.err"
    began = time.monotonic()

    # A session of its own, so that its children can be ended with it
    with errors.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=file, start_new_session=True
        )
    try:
        printed, _ = process.communicate(timeout=seconds)
        failed = _ending(process.returncode)
    except subprocess.TimeoutExpired:
        failed = f"stopped after {seconds} s"
    finally:
        # However it ended: the next part is to find the GPU free
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        printed, _ = process.communicate()

    findings, others = _sorted(printed.decode(errors="replace").splitlines())
    took = round(time.monotonic() - began, 1)
    last: Finding = {"seconds": took, "limit": part.seconds}
    if others:
        last["printed"] = "\n".join(others)
    if failed:
        written = errors.read_text(encoding="utf-8", errors="replace").strip()
        last["failed"] = f"{failed}: {written[-_LAST_CHARACTERS:]}"
    return [*findings, last]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def _ending(status: int) -> str:
    """How a process failed; empty where it ended well."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}" if status else ""


def _sorted(lines: Sequence[str]) -> tuple[list[Finding], list[str]]:
    """The findings among all that a part has printed, and the rest; half a line is of the rest."""
    findings = []
    others = []
    for line in lines:
        try:
            found = json.loads(line) if line.startswith("{") else None
        except ValueError:
            found = None
        if isinstance(found, dict):
            findings.append(found)
        else:
            others.append(line)
    return findings, others


def _conditions(began: datetime) -> str:
    describe = ["git", "describe", "--always", "--dirty"]
    here = Path(__file__).resolve().parent
    commit = os.environ.get("SURGSTREAM_COMMIT")  # where there is no git
    if commit is None:
        commit = subprocess.run(describe, cwd=here, capture_output=True, text=True).stdout.strip()
    return (
        f"Begun {began:%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}, {os.cpu_count()} cores."
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/gpu.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(
            f"{group}: {', '.join(part.name for part in parts)}" for group, parts in GROUPS.items()
        ),
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder for what is found")
    parser.add_argument("names", nargs="*", metavar="NAME", help="groups or parts; all by default")
    parser.add_argument("--seconds", type=int, help="time for all parts together")
    parser.add_argument("--cpu", action="store_true", help="only what needs no GPU, small")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    sys.exit(main())
