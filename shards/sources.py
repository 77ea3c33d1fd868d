"""The videos that a corpus file means: found, told apart by their ids, and split into train and held out."""

import glob
import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from configs.errors import ConfigError
from shards.corpus import CorpusConfig, DatasetConfig
from shards.errors import StorageError
from shards.labels import check_patterns
from shards.review import Decision, load_review
from shards.schema import encode_id
from shards.storage import Stores
from shards.storage_base import without_secrets

logger = logging.getLogger(__name__)


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


def find_sources(corpus: CorpusConfig, root: Path | str, stores: Stores) -> list[Source]:
    """List the videos of the split that `corpus.pack` asks for. A file named without a glob need not exist.

    A dataset has a file once, however many globs and symbolic links lead to it.

    Args:
        corpus: The corpus file.
        root: Where its relative paths start: a folder or `s3://BUCKET/PREFIX`.
        stores: Where to look for `s3://` globs.

    Returns:
        The videos of all datasets, those of a dataset side by side and in order.

    Raises:
        ConfigError: A dataset's videos or a label are not there, two videos share an id, a held-out id is no video's, a
            dataset trains on what another one holds out, or nothing is left.
        StorageError: A bucket cannot be listed.
    """
    splits: dict[str, list[Source]] = {"train": [], "held_out": []}
    review = {} if corpus.review is None else load_review(Path(corpus.review))
    for dataset in corpus.datasets:
        of_dataset = {video: review.pop((name, video)) for name, video in [*review] if name == dataset.name}
        for split, source in _dataset_sources(dataset, str(root), stores, of_dataset):
            splits[split].append(source)
    _check_no_leak(**splits)
    for name in sorted({name for name, _ in review}):
        logger.warning("review: %s: is not packed; what is decided about it is not needed", name)
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


def _dataset_sources(
    dataset: DatasetConfig, root: str, stores: Stores, review: dict[str, tuple[Decision, ...]]
) -> Iterator[tuple[str, Source]]:
    """Each video of a dataset, with its split and what is decided about it."""
    where = f"datasets: {dataset.name}"
    by_stem: dict[str, str] = {}
    seen: set[str] = set()
    for pattern in (dataset.videos,) if isinstance(dataset.videos, str) else dataset.videos:
        found = _expand(pattern, root, stores, folders=dataset.image_fps is not None)
        if not found:
            what = "file" if dataset.image_fps is None else "folder"
            raise ConfigError(
                f"{where}: videos: {pattern!r} matches no {what} below {root or '.'}; correct it or --root, or leave "
                "the dataset out by --datasets or --subset"
            )
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
    held_out = _held_out(dataset, by_stem, root, stores, where=where)
    patterns = {kind: _absolute(path, root) for kind, path in dataset.labels.items()}
    check_patterns(patterns, by_stem, stores, where=where)
    for stem, location in by_stem.items():
        labels = {kind: pattern.replace("{video}", stem) for kind, pattern in patterns.items()}
        source = Source(
            dataset=dataset.name,
            id=encode_id(stem),
            location=location,
            image_fps=dataset.image_fps,
            labels=labels,
            review=review.pop(encode_id(stem), ()),
        )
        yield ("held_out" if stem in held_out else "train"), source
    if review:
        raise ConfigError(f"{where}: review: no video has the id {min(review)!r} (of {len(review)} such)")


def _held_out(dataset: DatasetConfig, ids: Collection[str], root: str, stores: Stores, *, where: str) -> set[str]:
    """Those ids that the dataset holds out."""
    listed = dataset.hold_out
    if isinstance(listed, str):
        storage, name = stores.locate(_absolute(listed, root))
        try:
            listed = tuple(filter(None, map(str.strip, storage.read(name).decode().splitlines())))
        except (StorageError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: hold_out: expected a file of ids: {error}") from None
    globs = {entry for entry in listed if entry not in ids and glob.has_magic(entry)}
    unknown = sorted(set(listed) - globs - set(ids))
    if unknown:
        raise ConfigError(f"{where}: hold_out: no video has the id {unknown[0]!r} (of {len(unknown)} such)")
    matches = {entry: {id for id in ids if fnmatchcase(id, entry)} for entry in globs}
    idle = sorted(entry for entry, found in matches.items() if not found)
    if idle:
        logger.warning("%s: hold_out: no video matches %s", where, ", ".join(idle))
    return (set(listed) - globs).union(*matches.values())


def _expand(pattern: str, root: str, stores: Stores, *, folders: bool) -> list[str]:
    """The files, or folders, that a path or glob stands for, sorted."""
    location = _absolute(pattern, root)
    if not glob.has_magic(pattern) or os.path.exists(location):
        return [location.rstrip("/")]
    if "://" not in location:
        found = (_absolute(path, root) for path in glob.glob(pattern, root_dir=root, recursive=True))
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


def _absolute(path: str, root: str) -> str:
    location = path if "://" in path else os.path.join(root, path)
    if "://" not in location:
        return os.path.abspath(location)
    if not location.startswith("s3://"):
        raise ConfigError(f"expected a path or s3://BUCKET/KEY, got {without_secrets(location)!r}")
    return location
