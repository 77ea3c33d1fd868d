"""What some videos share with others: those of a task with what was trained on, in one corpus or in two."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.leaks.comparing import compare
from surgstream.shards.leaks.findings import Compared, Doubtful, Leak, SharedInterval
from surgstream.shards.leaks.looking import Sources
from surgstream.shards.leaks.some_videos import SomeVideos


def shared_between(
    asked: SomeVideos,
    trained: SomeVideos,
    *,
    workers: int,
    sources: dict[str, Sources] | None = None,
    kept: Path | None = None,
) -> Compared | None:
    """Compare videos with others, which are not compared with each other; see `compare`.

    Args:
        asked: The videos that are asked about.
        trained: Those that they are compared with. A video of one corpus that is in both is compared with none.
        workers: Processes at a time; 1 is this one.
        sources: By address of a corpus, the files to look at instead of packed frames.
        kept: The folder in which fingerprints of packed frames are kept; None keeps none.

    Returns:
        What they share, of kind `held_out`, first the stretch of `trained` and then that of `asked`, and which videos
        of `asked` could not be compared; None where one of the two has no videos.

    Raises:
        CorruptSampleError: A frame is damaged.
        StorageError: A store fails.
        VideoError: A source cannot be decoded.
    """
    of_one_corpus = asked.uri == trained.uri
    if of_one_corpus:
        both = asked.names
        trained = SomeVideos.of(trained.uri, trained.manifest, lambda *name: name not in both)
    if not asked.manifest.shards or not trained.manifest.shards:
        return None

    if of_one_corpus:
        corpora = {asked.uri: _joined(asked.manifest, trained.manifest)}
    else:
        corpora = {asked.uri: asked.manifest, trained.uri: trained.manifest}
    compared = compare(corpora, workers=workers, sources=sources, kept=kept)

    def is_asked(stretch: SharedInterval | Doubtful) -> bool:
        return stretch.corpus == asked.uri and (stretch.dataset, stretch.video) in asked.names

    return replace(
        compared,
        findings=tuple(_across(compared, is_asked)),
        by_pictures=tuple(filter(is_asked, compared.by_pictures)),
        not_compared=tuple(filter(is_asked, compared.not_compared)),
        missed_between_seconds=_missed(compared, of_one_corpus),
    )


def _joined(one: Manifest, other: Manifest) -> Manifest:
    """The videos of both, which are of one corpus; a shard that has some of each stands there twice."""
    return replace(one, shards=(*one.shards, *other.shards))


def _across(compared: Compared, is_asked: Callable[[SharedInterval], bool]) -> Iterator[Leak]:
    """The findings between the two sides, the side that is asked about last."""
    for finding in compared.findings:
        if is_asked(finding.first) == is_asked(finding.second):
            continue
        first, second = finding.first, finding.second
        if is_asked(first):
            first, second = second, first
        yield replace(finding, kind="held_out", first=first, second=second)


def _missed(compared: Compared, of_one_corpus: bool) -> tuple[str, ...]:
    """Whether copies that start between seconds may be missed."""
    kind = "within" if of_one_corpus else "held_out"
    return ("held_out",) if kind in compared.missed_between_seconds else ()
