"""The pictures of a result's page: which images, with their frames, what is true, and what models predicted."""

from collections.abc import Sequence
from pathlib import Path

from surgstream.trainer.evaluation.dense.frames import Frames
from surgstream.trainer.evaluation.dense.truth import DenseTruth
from surgstream.trainer.evaluation.metrics.statistic import nan_mean
from surgstream.trainer.evaluation.predictions.maps import PredictedMaps, read_maps
from surgstream.trainer.evaluation.report.images import Picture, Shown, choose_images, draw_images
from surgstream.trainer.evaluation.report.numbers import shown
from surgstream.trainer.evaluation.report.result import Result
from surgstream.trainer.evaluation.scorer import Model

MAX_MODELS = 4
"""The most models whose pictures are drawn side by side."""


def draw_gallery(
    result: Result,
    models: Sequence[Model],
    files: Sequence[tuple[str, Sequence[Path]]],
    truth: DenseTruth,
    frames: Frames,
) -> str:
    """Draw the worst, middle and best images of the first model, beside those of others; of several seeds the first.

    Args:
        result: The result.
        models: The models, over the same videos.
        files: For each seed of a model its name, and the files of its predictions, as they were read.
        truth: What is true.
        frames: The frames.

    Returns:
        HTML.

    Raises:
        CorruptSampleError: A frame, or what is true of it, is not what was packed.
        EvaluationError: A picture is damaged.
        StorageError: The store fails.
    """
    shown_models = models[:MAX_MODELS]
    parts = {
        model.name: [read_maps(path) for path in _first_files(files, model.name)]
        for model in shown_models
    }

    main = result.metrics[result.main]
    chosen = choose_images(
        models[0].seeds[0], result.main, higher_is_better=main["higher_is_better"]
    )
    images = []
    for why, number, row in chosen:
        video = models[0].seeds[0][number]
        second, frame = float(video.seconds[row]), int(video.truth[row])
        (true,) = truth.read(video.video, [frame])

        predicted = {}
        for model in shown_models:
            own = model.seeds[0][number]
            (at,) = (own.truth == frame).nonzero()[0].tolist()
            assert own.predicted is not None
            picture = _read(parts[model.name], int(own.predicted[at]), truth)
            value = float(nan_mean(own.images[result.main][at].reshape(-1)))
            predicted[model.name] = (picture, shown(value, main))
        images.append(
            Shown(
                why=why,
                video=video.video,
                second=second,
                frame=frames.read(video.video, frame),
                truth=true,
                predicted=predicted,
            )
        )
    return draw_images(images, truth.space)


def _first_files(files: Sequence[tuple[str, Sequence[Path]]], name: str) -> Sequence[Path]:
    return next(paths for model, paths in files if model == name)


def _read(parts: Sequence[PredictedMaps], number: int, truth: DenseTruth) -> Picture:
    """A picture of files whose pictures are numbered through."""
    for part in parts:
        if number < len(part.pngs):
            return part.read(number, truth.space)
        number -= len(part.pngs)
    raise IndexError(f"expected the number of a picture, got one {number} beyond the last")
