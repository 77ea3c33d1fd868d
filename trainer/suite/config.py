"""A suite: which tasks are learned by which protocols, with which seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from surgstream.configs.ranges import Range

Seed = Annotated[int, Range(0, 2**62)]


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """Some tasks under some protocols.

    Attributes:
        tasks: Names in `configs/evaluate/tasks`, or files; with `@FOLD` one of a task's folds.
        protocols: Names in `configs/evaluate/protocols`, or files.
        shares: Shares of the training videos, by whole groups; with several, each is a line of the table, and the page
            draws what more labels are worth.
        set: Words `key=value` for the protocols of this part.
    """

    tasks: tuple[str, ...]
    protocols: tuple[str, ...]
    shares: tuple[Annotated[float, Range(0.001, 1)], ...] = (1.0,)
    set: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name in ("tasks", "protocols", "shares"):
            if not getattr(self, name):
                yield f"{name}: expected at least one, got none"
        for word in self.set:
            if "=" not in word:
                yield f"set: expected key=value, got {word!r:.80}"


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """A suite.

    Attributes:
        title: For people.
        parts: Its tasks and protocols; a line of the table is one of the tasks under one of the protocols.
        seeds: Of heads, orders and random weights. Readouts that nothing random decides have the first alone.
        yardsticks: Encoders that stand in every table: `random` has the architecture of the first encoder that is
            asked for, `pixels` is the mean colours of patches.
        pixels: How `pixels` sees clips, as words `encoder.KEY=VALUE`; none of them is 16 frames of 224 pixels.
        leaks: What becomes of cells whose encoder was trained on videos that it would be judged by, as `leaks.found` of
            their recipes.
        notes: What a reader of the table should know.
    """

    title: str
    parts: tuple[PartConfig, ...]
    seeds: tuple[Seed, ...] = (0, 1, 2)
    yardsticks: tuple[Literal["random", "pixels"], ...] = ("random",)
    pixels: tuple[str, ...] = ()
    leaks: Literal["refuse", "allow_val", "allow"] = "allow_val"
    notes: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if not self.parts:
            yield "parts: expected at least one, got none"
        if not self.seeds or len({*self.seeds}) < len(self.seeds):
            yield f"seeds: expected numbers that differ, got {list(self.seeds)}"

        for word in self.pixels:
            if not word.startswith("encoder.") or "=" not in word:
                yield f"pixels: expected encoder.KEY=VALUE, got {word!r:.80}"

        seen = set()
        for part in self.parts:
            for task in part.tasks:
                for protocol in part.protocols:
                    if (task, protocol) in seen:
                        yield f"parts: expected {task} under {protocol} once, got it twice"
                    seen.add((task, protocol))
