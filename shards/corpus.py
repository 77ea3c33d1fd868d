"""The corpus file: which videos there are, of what, which of them are held out, and where their labels lie."""

import glob
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from configs.errors import ConfigError
from shards.labels import check_patterns
from shards.review import Decision, Review, load_review
from shards.schema import encode_id, is_plain_id
from shards.storage import Stores
from shards.storage_base import without_secrets


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """One dataset of the corpus file. Relative paths start at the folder of that file.

    Attributes:
        name: Its name in the corpus, of `A-Z a-z 0-9 _ -`.
        specialty: Such as `laparoscopic_cholecystectomy`.
        procedure: Such as `cholecystectomy`.
        videos: A file, a glob or an `s3://` address (which may be a glob too), or a list of them. A video's id is its
            file's name without the suffix.
        hold_out: Ids never packed for training, or a file with one id a line.
        image_fps: Makes each video a folder of numbered images, and `videos` the folders, whose names are the ids. So
            many numbers pass in a second: 1 where the image of each second has the next number, 25 where every
            twenty-fifth picture of a video kept its own.
        labels: For each kind of label a CSV file, with `{video}` where the id goes; see `shards.labels`.
        licence: Goes into every sample.
    """

    name: str
    specialty: str
    procedure: str
    videos: str | tuple[str, ...]
    hold_out: str | tuple[str, ...] = ()
    image_fps: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    licence: str | None = None

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        if not is_plain_id(self.name):
            yield f"name: expected 1 to 80 characters of A-Z a-z 0-9 _ -, got {self.name!r}"
        if self.image_fps is not None and not 0.001 <= self.image_fps <= 1000:
            yield f"image_fps: expected 0.001 to 1000, got {self.image_fps}"
        if not self.videos:
            yield "videos: expected a file, a glob or a list of them, got nothing"


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
        segment_frames: Most frames in a WebDataset sample.
        crop_borders: Cuts the black borders around an endoscope's picture off, the same for all of a video.
        drop: What is left out; a part ends there. See `shards.views`.
        shard_bytes: What a shard should come to; a longer video still stays whole.
        workers: Packing processes; one a core when null.
    """

    split: Literal["train", "held_out"] = "train"
    fps: float = 1.0
    short_side: int = 256
    jpeg_quality: int = 85
    crop_borders: bool = False
    drop: tuple[Droppable, ...] = ()
    segment_frames: int = 64
    shard_bytes: int = 10**9
    workers: int | None = None

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        limits = (
            ("fps", 0.001, 1000),
            ("short_side", 16, 2**14),
            ("jpeg_quality", 1, 100),
            ("segment_frames", 1, 10**4),
        )
        for name, low, high in limits:
            if not low <= getattr(self, name) <= high:
                yield f"{name}: expected {low} to {high}, got {getattr(self, name)}"
        if self.shard_bytes < 1:
            yield f"shard_bytes: expected at least 1, got {self.shard_bytes}"
        if self.workers is not None and self.workers < 1:
            yield f"workers: expected at least 1, got {self.workers}"


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """The corpus file.

    Attributes:
        datasets: What there is.
        pack: How it is packed.
        review: A file of what a person has decided to keep and to drop; see `shards.review`.
    """

    datasets: tuple[DatasetConfig, ...]
    pack: PackConfig = PackConfig()
    review: str | None = None

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        names = [dataset.name for dataset in self.datasets]
        if not names:
            yield "datasets: expected at least one"
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"datasets: expected names that differ, got {name!r} more than once"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A video to pack: where it and its labels lie, as absolute paths or `s3://` addresses.

    For `image_fps` see `DatasetConfig`.
    """

    dataset: str
    id: str
    location: str
    image_fps: float | None
    labels: dict[str, str]
    review: tuple[Decision, ...]

    @property
    def name(self) -> str:
        """The name of the file."""
        return PurePosixPath(self.location).name


def find_sources(corpus: CorpusConfig, folder: Path, stores: Stores) -> list[Source]:
    """List the videos of the split that `corpus.pack` asks for. A file named without a glob need not exist.

    A dataset has a file once, however many globs and symbolic links lead to it.

    Args:
        corpus: The corpus file.
        folder: Where its relative paths start.
        stores: Where to look for `s3://` globs.

    Returns:
        The videos of all datasets, those of a dataset side by side and in order.

    Raises:
        ConfigError: A glob or a label matches nothing, two videos share an id, a held-out id is no video's, a dataset
            trains on what another one holds out, or nothing is left.
        StorageError: A bucket cannot be listed.
    """
    splits: dict[str, list[Source]] = {"train": [], "held_out": []}
    review = {} if corpus.review is None else load_review(folder / corpus.review)
    for dataset in corpus.datasets:
        for split, source in _dataset_sources(dataset, folder, stores, review):
            splits[split].append(source)
    _check_no_leak(**splits)
    _check_review(review, itertools.chain(*splits.values()))
    if not splits[corpus.pack.split]:
        which = "all videos are held out" if corpus.pack.split == "train" else "no video is held out"
        raise ConfigError(f"datasets: nothing to pack: {which}")
    return splits[corpus.pack.split]


