"""What was predicted of an H100 or H800 of 80 GB (989 TFLOP/s in bf16) before one was at hand.

The predictions come from the operations of each recipe at 600 to 620 TFLOP/s of large matrix products, 330 of narrow
ones, 380 and 300 of attention forward and with its gradients, and 34 to 44 bytes a token, unit of width and block at
3 TB/s of memory. They are meant to be 15 % wide.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Finding = Mapping[str, Any]
"""A line of findings.jsonl: the part's name as `part`, and values."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A range for one value that a part finds.

    Attributes:
        part: The part.
        key: The value's name in its findings.
        what: The value in words, with its unit.
        low: The least that was predicted.
        high: The most that was predicted.
        where: Other values that its finding has.
    """

    part: str
    key: str
    what: str
    low: float = -math.inf
    high: float = math.inf
    where: Mapping[str, Any] = field(default_factory=dict)

    def measured(self, findings: Iterable[Finding]) -> float | None:
        """The first value that was found; None where there is none."""
        for finding in findings:
            here = {"part": self.part, **self.where}
            if finding.get(self.key) is not None and here.items() <= finding.items():
                return float(finding[self.key])
        return None

    @property
    def range(self) -> str:
        """The prediction in words."""
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


def _rate(part: str, low: float, high: float) -> Prediction:
    return Prediction(part=part, key="clips_per_s", what="clips/s of a GPU", low=low, high=high)


def _memory(part: str, gib: float) -> Prediction:
    low, high = round(0.85 * gib, 1), round(1.15 * gib, 1)
    what = "GiB allocated at the worst masks"
    return Prediction(part=part, key="peak_allocated_gib", what=what, low=low, high=high)


PREDICTIONS = (
    Prediction(part="machine", key="tflops", what="TFLOP/s of matrix products", low=600, high=800),
    Prediction(
        part="machine",
        key="from_host_gb_per_s",
        what="GB/s from pageable memory",
        low=6,
        high=10,
        where={"pinned": False},
    ),
    Prediction(
        part="machine",
        key="from_host_gb_per_s",
        what="GB/s from pinned memory",
        low=22,
        where={"pinned": True},
    ),
    Prediction(
        part="jpeg",
        key="images_per_s",
        what="whole frames/s of nvImageCodec",
        low=5_000,
        high=16_000,
        where={"backends": "dali", "what": "frames"},
    ),
    _rate("surgvista", 260, 330),
    Prediction(
        part="surgvista", key="targets_share", what="the teacher's share", low=0.6, high=0.72
    ),
    Prediction(part="surgvista", key="mfu", what="MFU", low=0.33, high=0.43),
    _memory("surgvista", 24),
    _memory("surgvista_eager", 33),
    Prediction(
        part="fp8",
        key="gain_with_cast",
        what="fp8 over bf16, cast included; worth it from here on",
        low=1.35,
    ),
    _memory("phase2", 48),
    _memory("unisurg2", 62),
    _rate("mae", 1_100, 1_500),
    _memory("mae", 15),
    _rate("phase2_compiled", 19, 25),
    _memory("phase2_compiled", 36),
    Prediction(
        part="phase2_compiled",
        key="first_step_s",
        what="seconds of the first step, which compiles",
        low=120,
        high=300,
    ),
    _rate("jepa", 122, 164),
    _memory("jepa", 28),
    _rate("unisurg1", 153, 207),
    _memory("unisurg1", 48),
    _rate("unisurg2_compiled", 22, 30),
    _memory("unisurg2_compiled", 50),
    _rate("bf16_teacher", 255, 345),
    Prediction(
        part="regional",
        key="first_step_s",
        what="seconds of the first step, which compiles",
        high=30,
    ),
    _rate("regional", 245, 330),
    Prediction(
        part="phase2_regional",
        key="first_step_s",
        what="seconds of the first step, which compiles",
        high=60,
    ),
    Prediction(part="hang", key="has_stacks", what="stacks are written (1 is yes)", low=1, high=1),
)
