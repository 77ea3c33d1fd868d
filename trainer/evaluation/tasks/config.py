"""A task: labels, classes, split, metrics, and what others have published."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from surgstream.configs.id_ranges import expand
from surgstream.configs.ranges import Range
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.labels.config import LabelFilesConfig
from surgstream.trainer.evaluation.metrics.samples import TaskKind
from surgstream.trainer.evaluation.tasks.aliases import Alias
from surgstream.trainer.evaluation.tasks.layer import LayerTruth, problems_of_layer
from surgstream.trainer.evaluation.tasks.plausible import impossible
from surgstream.trainer.evaluation.tasks.split_config import (
    PartConfig,
    SplitConfig,
    metric_of_part,
    problems_of_parts,
)
from surgstream.trainer.evaluation.tasks.splits import Ids, is_glob, repeated, shared_groups


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
        values: The numbers as they are printed, by metric: ours, where the publication's is the same, or else one of
            `other_metrics` of the task.
        num_rows: The rows that they were computed of, where it is known.
        caveats: Letters of `caveats` of the task.
    """

    model: str
    source: str
    protocol: str
    values: dict[str, Annotated[float, Range(-1e9, 1e9)]]
    num_rows: Annotated[int, Range(1, 10**9)] | None = None
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
        layer: Of masks and depth the layer of the corpus that has them, instead of labels.
        classes: All classes in order. Of masks the class of the pixels of value 1, of those of value 2, and so on.
        null_classes: Those that stand for nothing, such as the null triplets of CholecT50.
        components: Names of the parts of which each class's name is made, with `/` between, such as instrument, verb,
            target.
        rows_per_second: Labelled rows a second that are scored.
        late: For the relaxed metrics: the classes that may be predicted in the first seconds of a true class.
        early: Those that may be predicted in its last seconds.
        split: The videos to train, choose and test on; null where there are `folds`, or where the ids are not known.
        folds: The splits of a cross-validation, by name: `NAME@FOLD` is the task with one of them.
        parts: Test videos that are scored by themselves as well, by a short name: of each metric, such as `dice`, there
            is one of each part, such as `dice_clinic`.
        groups: What videos belong to, such as a patient or a surgeon: ids by its name. A video of none is its own.
        subsets: Official parts of the training videos for label-efficiency, by per cent.
        clip: The frames that an encoder sees.
        metrics: Ids of the metrics to compute.
        main: The one that models are chosen by.
        other_metrics: Titles of what others have published and nobody can compute again, by id.
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
    kind: TaskKind
    labels: LabelFilesConfig | None = None
    layer: LayerTruth | None = None
    classes: tuple[str, ...] = ()
    null_classes: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    rows_per_second: Annotated[float, Range(0.001, 1000)] = 1.0
    late: dict[str, tuple[str, ...]] = field(default_factory=dict)
    early: dict[str, tuple[str, ...]] = field(default_factory=dict)
    split: SplitConfig | None
    folds: dict[str, SplitConfig] = field(default_factory=dict)
    parts: dict[str, PartConfig] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    subsets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    clip: ClipConfig = ClipConfig()
    metrics: tuple[str, ...]
    main: str
    other_metrics: dict[str, str] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    caveats: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def splits(self) -> tuple[SplitConfig, ...]:
        """The split, or those of all folds."""
        return (*filter(None, [self.split]), *self.folds.values())

    def videos(self, split: str) -> Ids:
        """The ids of `train`, `val` or `test`; none where the task has folds, or no split."""
        return self.split.videos()[split] if self.split else ()

    def has_videos(self, split: str) -> bool:
        """Whether `train`, `val` or `test` has videos, by ids or by globs."""
        return bool(self.split and self.split.entries()[split])

    @property
    def has_globs(self) -> bool:
        """Whether videos of splits or parts are named by globs."""
        of_parts = (entry for part in self.parts.values() for entry in part.videos)
        return any(split.has_globs for split in self.splits()) or any(map(is_glob, of_parts))

    def judged_by(self) -> set[str]:
        """All videos to choose by or to test on, in any fold; globs as they are."""
        splits = [split.entries() for split in self.splits()]
        return {id for videos in splits for name in ("val", "test") for id in videos[name]}

    def group_of(self) -> dict[str, str]:
        """The groups of videos, by id; a video of none is missing."""
        return {id: group for group, ids in self.groups.items() for id in expand(ids)}

    @property
    def is_judged(self) -> bool:
        """Whether anything says what is true; otherwise the task has published values only."""
        return self.labels is not None or self.layer is not None

    @property
    def row_seconds(self) -> float:
        """The time from one labelled row to the next; 0 where a video is labelled as a whole."""
        per_video = self.labels is not None and self.labels.per_video
        return 0.0 if per_video else 1 / self.rows_per_second

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if self.split and self.folds:
            yield "split: expected null beside folds, got a split"
        if not self.is_judged and self.splits():
            yield "labels: expected the files of a task that has a split, got null"
        yield from problems_of_layer(
            self.layer, self.kind, self.classes, has_files=bool(self.labels)
        )
        # What is published only may be of metrics that nobody computes here.
        of_task = self.metrics if self.is_judged else (*self.metrics, *self.other_metrics)
        if self.main not in of_task:
            yield f"main: expected one of the metrics, got {self.main!r}{did_you_mean(self.main, of_task)}"

        yield from self._problems_of_classes()
        yield from self.problems_of_videos()
        yield from self._problems_of_published()

    def unknown_metrics(self, known: Collection[str]) -> Iterator[str]:
        """Yield a sentence for each metric that is not in the catalogue of those known."""
        for name in self.metrics:
            if name not in known:
                yield f"metrics: no metric has the id {name!r}{did_you_mean(name, known)}"

    def _problems_of_classes(self) -> Iterator[str]:
        if self.kind in ("number", "depth") and self.classes:
            what = "numbers" if self.kind == "number" else self.kind
            yield f"classes: expected none of {what}, got some"
        if self.kind not in ("number", "depth") and self.is_judged and not self.classes:
            yield "classes: expected the names of all classes, got none"
        for name in repeated(self.classes):
            yield f"classes: expected names that differ, got {name!r} twice"

        named = {"null_classes": self.null_classes}
        for key, allowed in (("late", self.late), ("early", self.early)):
            named[key] = (*allowed, *(name for names in allowed.values() for name in names))
        for key, names in named.items():
            for name in dict.fromkeys(names):
                if name not in self.classes:
                    yield f"{key}: expected classes, got {name!r}{did_you_mean(name, self.classes)}"

        for name in self.classes:
            if self.components and name.count("/") + 1 != len(self.components):
                yield f"classes: expected {'/'.join(self.components)}, got {name!r}"

    def problems_of_videos(self) -> Iterator[str]:
        """Yield what is wrong with groups, subsets, parts and aliases, which globs decide once they are resolved."""
        for dataset, alias in self.aliases.items():
            try:
                Alias.parse(alias)
            except ValueError as error:
                yield f"aliases.{dataset}: {error}"

        try:
            grouped = [id for ids in self.groups.values() for id in expand(ids)]
            group_of = self.group_of()
            splits = [(split, split.entries()) for split in self.splits()]
            subsets = {key: expand(ids) for key, ids in self.subsets.items()}
            parts = {name: expand(part.videos) for name, part in self.parts.items()}
        except ValueError as error:
            yield str(error)
            return

        for id in repeated(grouped):
            yield f"groups: expected each video in one, got {id!r} twice"
        for split, videos in splits:
            if not split.shares_groups:
                yield from shared_groups(videos, group_of)
        trained = {id for _, videos in splits for id in videos["train"]}
        for key, ids in subsets.items():
            if any(map(is_glob, trained)):
                break  # until they are resolved
            if others := sorted({*ids} - trained):
                yield f"subsets.{key}: expected videos to train on, got {others[0]!r}"

        yield from problems_of_parts(parts, [videos for _, videos in splits], self.metrics)

    def _problems_of_published(self) -> Iterator[str]:
        of_parts = (metric_of_part(name, part) for part in self.parts for name in self.metrics)
        known = (*self.metrics, *of_parts, *self.other_metrics)
        used: set[str] = set()
        for row in self.published:
            where = f"published: {row.model}"
            used.update(row.caveats)
            for name in row.values:
                if name not in known:
                    yield (
                        f"{where}: expected a metric of the task or of other_metrics, got "
                        f"{name!r}{did_you_mean(name, known)}"
                    )

            told = " ".join(self.caveats.get(letter, "") for letter in row.caveats)
            for problem in impossible(row.values, row.num_rows):
                if "impossible" not in told.lower():
                    yield f"{where}: {problem}; correct it, or name a caveat that says `impossible`"

        for letter in sorted(used ^ {*self.caveats}):
            told_of = (
                "a text, got none" if letter in used else "to be used, got no row that names it"
            )
            yield f"caveats.{letter}: expected {told_of}"
