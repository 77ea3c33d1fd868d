"""What a corpus shares with tasks that judge encoders, as its file declares it."""

from collections.abc import Iterator

from surgstream.shards.corpus.file import CorpusConfig

_SHOWN = 5


def told_overlaps(corpus: CorpusConfig) -> Iterator[str]:
    """Yield a line for each task that judges by videos which a corpus packs for training."""
    if corpus.pack.split != "train":
        return

    for dataset in corpus.datasets:
        for task, ids in dataset.overlaps().items():
            rest = len(ids) - _SHOWN
            more = f" and {rest} more" if rest > 0 else ""
            yield (
                f"{dataset.name}: packs {len(ids)} videos that the task {task} chooses by or tests on: "
                f"{', '.join(ids[:_SHOWN])}{more}"
            )
