"""The metrics of a run: its newest reports, and those since its last start."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surgstream.trainer.runs.json_lines import Line, get_float, get_int, get_str, with_prefix


@dataclass(frozen=True)
class Reports:
    """The lines at the end of `metrics.jsonl`.

    Attributes:
        lines: All of them.
        steps: Those that report training steps.
        recent: Those of `steps` since the run's last start.
    """

    lines: Sequence[Line]
    steps: Sequence[Line]
    recent: Sequence[Line]

    @classmethod
    def of(cls, lines: Sequence[Line], *, started: float) -> "Reports":
        """Sort lines by what they report.

        Args:
            lines: Of `metrics.jsonl`.
            started: The run's last start, in unix seconds.
        """
        steps = [
            line
            for line in lines
            if get_int(line, "step") is not None and get_float(line, "time/step_seconds")
        ]
        recent = [line for line in steps if (get_float(line, "time") or -1.0) >= started]
        return cls(lines, steps, recent)

    @property
    def last(self) -> Line:
        """The newest report of steps; empty before the first."""
        return self.steps[-1] if self.steps else {}

    @property
    def held_out(self) -> Line:
        """The newest report of the held-out loss; empty before the first."""
        found = (
            line for line in reversed(self.lines) if get_float(line, "held_out/total") is not None
        )
        return next(found, {})

    @property
    def validations(self) -> dict[int, dict[str, float]]:
        """The metrics of a task on its validation videos, by step and name."""
        found: dict[int, dict[str, float]] = {}
        for line in self.lines:
            step = get_int(line, "step")
            values = dict(with_prefix(line, "val/"))
            if step is not None and values:
                found[step] = values
        return found

    @property
    def step(self) -> int | None:
        """The last reported step."""
        return get_int(self.last, "step")

    @property
    def last_step(self) -> int | None:
        """The step after which the run ends."""
        return get_int(self.last, "progress/last_step")

    @property
    def finished(self) -> bool:
        """Whether the last step is reported."""
        step, last_step = self.step, self.last_step
        return step is not None and last_step is not None and step >= last_step

    @property
    def steps_left(self) -> int | None:
        """Steps from the last reported one to the run's end."""
        step, last_step = self.step, self.last_step
        return None if step is None or last_step is None else max(0, last_step - step)

    @property
    def last_epoch(self) -> float | None:
        """Epochs at the last step: those so far, and what the steps left add at the last report's clips a step."""
        epoch = get_float(self.last, "progress/epoch")
        clips = get_float(self.last, "progress/clips")
        clips_per_second = get_float(self.last, "throughput/clips_per_second")
        step_seconds = get_float(self.last, "time/step_seconds")
        if not epoch or not clips or not clips_per_second or not step_seconds:
            return None
        if self.steps_left is None:
            return None
        return epoch + self.steps_left * clips_per_second * step_seconds * epoch / clips

    @property
    def wait_share(self) -> float | None:
        """The share of a step that waits for data."""
        step_seconds = get_float(self.last, "time/step_seconds")
        wait_seconds = get_float(self.last, "data/wait_seconds")
        if not step_seconds or wait_seconds is None:
            return None
        return wait_seconds / step_seconds

    @property
    def held_out_losses(self) -> dict[str, float]:
        """The newest held-out losses, by name."""
        return {
            name: value
            for name, value in with_prefix(self.held_out, "held_out/")
            if name != "clips"
        }

    @property
    def features(self) -> dict[str, float]:
        """The newest measures of the features, under `probe/` and `collapse/`."""
        found: dict[str, float] = {}
        for line in self.lines:
            for kind in ("probe/", "collapse/"):
                for name, value in with_prefix(line, kind):
                    found[f"{kind}{name}"] = value
        return found

    @property
    def slowest(self) -> dict[str, Any] | None:
        """The slowest rank of the last report: `rank`, `host`, and its time `over_median`."""
        rank = get_int(self.last, "time/slowest_rank")
        if rank is None:
            return None
        return {
            "rank": rank,
            "host": get_str(self.last, "time/slowest_host"),
            "over_median": get_float(self.last, "time/slowest_over_median"),
        }

    @property
    def retries(self) -> dict[str, int]:
        """Reads tried again since the last start, by cause."""
        causes = Counter[str]()
        for line in self.recent:
            for cause, count in with_prefix(line, "data/retries_"):
                if count:
                    causes[cause] += int(count)
        return dict(causes)

    @property
    def recent_steps(self) -> int:
        """Steps between the first and the last report since the last start."""
        if len(self.recent) < 2:
            return 0
        steps: int = self.recent[-1]["step"] - self.recent[0]["step"]
        return steps
