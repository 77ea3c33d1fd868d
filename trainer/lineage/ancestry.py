"""The ancestry of weights: each corpus that was shown to them, to what they began with, and to their teachers."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, to_tree
from surgstream.configs.ranges import Range

MOST_LETTERS = 1 << 24
"""The letters of the ids that a corpus may have in an ancestry: a state is read whole, and at most 64 MB of it."""

_HASH_LETTERS = 16
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class ShownVideos:
    """Videos of a dataset that were trained on.

    Attributes:
        dataset: The name of the dataset.
        videos: Their ids, with a space between; hashed ones by `hashed_id`.
    """

    dataset: str
    videos: str


@dataclass(frozen=True, kw_only=True)
class DatasetLicence:
    """The licence of a dataset that was trained on.

    Attributes:
        dataset: The name of the dataset.
        licence: Its licence, as its samples have it; null where they have none.
    """

    dataset: str
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A packed corpus that was trained on, or the part of it that was.

    Attributes:
        manifest: SHA-256 of its manifest, in hexadecimal.
        address: Where it lay; null where that is not told.
        fps: Frames a second that clips were cut at; null took every packed frame.
        names: Whether the ids of its videos are `kept`, `hashed`, or `absent`.
        pseudonyms: Whether its ids are pseudonyms, which say nothing to who has other ones.
        shown: What was trained on; without names nothing.
        licences: Of each dataset that was trained on; none in what versions before have kept.
    """

    manifest: str
    address: str | None = None
    fps: Annotated[float, Range(1e-3, 1e4)] | None = None
    names: Literal["kept", "hashed", "absent"] = "kept"
    pseudonyms: bool = False
    shown: tuple[ShownVideos, ...] = ()
    licences: tuple[DatasetLicence, ...] = ()

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the values."""
        if not _SHA256.fullmatch(self.manifest):
            yield f"manifest: expected a SHA-256 in hexadecimal, got {self.manifest[:80]!r}"

    def holds(self) -> Callable[[str, str], bool] | None:
        """A function that says of a dataset and an id whether that video was trained on; None without names."""
        if self.names == "absent":
            return None

        ids = {each.dataset: frozenset(each.videos.split()) for each in self.shown}
        nothing: frozenset[str] = frozenset()
        if self.names == "hashed":
            return lambda dataset, id: hashed_id(dataset, id) in ids.get(dataset, nothing)
        return lambda dataset, id: id in ids.get(dataset, nothing)


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """Weights that do not tell what they descend from.

    Attributes:
        name: What they were called.
        sha256: SHA-256 of their file, in hexadecimal; null where there is none, or it was not read.
        known_as: The family that whoever used them said they are of; null where nothing was said.
        why: What else is known of why they do not tell it; may be empty.
    """

    name: str
    sha256: str | None = None
    known_as: str | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Ancestry:
    """All that weights descend from; random weights that were never trained descend from nothing.

    Attributes:
        corpora: What was trained on.
        foreign: What does not tell what it was trained on.
    """

    corpora: tuple[Corpus, ...] = ()
    foreign: tuple[Foreign, ...] = ()


NOTHING = Ancestry()


def hashed_id(dataset: str, id: str) -> str:
    """The beginning of the SHA-256 of `DATASET/ID`, which tells a name only to who can guess it."""
    name = f"{dataset}/{id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(name).hexdigest()[:_HASH_LETTERS]


def corpus_of(
    manifest: str,
    videos: Mapping[str, Collection[str]],
    *,
    address: str,
    fps: float | None,
    pseudonyms: bool,
    licences: Mapping[str, str | None] | None = None,
) -> Corpus:
    """A corpus with the ids of its videos, or without, where they are too many.

    Args:
        manifest: SHA-256 of its manifest, in hexadecimal.
        videos: The ids that are trained on, by dataset.
        address: Where it lies.
        fps: Frames a second that clips are cut at.
        pseudonyms: Whether the ids are pseudonyms.
        licences: The licences of datasets, by their names; None where nothing is known of them.
    """
    shown = tuple(
        ShownVideos(dataset=dataset, videos=" ".join(sorted(ids)))
        for dataset, ids in sorted(videos.items())
    )
    has_room = sum(len(each.videos) for each in shown) <= MOST_LETTERS
    return Corpus(
        manifest=manifest,
        address=address,
        fps=fps,
        names="kept" if has_room else "absent",
        pseudonyms=pseudonyms,
        shown=shown if has_room else (),
        licences=tuple(
            DatasetLicence(dataset=dataset, licence=licence)
            for dataset, licence in sorted((licences or {}).items())
        ),
    )


def merged(ancestries: Iterable[Ancestry]) -> Ancestry:
    """All that several ancestries hold, each once, in the order in which it first comes."""
    corpora: dict[Corpus, None] = {}
    foreign: dict[Foreign, None] = {}
    for each in ancestries:
        corpora |= dict.fromkeys(each.corpora)
        foreign |= dict.fromkeys(each.foreign)
    return Ancestry(corpora=tuple(corpora), foreign=tuple(foreign))


def for_others(ancestry: Ancestry) -> Ancestry:
    """The same without addresses, and with hashed names: the names of files may be those of patients."""
    return Ancestry(
        corpora=tuple(map(_withheld, ancestry.corpora)),
        foreign=tuple(replace(each, name=_last_part(each.name)) for each in ancestry.foreign),
    )


def to_json(ancestry: Ancestry) -> dict[str, Any]:
    """An ancestry as JSON has it."""
    tree: dict[str, Any] = to_tree(ancestry)
    return tree


def from_json(tree: Any, where: str) -> Ancestry:
    """Read what `to_json` gave; it is trusted in nothing.

    Args:
        tree: What JSON had.
        where: The file and the key, for messages.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: expected what weights descend from, got something else")
    return build(Ancestry, tree, where=where)


def _withheld(corpus: Corpus) -> Corpus:
    if corpus.names != "kept":
        return replace(corpus, address=None)

    shown = []
    for each in corpus.shown:
        hashes = sorted(hashed_id(each.dataset, id) for id in each.videos.split())
        shown.append(replace(each, videos=" ".join(hashes)))
    return replace(corpus, address=None, names="hashed", shown=tuple(shown))


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]
