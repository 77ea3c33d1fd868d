"""The corpus file: datasets of videos, the videos that are held out, and the labels of all of them."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.id_ranges import expand
from surgstream.configs.loading import to_tree
from surgstream.configs.places import Anywhere, Folder
from surgstream.configs.presets import find_preset, presets
from surgstream.configs.ranges import Range
from surgstream.configs.renamed import Renamed
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.corpus import layers, naming
from surgstream.shards.corpus.about import AboutConfig
from surgstream.shards.corpus.layers import LayerConfig
from surgstream.shards.corpus.naming import BY_NAME
from surgstream.shards.format.names import is_plain_id
from surgstream.shards.format.records import RENAMED_KINDS
from surgstream.shards.storage.addresses import is_in_bucket
from surgstream.shards.storage.stores import TAR

TOLERANCE = 0.02
"""A share of expected frames and hours: publications round them, and cut videos a second longer or shorter."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Published counts of some videos of a dataset, without those in quarantine.

    Attributes:
        videos: The exact number of videos.
        frames: Frames at one a second, whatever `fps` is packed.
        hours: Their duration in hours.
    """

    videos: Annotated[int, Range(0, 10**9)] | None = None
    frames: Annotated[int, Range(0, 10**15)] | None = None
    hours: Annotated[float, Range(0, 1e12)] | None = None

    def differences(self, videos: int, seconds: float) -> Iterator[str]:
        """Compare the counts with a number of videos and their seconds in all; yields each difference in words."""
        if self.videos is not None and videos != self.videos:
            yield f"expected {self.videos} videos, got {videos}"

        hours = seconds / 3600
        compared = (("frames at 1 a second", self.frames, seconds), ("hours", self.hours, hours))
        for unit, expected, got in compared:
            if expected is not None and abs(got - expected) > TOLERANCE * expected:
                yield f"expected {expected:.6g} {unit}, got {got:.6g}"


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """One dataset of the corpus file. Relative paths start at the folder of that file, or at `--root`.

    Attributes:
        name: Its name in the corpus, of `A-Z a-z 0-9 _ -`.
        specialty: Such as `laparoscopic_cholecystectomy`.
        procedure: Such as `cholecystectomy`.
        videos: A file, a glob or an `s3://` address (which may be a glob too), or a list of them. `**` in a glob is any
            number of folders, and hidden files are left out. Behind a step that ends in `.tar` the rest is looked for
            in tars, as in `set/*.tar/*.mp4`; there `{parent}` of an id is the tar.
        id: The pattern of ids: `{stem}` is the name of a video's file without the suffix, `{parent}` that of the file's
            folder, `{grandparent}` that of the folder's folder.
        hold_out: Ids never packed for training, or a file with one id a line. A glob, such as `video4[1-9]`, holds out
            the ids that it matches, if any; an id must be a video's.
        image_fps: Makes each video a folder of numbered images, and `videos` the folders, whose names are the ids. This
            many numbers pass in a second: 1 where the image of each second has the next number, 25 where every
            twenty-fifth picture of a video kept its own number.
        images: A glob of the names of a folder's images, such as `*_color.png`, where it has others as well.
        stills: Makes each video one image file, of a single frame.
        labels: For each kind of label a CSV file, with `{video}` where the id goes, or the fields of an id; see
            `shards.corpus.labels`.
        layers: For each layer, such as `mask`, where its pictures are; see `shards.corpus.layers`.
        min_seconds: A video with fewer seconds to pack is left out and reported; null takes the value of `pack`. Stills
            have no seconds, and are packed.
        licence: Its SPDX identifier, such as `CC-BY-4.0`; written into every sample.
        expected: Published counts of the training videos, without those that are held out; a difference from what is
            packed to train, or dropped, is a warning. So it is with `split: all` where nothing is held out.
        whole: Published counts of all videos, those of `hold_out` among them, which count where all are packed: with
            nothing held out, or by `split: all`. Where it says nothing, `expected` counts.
        packs_test_of: Videos packed for training that a task chooses models by or tests them on: by the task's name in
            `configs/evaluate/tasks` their ids here, or ranges of them such as `video[01-40]`. It is told, and changes
            nothing that is packed.
    """

    name: str
    specialty: str
    procedure: str
    videos: Anywhere | tuple[Anywhere, ...]
    id: str = BY_NAME
    hold_out: Anywhere | tuple[str, ...] = ()
    image_fps: Annotated[float, Range(0.001, 1e3)] | None = None
    images: str = "*"
    stills: bool = False
    labels: dict[str, Anywhere] = field(default_factory=dict)
    layers: dict[str, LayerConfig] = field(default_factory=dict)
    min_seconds: Annotated[float, Range(0, 1e6)] | None = None
    licence: str | None = None
    expected: Expected = Expected()
    whole: Expected = Expected()
    packs_test_of: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        if not is_plain_id(self.name):
            yield f"name: expected 1 to 80 characters of A-Z a-z 0-9 _ -, got {self.name!r}"
        if not self.videos:
            yield "videos: expected a file, a glob or a list of them, got nothing"
        yield from (f"id: {problem}" for problem in naming.problems(self.id))
        if self.stills and self.image_fps is not None:
            yield "stills: expected image_fps for folders of images or stills for single ones, got both"
        yield from layers.problems(self.layers)
        for task, ids in self.packs_test_of.items():
            try:
                expand(ids)
            except ValueError as error:
                yield f"packs_test_of.{task}: {error}"

    def counts(self, split: str) -> Expected:
        """The published counts of the videos that are packed; none of those that are held out.

        Args:
            split: See `PackConfig`.
        """
        packs_all = split == "all" or (split == "train" and not self.hold_out)
        if packs_all and self.whole != Expected():
            return self.whole

        packs_training_videos = split == "train" or (split == "all" and not self.hold_out)
        return self.expected if packs_training_videos else Expected()

    def overlaps(self) -> dict[str, tuple[str, ...]]:
        """The ids of `packs_test_of`, by task."""
        return {task: expand(ids) for task, ids in self.packs_test_of.items()}


Droppable = Literal["black", "uniform", "test_card", "text", "out_of_body", "face"]
"""Frames without a picture, of one colour, with colour bars, with a slide, from outside of the body, with a face."""


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """The options of packing.

    Attributes:
        split: `train` packs what is not held out; `held_out` packs only that, to watch the training loss on it; `all`
            packs both, for a corpus that is evaluated on and never trained on as a whole.
        fps: Frames packed a second of video, 0.001 to 1000.
        short_side: Shorter side of the packed frames in pixels. A smaller source keeps its size.
        jpeg_quality: 1 to 100.
        crop_borders: Cuts the black borders around an endoscope's picture off, the same for all of a video.
        drop: Kinds of frames that are left out; a part ends there. See `shards.screening`.
        min_seconds: Least length of a video, without what is dropped, unless its dataset sets another one.
        segment_frames: Most frames in a WebDataset sample.
        decode: `nvdec` decodes on an NVIDIA GPU what the GPU can decode, which may conceal damage silently.
        shard_bytes: The bytes that a shard should have; a longer video still stays whole.
        workers: Packing processes; one a core when null.
    """

    renamed: ClassVar[Renamed] = Renamed(keys={}, values={"drop": RENAMED_KINDS})

    split: Literal["train", "held_out", "all"] = "train"
    fps: Annotated[float, Range(0.001, 1e3)] = 1.0
    short_side: Annotated[int, Range(16, 2**14)] = 256
    jpeg_quality: Annotated[int, Range(1, 100)] = 85
    crop_borders: bool = False
    drop: tuple[Droppable, ...] = ()
    min_seconds: Annotated[float, Range(0, 1e6)] = 0.0
    segment_frames: Annotated[int, Range(1, 10**4)] = 64
    decode: Literal["cpu", "nvdec"] = "cpu"
    shard_bytes: Annotated[int, Range(1, 10**15)] = 10**9
    workers: Annotated[int, Range(1, 4096)] | None = None


def stored_options(options: PackConfig) -> dict[str, Any]:
    """The options as plans, manifests and fingerprints hold them, in which kinds keep their first names."""
    first_names = {now: first for first, now in RENAMED_KINDS.items()}
    tree: dict[str, Any] = to_tree(options)
    tree["drop"] = [first_names.get(kind, kind) for kind in tree["drop"]]
    return tree


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """The corpus file: its datasets and, optionally, how to pack them.

    Attributes:
        datasets: All of them.
        subsets: Names of datasets by the name of their set; `--subset` packs one.
        pack: The options of packing.
        review: A file of decisions to keep or to drop stretches; see `shards.format.review`.
        pseudonyms: A file, outside of the packed corpus, of the names of videos in it; see `shards.corpus.pseudonyms`.
        about: What `croissant.json` says that only the makers of the corpus know.
    """

    renamed: ClassVar[Renamed] = Renamed(keys={}, values={"pack.drop": RENAMED_KINDS})

    datasets: tuple[DatasetConfig, ...]
    subsets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pack: PackConfig = PackConfig()
    review: Anywhere | None = None
    pseudonyms: Folder | None = None
    about: AboutConfig = field(default_factory=AboutConfig)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        names = [dataset.name for dataset in self.datasets]
        if not names:
            yield "datasets: expected at least one"

        repeated = {name for name in names if names.count(name) > 1}
        for name in sorted(repeated):
            yield f"datasets: expected names that differ, got {name!r} more than once"

        try:
            layers.values_of({dataset.name: dataset.layers for dataset in self.datasets})
        except ValueError as error:
            yield f"datasets: {error}"

        for subset, members in self.subsets.items():
            if not members:
                yield f"subsets.{subset}: expected names of datasets, got none"
            for name in members:
                if name not in names:
                    hint = did_you_mean(name, names)
                    yield f"subsets.{subset}: no dataset has the name {name!r}{hint}"

    def part(self, subset: str | None, names: str | None) -> "CorpusConfig":
        """Only the datasets of a subset, or only those of these names, as in `a,b`; all of them when both are None.

        Raises:
            ConfigError: There is no such subset or dataset.
        """
        if subset is not None:
            chosen = self.subsets[_one_of("--subset", subset, self.subsets)]
        elif names is not None:
            known = [dataset.name for dataset in self.datasets]
            chosen = tuple(_one_of("--datasets", name, known) for name in names.split(","))
        else:
            return self

        datasets = tuple(dataset for dataset in self.datasets if dataset.name in chosen)
        return replace(self, datasets=datasets, subsets={})


def find_corpus(name: str) -> tuple[Path, str]:
    """The corpus file that a word of the command line means, and the root of its relative paths without `--root`.

    Args:
        name: A file, or where there is none of this name one of the presets in `configs/pack`, such as `surgvista`.

    Returns:
        The file, and its folder; the current folder for a preset.

    Raises:
        ConfigError: There is neither a file nor a preset, or it is a folder of videos.
    """
    if is_folder(name):
        raise ConfigError(
            f"{name}: expected a corpus file, got a folder; "
            f"write one, `surgstream pack {name} OUT --print-corpus > corpus.yaml`, and name that"
        )
    preset = find_preset("pack", name)
    if preset:
        return preset, "."

    path = Path(name)
    if not path.exists():
        raise ConfigError(
            f"{name}: expected a corpus file, a folder of videos, an s3:// address or a preset, "
            "got a name that nothing has"
        )
    return path, str(path.parent)


def is_folder(word: str) -> bool:
    """Whether a word means a folder of videos: an `s3://` address, a tar, or one that is there and is no preset."""
    if is_in_bucket(word) or word.endswith(TAR):
        return True
    return os.path.isdir(word) and word not in presets("pack")


def _one_of(option: str, word: str, known: Collection[str]) -> str:
    if word not in known:
        listed = ", ".join(known) or "those in the file, which has none"
        hint = did_you_mean(word, known)
        raise ConfigError(f"{option}: expected one of {listed}, got {word!r}{hint}")
    return word
