"""The videos of a corpus file: found, told apart by their ids, and split into train and held out."""

import glob
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.file import CorpusConfig, DatasetConfig
from surgstream.shards.corpus.labels import check_labels
from surgstream.shards.corpus.layers import LayerSource
from surgstream.shards.corpus.locations import expand, located, resolved
from surgstream.shards.corpus.naming import BY_NAME, by_id, fill, label_files
from surgstream.shards.corpus.pseudonyms import find_pseudonyms
from surgstream.shards.errors import UnusableFileError
from surgstream.shards.format.names import encode_id
from surgstream.shards.format.review import Decision, Review, load_review
from surgstream.shards.storage.stores import Stores

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A video to pack, with absolute paths or `s3://` addresses of it, of its labels and of its layers.

    `image_fps`, `images`, `still` and `id_pattern` are `image_fps`, `images`, `stills` and `id` of `DatasetConfig`.
    `id` is a pseudonym where the name of the file is `hidden`. A layer need not be where it is looked for.
    """

    dataset: str
    id: str
    location: str
    image_fps: float | None
    labels: dict[str, str]
    review: tuple[Decision, ...] = ()
    hidden: bool = False
    id_pattern: str = BY_NAME
    images: str = "*"
    still: bool = False
    layers: dict[str, LayerSource] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the file in the corpus: its own, or its pseudonym."""
        return self.id if self.hidden else PurePosixPath(self.location).name

    @property
    def own_id(self) -> str:
        """The id by the corpus file, before it is encoded or hidden."""
        return fill(self.id_pattern, self.location, is_folder=self.image_fps is not None)


Placed = tuple[str, Source]
"""A split, `train` or `held_out`, and a video of it."""


def find_sources(
    corpus: CorpusConfig, root: Path | str, stores: Stores, *, extend: bool = True
) -> list[Source]:
    """List the videos of the split that `corpus.pack` asks for. A file named without a glob need not exist.

    A dataset has a file once, however many globs and symbolic links lead to it.

    Args:
        corpus: The corpus file.
        root: The start of its relative paths: a folder or `s3://BUCKET/PREFIX`.
        stores: The stores to search for `s3://` globs.
        extend: Whether videos without a pseudonym are given one, where the corpus file asks for pseudonyms.

    Returns:
        The videos of all datasets. Those of a dataset follow each other in the order of their names, or of their
        pseudonyms, since the order of names could give them away.

    Raises:
        ConfigError: A dataset's videos or labels are missing, two videos share an id, a held-out id is no video's, a
            dataset trains on a video that another one holds out and not all are packed, or nothing is left.
        StorageError: A bucket or a folder cannot be listed, or a store fails.
    """
    found: list[Placed] = []
    for dataset in corpus.datasets:
        found += _dataset_sources(dataset, str(root), stores)
    if corpus.pseudonyms is not None:
        found = _hidden(found, Path(corpus.pseudonyms), extend=extend)
    # After the pseudonyms, since a review names videos as the corpus does.
    if corpus.review is not None:
        found = _reviewed(found, load_review(corpus.review, stores))

    if corpus.pack.split == "all":
        return [source for _, source in found]

    train = [source for split, source in found if split == "train"]
    held_out = [source for split, source in found if split == "held_out"]
    _check_no_leak(train, held_out)

    if corpus.pack.split == "train":
        if not train:
            raise ConfigError("datasets: nothing to pack: all videos are held out")
        return train
    if not held_out:
        raise ConfigError("datasets: nothing to pack: no video is held out")
    return held_out


def _hidden(found: Sequence[Placed], path: Path, *, extend: bool) -> list[Placed]:
    """Give videos their pseudonyms, and sort those of a dataset by them."""
    videos = [(source.dataset, source.own_id) for _, source in found]
    names = find_pseudonyms(path, videos, extend=extend)

    hidden: list[Placed] = []
    place: dict[str, int] = {}
    for split, source in found:
        pseudonym = names[source.dataset, source.own_id]
        hidden.append((split, replace(source, id=pseudonym, hidden=True)))
        # Datasets stay in their order.
        place.setdefault(source.dataset, len(place))
    return sorted(hidden, key=lambda each: (place[each[1].dataset], each[1].id))


def _reviewed(found: Sequence[Placed], review: Review) -> list[Placed]:
    """Give each video the decisions about it."""
    ids = {(source.dataset, source.id) for _, source in found}
    datasets = {dataset for dataset, _ in ids}
    unknown = sorted(key for key in review if key[0] in datasets and key not in ids)
    if unknown:
        dataset, video = unknown[0]
        number = sum(key[0] == dataset for key in unknown)
        raise ConfigError(
            f"datasets: {dataset}: review: no video has the id {video!r} (of {number} such)"
        )

    for name in sorted({name for name, _ in review} - datasets):
        log.warning("review: %s: is not packed; what is decided about it is not needed", name)

    reviewed = []
    for split, source in found:
        decisions = review.get((source.dataset, source.id), ())
        reviewed.append((split, replace(source, review=decisions)))
    return reviewed


