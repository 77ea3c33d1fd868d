"""What a run cost, as its directory tells it: the time and energy of its starts, and its encoder by itself."""

import json
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from surgstream.configs.files import naming, write_atomically
from surgstream.trainer.runs.json_lines import get_float, get_int, get_str, read_lines, read_object

log = logging.getLogger(__name__)

STARTS = "costs.jsonl"
ENCODER = "encoder_cost.json"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A start of a run that was done, or stopped when it was asked to.

    Attributes:
        seconds: From the first word of its processes to their end.
        processes: How many; of GPUs one each.
        device: What they computed on.
        joules: The energy that all GPUs took; NaN where NVML does not tell, as on a CPU.
    """

    seconds: float
    processes: int
    device: str
    joules: float

    @property
    def hours(self) -> float:
        """Hours of a process, which are GPU-hours where there are GPUs."""
        return self.seconds * self.processes / 3600


@dataclass(frozen=True, kw_only=True)
class EncoderCost:
    """What an encoder takes, one clip at a time.

    Attributes:
        parameters: Its parameters.
        num_frames: Frames of a clip.
        ms_per_clip: Milliseconds of a forward pass of one clip, the median of several.
        device: What it ran on.
    """

    parameters: int
    num_frames: int
    ms_per_clip: float
    device: str

    @property
    def ms_per_frame(self) -> float:
        """Milliseconds a frame of the clip."""
        return self.ms_per_clip / self.num_frames


def add_start(run_dir: Path, start: Start) -> None:
    """Add a start to those of a run; a directory that refuses is told, and no error, as the run's results are there."""
    line = asdict(start) | {"joules": None if math.isnan(start.joules) else start.joules}
    path = run_dir / STARTS
    try:
        with naming(path), path.open("a+b") as file:
            # A line that a full disk tore would take this one with it
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            torn = file.read(1) not in (b"", b"\n")
            file.write(b"\n" * torn + json.dumps(line).encode() + b"\n")
    except OSError as error:
        log.warning("%s; what this start cost is not kept", error)


def read_starts(run_dir: Path) -> Sequence[Start]:
    """The starts of a run that did not fail and were not killed; lines that cannot be read are left out."""
    found = []
    for line in read_lines(run_dir / STARTS):
        seconds, processes = get_float(line, "seconds"), get_int(line, "processes")
        if seconds is not None and processes is not None:
            joules = get_float(line, "joules")
            found.append(
                Start(
                    seconds=seconds,
                    processes=processes,
                    device=get_str(line, "device") or "",
                    joules=math.nan if joules is None else joules,
                )
            )
    return found


def write_encoder_cost(run_dir: Path, cost: EncoderCost) -> None:
    """Write what a run's encoder takes; a directory that refuses is told, and no error."""
    try:
        write_atomically(run_dir / ENCODER, json.dumps(asdict(cost), indent=1) + "\n")
    except OSError as error:
        log.warning("%s; what the encoder takes is not kept", error)


def read_encoder_cost(run_dir: Path) -> EncoderCost | None:
    """What a run's encoder takes; None where it does not tell."""
    found = read_object(run_dir / ENCODER)
    parameters, num_frames = get_int(found, "parameters"), get_int(found, "num_frames")
    milliseconds = get_float(found, "ms_per_clip")
    if parameters is None or not num_frames or milliseconds is None:
        return None
    return EncoderCost(
        parameters=parameters,
        num_frames=num_frames,
        ms_per_clip=milliseconds,
        device=get_str(found, "device") or "",
    )
