"""Packed corpora of films of drifting light, made without a video file, and a task over them."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from surgstream.configs.loading import build
from surgstream.shards.format.manifest import ManifestFile
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.evaluation.tasks.config import TaskConfig
from surgstream.trainer.lineage.ancestry import Corpus, corpus_of
from tests.helpers.films import drifting
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus

SECONDS = 60

Alter = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]

TASK: dict[str, Any] = {
    "name": "made_up",
    "version": 1,
    "title": "Made up",
    "dataset": "hip",
    "kind": "class",
    "labels": {"files": "{video}.csv", "column": "phase"},
    "classes": ["cut", "sew"],
    "split": {"train": ["a1"], "val": ["v1", "v2"], "test": ["t1", "t2", "t3"], "source": "ours"},
    "metrics": ["image_accuracy"],
    "main": "image_accuracy",
    "aliases": {"knee": "case{n} = t{n}"},
}


def task(**changes: Any) -> TaskConfig:
    return build(TaskConfig, TASK | changes, where="test")


def cropped(film: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return film[:, 3:-4, 5:-5]


def write(
    folder: Path,
    films: Mapping[str, Mapping[str, int]],
    *,
    seconds: int = SECONDS,
    alter: Alter = lambda film: film,
    quality: int = 90,
    parts: Mapping[str, tuple[int, int]] | None = None,
) -> str:
    """Pack films.

    Args:
        folder: Where to.
        films: The seed of each video, by dataset and id.
        seconds: The length of each, at a frame a second.
        alter: What is done to each film.
        quality: That of the JPEGs.
        parts: First frame and number of frames of videos that are packed in part.

    Returns:
        The address of the corpus.
    """
    folder.mkdir(parents=True)
    made = {
        (dataset, video): alter(drifting(seed, seconds))
        for dataset, videos in films.items()
        for video, seed in videos.items()
    }

    def picture(dataset: str, video: str, frame: int) -> bytes:
        image = Image.fromarray(made[dataset, video][frame]).resize((WIDTH, HEIGHT))
        content = io.BytesIO()
        image.convert("RGB").save(content, "JPEG", quality=quality)
        return content.getvalue()

    spans = parts or {}
    layout = {
        dataset: [{video: [spans.get(video, (0, seconds))]} for video in videos]
        for dataset, videos in films.items()
    }
    write_corpus(folder, layout, fps=1.0, picture=picture)
    return str(folder)


def ancestor(
    address: str, videos: Mapping[str, Sequence[str]], *, pseudonyms: bool = False
) -> Corpus:
    """The corpus at an address as what weights descend from."""
    sha256 = ManifestFile.load(open_storage(address)).sha256
    return corpus_of(sha256, videos, address=address, fps=None, pseudonyms=pseudonyms)