def _check_no_leak(train: list[Source], held_out: list[Source]) -> None:
    holders = {resolved(source.location): source.dataset for source in held_out}
    for source in train:
        location = resolved(source.location)
        holder = holders.get(location)
        if holder is not None:
            raise ConfigError(
                f"datasets: {source.dataset}: expected no video that {holder} holds out, "
                f"got {source.location}; hold it out in {source.dataset} as well"
            )


def _dataset_sources(dataset: DatasetConfig, root: str, stores: Stores) -> Iterator[Placed]:
    """Each video of a dataset, with its split."""
    where = f"datasets: {dataset.name}"
    folders = dataset.image_fps is not None
    locations = _locations(dataset, root, stores, where=where)
    by_own_id = by_id(dataset.id, locations, folders=folders, where=where)
    held_out = _held_out(dataset, by_own_id, root, stores, where=where)

    # Label files are found by a video's own id; in the corpus it is encoded.
    patterns = {kind: located(path, root) for kind, path in dataset.labels.items()}
    labels = {}
    for own_id, location in by_own_id.items():
        labels[own_id] = label_files(patterns, location, own_id, is_folder=folders)
    check_labels(patterns, labels.values(), stores, where=where)
    layers = {
        own_id: _layers(dataset, location, own_id, root) for own_id, location in by_own_id.items()
    }

    for own_id, location in by_own_id.items():
        source = Source(
            dataset=dataset.name,
            id=encode_id(own_id),
            location=location,
            image_fps=dataset.image_fps,
            labels=labels[own_id],
            id_pattern=dataset.id,
            images=dataset.images,
            still=dataset.stills,
            layers=layers[own_id],
        )
        yield ("held_out" if own_id in held_out else "train"), source


def _layers(
    dataset: DatasetConfig, location: str, own_id: str, root: str
) -> dict[str, LayerSource]:
    """The layers of a video."""
    folders = dataset.image_fps is not None
    found = {}
    for name, layer in dataset.layers.items():
        locations = [
            fill(located(path, root), location, is_folder=folders, video=own_id)
            for path in layer.paths
        ]
        found[name] = LayerSource(locations=tuple(locations), config=layer)
    return found


def _locations(dataset: DatasetConfig, root: str, stores: Stores, *, where: str) -> Iterator[str]:
    """The locations of the videos of a dataset, each once."""
    folders = dataset.image_fps is not None
    patterns = (dataset.videos,) if isinstance(dataset.videos, str) else dataset.videos
    seen: set[str] = set()
    for pattern in patterns:
        found = expand(pattern, root, stores, folders=folders)
        if not found:
            what = "folder" if folders else "file"
            raise ConfigError(
                f"{where}: videos: {pattern!r} matches no {what} below {root or '.'}; "
                "correct it or --root, or leave the dataset out by --datasets or --subset"
            )

        for location in found:
            behind_links = resolved(location)
            if behind_links not in seen:
                seen.add(behind_links)
                yield location


def _held_out(
    dataset: DatasetConfig, ids: Collection[str], root: str, stores: Stores, *, where: str
) -> set[str]:
    """The ids that the dataset holds out."""
    listed = dataset.hold_out
    if isinstance(listed, str):
        storage, name = stores.locate(located(listed, root))
        try:
            if storage.size(name) is None:
                missing = f"{storage.uri}: {name} is missing"
                raise ConfigError(f"{where}: hold_out: expected a file of ids: {missing}")
            text = storage.read(name).decode("utf-8-sig")
            listed = tuple(filter(None, map(str.strip, text.splitlines())))
        except (UnusableFileError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: hold_out: expected a file of ids: {error}") from None

    # An id may look like a glob, such as `case[1]`; if a video has it, it means only that video.
    globs = {entry for entry in listed if entry not in ids and glob.has_magic(entry)}
    unknown = sorted(set(listed) - globs - set(ids))
    if unknown:
        raise ConfigError(
            f"{where}: hold_out: no video has the id {unknown[0]!r} (of {len(unknown)} such)"
        )

    held_out = set(listed) - globs
    idle = []
    for entry in sorted(globs):
        matches = {id for id in ids if fnmatchcase(id, entry)}
        held_out |= matches
        if not matches:
            idle.append(entry)
    if idle:
        log.warning("%s: hold_out: no video matches %s", where, ", ".join(idle))
    return held_out
