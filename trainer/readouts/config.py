"""A probe: a readout of a frozen encoder, trained on a task's labels."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from surgstream.configs.places import Anywhere, Folder
from surgstream.configs.ranges import Range
from surgstream.trainer.data.config import DataConfig
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.labelled.config import TaskClipsConfig
from surgstream.trainer.lineage.config import LeaksConfig
from surgstream.trainer.readouts.bank_config import BankConfig, Decay, DenseConfig, Rate
from surgstream.trainer.tracking.config import TrackingConfig


@dataclass(frozen=True, kw_only=True)
class RidgeConfig:
    """Ridge regression on pooled features, to 1 where a class is the clip's and 0 elsewhere, or to numbers.

    Attributes:
        name: Selects this readout.
        penalties: Added to the eigenvalues of the standardised features' covariance; the best on validation is taken.
    """

    name: Literal["ridge"] = "ridge"
    penalties: tuple[Annotated[float, Range(1e-12, 1e12)], ...] = (
        1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class KnnConfig:
    """The nearest training clips by the cosine of pooled features, weighted by exp(cosine / temperature).

    Attributes:
        name: Selects this readout.
        neighbours: How many vote; the best on validation is taken.
        temperature: See above.
    """

    name: Literal["knn"] = "knn"
    neighbours: tuple[Annotated[int, Range(1, 10**6)], ...] = (1, 5, 10, 20, 50, 100, 200)
    temperature: Annotated[float, Range(1e-4, 1e4)] = 0.07


@dataclass(frozen=True, kw_only=True)
class TemporalConfig:
    """Temporal convolutions over the features of whole videos: TeCNO where they are causal, else MS-TCN.

    Attributes:
        name: Selects this readout.
        causal: Whether a row sees nothing of what comes after it.
        stages: Networks in a row; each but the first refines the probabilities of the one before.
        layers: Dilated convolutions of a stage; the i-th, from 0, looks 2^i rows away.
        width: Maps of a convolution.
        dropout: Share of maps that are dropped in each residual layer.
        smoothing_loss: Weight of the truncated mean squared error between neighbouring rows' log-probabilities.
        class_weights: Weigh each class by its median frequency in training.
        lrs: Adam's learning rates; the best on validation is taken.
        weight_decay: Adam's.
        epochs: Passes over the training videos, a video a step.
        seeds: Networks of each learning rate; their predictions are kept one by one.
    """

    name: Literal["temporal"] = "temporal"
    causal: bool = True
    stages: Annotated[int, Range(1, 16)] = 2
    layers: Annotated[int, Range(1, 20)] = 8
    width: Annotated[int, Range(1, 4096)] = 32
    dropout: Annotated[float, Range(0, 0.99)] = 0.5
    smoothing_loss: Annotated[float, Range(0, 1e3)] = 0.0
    class_weights: bool = True
    lrs: tuple[Rate, ...] = (1e-4, 3e-4, 1e-3)
    weight_decay: Decay = 0.0
    epochs: Annotated[int, Range(1, 10**5)] = 25
    seeds: tuple[Annotated[int, Range(0, 2**62)], ...] = (0, 1, 2, 3, 4)


ReadoutConfig = BankConfig | RidgeConfig | KnnConfig | TemporalConfig


@dataclass(frozen=True, kw_only=True)
class ProbeRecipe:
    """A probe of a frozen encoder on a task.

    Attributes:
        protocol: What the protocol is called, for stored predictions and tables.
        run_dir: The run's directory, which all ranks share and write to. The same directory resumes the run.
        seed: The key of the order, crops and initial weights.
        task: The task: the name of one in `configs/evaluate/tasks`, or a file; with `@FOLD` one of its folds.
        labels: The folder of the task's labels, or its `s3://` address; null takes those in `data.corpus`.
        clips: The labelled clips of the task, whose `clip.stride` takes the place of `data.stride`.
        weights: The encoder: a checkpoint, an export, a published file or folder, `timm:MODEL`, `random` or `pixels`.
        encoder: How it is read and run.
        readout: What is trained.
        features: A folder of features that `surgstream features` wrote, or where they are kept for later probes; null
            is `features` in the run directory. Of ridge, knn and temporal readouts alone.
        global_batch_size: Clips a step, over all ranks.
        micro_batch_size: Clips that a rank computes at once; the rest of its share is accumulated.
        epochs: Length of the training.
        clips_per_epoch: Clips called an epoch; null is as many as the training videos have.
        max_clips_per_epoch: The most that null of `clips_per_epoch` calls an epoch, however many there are.
        validate_every_epochs: Epochs from one validation to the next; the best of all is taken.
        leaks: The search for videos of the task in what the encoder was trained on.
        test: Ask the test videos, once, at the end; `false` chooses on validation alone, and a later start may ask.
        test_all: Test every head, and report the best on test as well, since some papers print it.
        save_every_minutes: Save when this much time has passed since the last save.
        report_every_steps: The interval of reports in steps.
        timeout_seconds: How long a rank may make no progress before it writes its stacks and the run ends.
        tracking: A tracker that heads which are trained step by step report to; other readouts have no steps.
        data: Clips.
    """

    free_to_change: ClassVar[tuple[str, ...]] = (
        "protocol",
        "run_dir",
        "labels",
        "features",
        "micro_batch_size",
        "leaks",
        "test",
        "test_all",
        "save_every_minutes",
        "report_every_steps",
        "timeout_seconds",
        "tracking",
    )
    """Fields that do not decide what is learned; a run that is resumed with another one changed is refused."""

    protocol: str | None = None
    run_dir: Folder
    seed: Annotated[int, Range(0, 2**62)] = 0
    task: str
    labels: Anywhere | None = None
    clips: TaskClipsConfig = field(default_factory=TaskClipsConfig)
    weights: str
    encoder: FrozenConfig = field(default_factory=FrozenConfig)
    readout: ReadoutConfig
    features: Anywhere | None = None
    global_batch_size: Annotated[int, Range(1, 2**17)] = 64
    micro_batch_size: Annotated[int, Range(1, 2**16)] = 8
    epochs: Annotated[float, Range(1e-6, 1e6)] = 20.0
    clips_per_epoch: Annotated[int, Range(1, 10**12)] | None = None
    max_clips_per_epoch: Annotated[int, Range(1, 10**12)] | None = None
    validate_every_epochs: Annotated[float, Range(1e-6, 1e6)] = 1.0
    leaks: LeaksConfig = field(default_factory=LeaksConfig)
    test: bool = True
    test_all: bool = True
    save_every_minutes: Annotated[float, Range(0.001, 1e6)] = 15.0
    report_every_steps: Annotated[int, Range(1, 10**9)] = 10
    timeout_seconds: Annotated[float, Range(1, 1e6)] = 1800.0
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    data: DataConfig

    def draws_per_epoch(self, num_clips: int) -> int:
        """Clips that are called an epoch, of as many as the training videos have."""
        most = self.max_clips_per_epoch or num_clips
        return self.clips_per_epoch or min(num_clips, most)

    def problems(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if self.clips_per_epoch and self.max_clips_per_epoch:
            yield (
                f"max_clips_per_epoch: expected null beside clips_per_epoch={self.clips_per_epoch}, "
                f"got {self.max_clips_per_epoch}"
            )
        if self.global_batch_size % self.micro_batch_size:
            yield (
                "global_batch_size: expected a multiple of micro_batch_size "
                f"{self.micro_batch_size}, got {self.global_batch_size}"
            )
        if isinstance(self.readout, DenseConfig):
            yield from self._problems_of_pictures()
        if self.data.stride != DataConfig.stride:
            yield (
                f"data.stride: expected clips.stride instead, as the clips are a task's, "
                f"got {self.data.stride}"
            )
        if self.data.datasets is not None:
            yield f"data.datasets: expected null, as a task names its own, got {list(self.data.datasets)}"

    def _problems_of_pictures(self) -> Iterator[str]:
        """Yield what keeps a dense readout from seeing each picture as a whole, once."""
        assert isinstance(self.readout, DenseConfig)
        scales = self.readout.image_scales
        if not scales or len({*scales}) < len(scales):
            yield f"readout.image_scales: expected one or more that differ, got {list(scales)}"
        if scales != (1.0,) and not self.encoder.interpolate:
            yield (
                "encoder.interpolate: expected true with readout.image_scales, as positions of one size "
                "are not those of another, got false"
            )

        for name, expected in (("view", "squash"), ("balance", "none"), ("segments", 1)):
            if getattr(self.clips, name) != expected:
                yield (
                    f"clips.{name}: expected {expected} with {self.readout.name}, got "
                    f"{getattr(self.clips, name)}"
                )