def _check_no_leak(train: list[Source], held_out: list[Source]) -> None:
    holders = {_resolved(source.location): source.dataset for source in held_out}
    for source in train:
        holder = holders.get(_resolved(source.location))
        if holder is not None:
            raise ConfigError(
                f"datasets: {source.dataset}: expected no video that {holder} holds out, got {source.location}; "
                f"hold it out in {source.dataset} as well"
            )


def _check_review(review: Review, sources: Iterable[Source]) -> None:
    unknown = sorted(set(review) - {(source.dataset, source.id) for source in sources})
    if unknown:
        raise ConfigError(f"review: no video is {'/'.join(unknown[0])} (of {len(unknown)} such)")


def _dataset_sources(
    dataset: DatasetConfig, folder: Path, stores: Stores, review: Review
) -> Iterator[tuple[str, Source]]:
    """Each video of a dataset, with its split."""
    where = f"datasets: {dataset.name}"
    by_stem: dict[str, str] = {}
    seen: set[str] = set()
    for pattern in (dataset.videos,) if isinstance(dataset.videos, str) else dataset.videos:
        found = _expand(pattern, folder, stores, folders=dataset.image_fps is not None)
        if not found:
            what = "file" if dataset.image_fps is None else "folder"
            raise ConfigError(f"{where}: videos: {pattern!r} matches no {what}")
        for location in found:
            if _resolved(location) in seen:
                continue
            seen.add(_resolved(location))
            stem = PurePosixPath(location).stem if dataset.image_fps is None else PurePosixPath(location).name
            if stem in by_stem:
                raise ConfigError(
                    f"{where}: expected one video of id {stem!r}, got {by_stem[stem]} and {location}; rename one"
                )
            by_stem[stem] = location
    held_out = _held_out(dataset, folder)
    unknown = sorted(held_out - set(by_stem))
    if unknown:
        raise ConfigError(f"{where}: hold_out: no video has the id {unknown[0]!r} (of {len(unknown)} such)")
    patterns = {kind: _absolute(path, folder) for kind, path in dataset.labels.items()}
    check_patterns(patterns, by_stem, stores, where=where)
    for stem, location in by_stem.items():
        labels = {kind: pattern.replace("{video}", stem) for kind, pattern in patterns.items()}
        source = Source(
            dataset=dataset.name,
            id=encode_id(stem),
            location=location,
            image_fps=dataset.image_fps,
            labels=labels,
            review=review.get((dataset.name, encode_id(stem)), ()),
        )
        yield ("held_out" if stem in held_out else "train"), source


def _held_out(dataset: DatasetConfig, folder: Path) -> set[str]:
    if not isinstance(dataset.hold_out, str):
        return set(dataset.hold_out)
    path = folder / dataset.hold_out
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"datasets: {dataset.name}: hold_out: expected a file of ids: {error}") from None
    return {line.strip() for line in lines if line.strip()}


def _expand(pattern: str, folder: Path, stores: Stores, *, folders: bool) -> list[str]:
    """The files, or folders, that a path or glob stands for, sorted."""
    location = _absolute(pattern, folder)
    if not glob.has_magic(pattern) or os.path.exists(location):
        return [location.rstrip("/")]
    if "://" not in location:
        found = (_absolute(path, folder) for path in glob.glob(pattern, root_dir=folder, recursive=True))
        # A folder that *.mp4 finds is a mistake to be told of; those that * finds are not.
        telling = not folders and PurePosixPath(pattern).suffix != ""
        return sorted(path for path in found if telling or os.path.isdir(path) == folders)
    steps = location.rstrip("/").split("/")
    first = next(number for number, step in enumerate(steps) if glob.has_magic(step))
    prefix, rest = "/".join(steps[:first]), steps[first:]
    names = {PurePosixPath(name) for name in stores[prefix].sizes()}
    if folders:
        names = {name.parent for name in names}
    return sorted(f"{prefix}/{name}" for name in names if len(name.parts) == len(rest) and name.match("/".join(rest)))


def _resolved(location: str) -> str:
    """Where a file really lies: two names of one file are one video."""
    return location if "://" in location else os.path.realpath(location)


def _absolute(path: str, folder: Path) -> str:
    if "://" not in path:
        return os.path.abspath(folder / path)
    if not path.startswith("s3://"):
        raise ConfigError(f"expected a path or s3://BUCKET/KEY, got {without_secrets(path)!r}")
    return path
