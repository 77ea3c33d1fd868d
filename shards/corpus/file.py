"""The corpus file: which videos there are, of what, which of them are held out, and where their labels lie."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import did_you_mean
from surgstream.configs.places import Anywhere, Folder
from surgstream.configs.presets import find_preset, presets
from surgstream.configs.ranges import Range
from surgstream.shards.corpus import naming
from surgstream.shards.corpus.naming import BY_NAME
from surgstream.shards.format.names import is_plain_id
from surgstream.shards.storage.addresses import is_in_bucket

TOLERANCE = 0.02
"""Of expected frames and hours, a share: publications round them, and cut videos a second longer or shorter."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What others count of a dataset, of what is packed to train: neither held-out nor quarantined videos.

    Attributes:
        videos: How many, exactly.
        frames: One a second, whatever `fps` is packed.
        hours: The same in hours.
    """

    videos: Annotated[int, Range(0, 10**9)] | None = None
    frames: Annotated[int, Range(0, 10**15)] | None = None
    hours: Annotated[float, Range(0, 1e12)] | None = None

    def differences(self, videos: int, seconds: float) -> Iterator[str]:
        """In words, what is other than expected of so many videos of so many seconds in all."""
        if self.videos is not None and videos != self.videos:
            yield f"expected {self.videos} videos, got {videos}"
        for unit, expected, got in (
            ("frames at 1 a second", self.frames, seconds),
            ("hours", self.hours, seconds / 3600),
        ):
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
            number of folders, and hidden files are left out.
        id: What a video is called, by a pattern: `{stem}` is its file's name without the suffix, `{parent}` that of the
            file's folder, `{grandparent}` that of the folder's folder.
        hold_out: Ids never packed for training, or a file with one id a line. A glob, such as `video4[1-9]`, holds out
            what it matches, which may be nothing; an id must be a video's.
        image_fps: Makes each video a folder of numbered images, and `videos` the folders, whose names are the ids. So
            many numbers pass in a second: 1 where the image of each second has the next number, 25 where every
            twenty-fifth picture of a video kept its own.
        labels: For each kind of label a CSV file, with `{video}` where the id goes, or the fields of an id; see
            `shards.corpus.labels`.
        min_seconds: A video of which fewer seconds would be packed is left out, and told of; null is as `pack` has it.
        licence: Goes into every sample.
        expected: What is packed to train, and dropped, is compared with these counts; a difference is a warning.
    """

    name: str
    specialty: str
    procedure: str
    videos: Anywhere | tuple[Anywhere, ...]
    id: str = BY_NAME
    hold_out: Anywhere | tuple[str, ...] = ()
    image_fps: Annotated[float, Range(0.001, 1e3)] | None = None
    labels: dict[str, Anywhere] = field(default_factory=dict)
    min_seconds: Annotated[float, Range(0, 1e6)] | None = None
    licence: str | None = None
    expected: Expected = Expected()

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        if not is_plain_id(self.name):
            yield f"name: expected 1 to 80 characters of A-Z a-z 0-9 _ -, got {self.name!r}"
        if not self.videos:
            yield "videos: expected a file, a glob or a list of them, got nothing"
        yield from (f"id: {problem}" for problem in naming.problems(self.id))


Droppable = Literal["black", "blank", "test_card", "text", "outside", "face"]
"""Frames without a picture, of one colour, with colour bars, with a slide, from outside of the body, with a face."""


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """How videos become shards.

    Attributes:
        split: `train` packs what is not held out; `held_out` packs only that, to watch the training loss on it.
        fps: Frames packed a second of video, 0.001 to 1000.
        short_side: Shorter side of the packed frames in pixels. A smaller source keeps its size.
        jpeg_quality: 1 to 100.
        crop_borders: Cuts the black borders around an endoscope's picture off, the same for all of a video.
        drop: What is left out; a part ends there. See `shards.screening`.
        min_seconds: Least length of a video, without what is dropped, where its dataset says nothing else.
        segment_frames: Most frames in a WebDataset sample.
        decode: `nvdec` decodes on an NVIDIA GPU what that can, which may paint over damage without a word.
        shard_bytes: What a shard should come to; a longer video still stays whole.
        workers: Packing processes; one a core when null.
    """

    split: Literal["train", "held_out"] = "train"
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


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """The corpus file: its datasets and, optionally, how to pack them.

    Attributes:
        datasets: All of them.
        subsets: Names of datasets by the name of their set; `--subset` packs one.
        pack: How.
        review: A file of what a person has decided to keep and to drop; see `shards.format.review`.
        pseudonyms: A file, outside of the packed corpus, of what videos are called in it; see
            `shards.corpus.pseudonyms`.
    """

    datasets: tuple[DatasetConfig, ...]
    subsets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pack: PackConfig = PackConfig()
    review: Anywhere | None = None
    pseudonyms: Folder | None = None

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        names = [dataset.name for dataset in self.datasets]
        if not names:
            yield "datasets: expected at least one"
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"datasets: expected names that differ, got {name!r} more than once"
        for subset, members in self.subsets.items():
            if not members:
                yield f"subsets.{subset}: expected names of datasets, got none"
            for name in members:
                if name not in names:
                    yield f"subsets.{subset}: no dataset has the name {name!r}{did_you_mean(name, names)}"

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
        return replace(
            self, datasets=tuple(d for d in self.datasets if d.name in chosen), subsets={}
        )


def find_corpus(name: str) -> tuple[Path, str]:
    """The corpus file that a word of the command line means, and where its relative paths start unless `--root` says.

    Args:
        name: A file, or where there is none of this name one of the presets in `configs/pack`, such as `surgvista`.

    Returns:
        The file, and its folder; the current folder for a preset.

    Raises:
        ConfigError: There is neither a file nor a preset, or it is a folder of videos.
    """
    if is_folder(name):
        raise ConfigError(
            f"{name}: expected a corpus file, got a folder; write one, `surgstream pack {name} OUT --print-corpus > "
            "corpus.yaml`, and name that"
        )
    preset = find_preset("pack", name)
    return (preset, ".") if preset else (Path(name), str(Path(name).parent))


def is_folder(word: str) -> bool:
    """Whether a word means a folder of videos: one that is there and no preset's name, or an `s3://` address."""
    return is_in_bucket(word) or (os.path.isdir(word) and word not in presets("pack"))


def _one_of(option: str, word: str, known: Collection[str]) -> str:
    if word not in known:
        listed = ", ".join(known) or "those in the file, which has none"
        raise ConfigError(
            f"{option}: expected one of {listed}, got {word!r}{did_you_mean(word, known)}"
        )
    return word
