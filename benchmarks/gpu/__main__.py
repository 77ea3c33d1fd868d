"""Answer the open questions about a GPU in some ten minutes, those with the most risk first.

`python -m surgstream.benchmarks.gpu OUT` runs every part in a process of its own, prints what it finds, one JSON object
a line, and writes the same to OUT/findings.jsonl; what a part writes to standard error is in OUT/PART.err. A part that
fails, crashes or takes too long ends alone.

  python -m surgstream.benchmarks.gpu OUT
  python -m surgstream.benchmarks.gpu OUT --parts jpeg engine --seconds 120
  python -m surgstream.benchmarks.gpu OUT --cpu          # the parts that need no GPU, at a small size

It needs torch, timm, einops, DeepSpeed, Pillow and, for JPEGs, nvImageCodec; neither DALI nor boto3.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MIN_SECONDS = 8
_LAST_CHARACTERS = 300
_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "4",
    "TOKENIZERS_PARALLELISM": "false",
}
_GPU_ENVIRONMENT = {"DS_ACCELERATOR": "cuda", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
_CPU_ENVIRONMENT = {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Part:
    """One question.

    Attributes:
        name: The part's name on the command line.
        seconds: The time after which it is ended.
        module: The module of this package that answers it.
        words: The arguments of that module.
    """

    name: str
    seconds: int
    module: str
    words: tuple[str, ...] = ()


_SURGVISTA = (
    "surgvista_vitb",
    "global_batch_size=64",
    "objective.teacher.weights=null",
    "objective.teacher.allow_random=true",
)
GPU_PARTS = (
    Part("machine", 20, "machine"),
    Part("jpeg", 60, "jpeg"),
    Part("engine", 60, "engine"),
    Part("surgvista", 150, "step", (*_SURGVISTA, "--kernels", "--load")),
    Part("attention", 20, "attention"),
    Part("fp8", 15, "fp8"),
    Part(
        "phase2",
        55,
        "step",
        (
            "surgrec_jepa_vitl_phase2",
            "global_batch_size=8",
            "compile=false",
            "--steps=4",
            "--kernels",
        ),
    ),
    Part(
        "unisurg2",
        50,
        "step",
        ("unisurg_vitl_stage2", "global_batch_size=16", "compile=false", "--steps=3"),
    ),
    Part(
        "phase2_compiled",
        110,
        "step",
        ("surgrec_jepa_vitl_phase2", "global_batch_size=8", "--steps=6"),
    ),
    Part("hang", 60, "hang"),
    Part("mae", 50, "step", ("surgrec_mae_vitb", "global_batch_size=64")),
    Part(
        "surgvista_eager",
        40,
        "step",
        (*_SURGVISTA, "compile=false", "--steps=4"),
    ),
)
CPU_PARTS = (
    Part("machine", 300, "machine"),
    Part("jpeg", 300, "jpeg"),
    Part("engine", 300, "engine"),
    Part("surgvista", 300, "step", ("surgvista_tiny", "--steps=2", "--kernels", "--load")),
    Part("attention", 300, "attention"),
)


def main() -> int:
    """Run the parts; returns 1 where one of them failed."""
    words = _parse()
    parts = CPU_PARTS if words.cpu else GPU_PARTS
    known = [part.name for part in parts]
    if unknown := {*words.parts} - {*known}:
        sys.stderr.write(f"--parts: expected some of {', '.join(known)}, got {sorted(unknown)}\n")
        return 2

    words.out.mkdir(parents=True, exist_ok=True)
    report = words.out / "findings.jsonl"
    report.write_text("", encoding="utf-8")
    end = time.monotonic() + words.seconds
    num_failed = 0

    for part in parts:
        if words.parts and part.name not in words.parts:
            continue
        seconds = min(part.seconds, int(end - time.monotonic()))
        if seconds < _MIN_SECONDS:
            findings: list[dict[str, Any]] = [{"failed": "no time left"}]
        else:
            findings = run_part(part, seconds, words.out / f"{part.name}.err", cpu=words.cpu)

        num_failed += any("failed" in finding for finding in findings)
        with report.open("a", encoding="utf-8") as file:
            for finding in findings:
                line = json.dumps({"part": part.name, **finding})
                print(line, flush=True)
                file.write(f"{line}\n")

    return int(num_failed > 0)


def run_part(part: Part, seconds: int, errors: Path, *, cpu: bool) -> list[dict[str, Any]]:
    """Run a part in a process of its own.

    Args:
        part: The part.
        seconds: The time after which it is ended.
        errors: Takes its standard error.
        cpu: Hide the GPUs from it.

    Returns:
        What it found until it ended, then the seconds that it took and, unless it ended well, how it failed.
    """
    environment = {**os.environ, **_ENVIRONMENT, **(_CPU_ENVIRONMENT if cpu else _GPU_ENVIRONMENT)}
    command = [sys.executable, "-m", f"surgstream.benchmarks.gpu.{part.module}", *part.words]
    began = time.monotonic()

    with errors.open("w", encoding="utf-8") as file:
        try:
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, stderr=file, timeout=seconds
            )
            printed = done.stdout
            failed = f"exit status {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired as late:
            printed = late.stdout or b""
            failed = f"stopped after {seconds} s"

    findings = _findings(printed.decode().splitlines())
    last: dict[str, Any] = {"seconds": round(time.monotonic() - began, 1)}
    if failed:
        written = errors.read_text(encoding="utf-8", errors="replace").strip()
        last["failed"] = f"{failed}: {written[-_LAST_CHARACTERS:]}"
    return [*findings, last]


def _findings(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The findings among all that a part has printed; a part that was ended may have printed half a line."""
    found = []
    for line in lines:
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder for what is found")
    parser.add_argument(
        "--parts", nargs="+", default=[], metavar="PART", help="the parts to run; all by default"
    )
    parser.add_argument("--seconds", type=int, default=720, help="time for all parts together")
    parser.add_argument("--cpu", action="store_true", help="only what needs no GPU, small")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
