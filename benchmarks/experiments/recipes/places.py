"""What decides the numbers of the experiment, and where everything lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RANDOM, RANDOM_ROPE, PIXELS = "random", "random_rope", "pixels"
UNTRAINED = (RANDOM, RANDOM_ROPE, PIXELS)
"""Yardsticks: the encoder with weights of its seed, of fixed or of rotary positions, and mean colours of patches."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What decides the numbers.

    Attributes:
        budget: Operations of a run, those of its teacher included.
        seeds: Of pretraining, and of the probes of its encoder.
        train_times: How many operations are pretrained on: 13 times as many, as `surgstream synth --times` has it, 5
            times as many of them cholecystectomies.
        train_seconds: Their mean length.
        test_times: How many others encoders are judged by: 5 times as many, all cholecystectomies.
        test_seconds: Their mean length.
        num_train: Operations that probes learn from, the first ones. They alone may be called as those that are
            pretrained on: a suite takes what has the same name for the same video.
        num_val: Operations that they are chosen by, the next ones; all others are tested on.
        protocols: For each task its protocol, and words for it.
    """

    budget: float
    seeds: tuple[int, ...]
    train_times: int
    train_seconds: int
    test_times: int
    test_seconds: int
    num_train: int
    num_val: int
    protocols: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        """Refuse names that an operation to judge by would share with one that is pretrained on."""
        if 5 * self.train_times > self.num_train:
            raise ValueError(
                f"num_train: expected {5 * self.train_times} or more, 5 times train_times, got {self.num_train}"
            )

    def split(self) -> dict[str, list[str] | str]:
        """The operations to train, to choose and to test, as a task's file has them."""
        first_test = self.num_train + self.num_val + 1
        bounds = {
            "train": (1, self.num_train),
            "val": (self.num_train + 1, first_test - 1),
            "test": (first_test, 5 * self.test_times),
        }
        ids = {
            name: [f"larkspur_[{first:02d}-{last:02d}]"] for name, (first, last) in bounds.items()
        }
        return {**ids, "source": "Ours: the first operations are learned from, the last tested on."}


@dataclass(frozen=True)
class Places:
    """Where everything lies below a folder.

    Attributes:
        root: The folder.
        budget: Operations of a run; runs of other budgets lie beside.
    """

    root: Path
    budget: float

    @property
    def shards(self) -> Path:
        """What is pretrained on."""
        return self.root / "shards"

    @property
    def labels(self) -> Path:
        """The operations to judge by, and their labels."""
        return self.root / "operations"

    @property
    def tests(self) -> Path:
        """These operations, packed."""
        return self.root / "tests"

    @property
    def suite(self) -> Path:
        """Probes of all encoders."""
        return self.root / "suite"

    def task(self, name: str) -> Path:
        """A task with the split of the experiment."""
        return self.root / "tasks" / f"{name}.yaml"

    def suite_file(self, seed: int) -> Path:
        """The suite of one seed."""
        return self.root / "suites" / f"seed{seed}.yaml"

    def run(self, name: str, seed: int, share: float = 1.0) -> Path:
        """A pretraining run; a teacher's has a share of the operations."""
        part = "" if share == 1 else f"_{share:.2f}"
        return self.root / f"{self.budget / 1e12:g}_tflop" / f"{name}{part}" / f"seed{seed}"

    def features(self, name: str, seed: int) -> Path:
        """Features of the operations to judge by, by an encoder: in its run, to go with it."""
        if name in UNTRAINED:
            return self.root / "features" / name / f"seed{seed}"
        return self.run(name, seed) / "features"
