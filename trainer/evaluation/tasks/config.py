"""A task: labels, classes, split, metrics, and what others have published."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from surgstream.configs.ranges import Range
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.trainer.evaluation.metrics.samples import Kind


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Videos by their ids: ranges as `video[01-40]`, or ids.

    Attributes:
        train: To train on.
        val: To choose by, such as heads, epochs and rates; may be empty, where nothing is chosen.
        test: Asked once.
        source: Where the split is from: a paper, a repository, or `ours` with the reason.
    """

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...]
    source: str


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """The frames that an encoder sees of a labelled moment.

    Attributes:
        num_frames: Frames of the clip.
        stride: Packed frames from one to the next; `uniform` spreads them over the whole video, 0 repeats one.
        label: The frame whose label it is. With `last` nothing of the future is seen.
    """

    num_frames: Annotated[int, Range(1, 1024)] = 16
    stride: Annotated[int, Range(0, 10**6)] | Literal["uniform"] = 4
    label: Literal["last", "middle", "first"] = "last"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What somebody has published for this task, to be printed beside our numbers.

    Attributes:
        model: The model, with its size.
        source: The publication, and its table.
        protocol: How it was made, in a few words, such as `frozen, attentive probe`.
        values: The numbers as they are printed, by metric: ours, where the publication's is the same.
        caveats: Letters of `caveats` of the task.
    """

    model: str
    source: str
    protocol: str
    values: dict[str, float]
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """A task.

    Attributes:
        name: Its name, that of its file.
        version: Changes whenever a number would.
        title: For people, such as `Cholec80: phases`.
        dataset: The dataset's name in `configs/pack/evaluate.yaml`.
        kind: What a label is.
        labels: Where labels lie below the folder of labels; null for a task of published values only.
        classes: All classes in order.
        null_classes: Those that stand for nothing, such as the null triplets of CholecT50.
        components: Names of the parts of which each class's name is made, with `/` between, such as instrument, verb,
            target.
        rows_per_second: Labelled rows a second that are scored.
        late: For the relaxed metrics: the classes that may be predicted in the first seconds of a true class.
        early: Those that may be predicted in its last seconds.
        split: The videos to train, choose and test on.
        groups: What videos belong to, such as a patient or a surgeon: ids by its name. A video of none is its own.
        subsets: Official parts of the training videos for label-efficiency, by per cent.
        clip: The frames that an encoder sees.
        metrics: Ids of the metrics to compute.
        main: The one that models are chosen by.
        published: What others have published.
        caveats: What is to be known of published values, by letter.
        aliases: The same videos in other datasets: by dataset, `THERE = HERE` with `{n}` for a number, such as
            `VID{n} = video{n}`.
        notes: What a reader of results should know.
    """

    name: str
    version: Annotated[int, Range(1, 10**6)]
    title: str
    dataset: str
    kind: Kind
    labels: LabelFilesConfig | None
    classes: tuple[str, ...] = ()
    null_classes: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    rows_per_second: Annotated[float, Range(0.001, 1000)] = 1.0
    late: dict[str, tuple[str, ...]] = field(default_factory=dict)
    early: dict[str, tuple[str, ...]] = field(default_factory=dict)
    split: SplitConfig | None
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    subsets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    clip: ClipConfig = ClipConfig()
    metrics: tuple[str, ...]
    main: str
    published: tuple[Published, ...] = ()
    caveats: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
