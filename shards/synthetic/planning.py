"""The plan of a synthetic corpus: its videos, and how long each of them is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.shards.synthetic.config import FPS, LONGEST, SHORTEST, SynthConfig
from surgstream.shards.synthetic.exercises import EXERCISES
from surgstream.shards.synthetic.procedures import DATASETS, Dataset
from surgstream.shards.synthetic.takes import Take, take_of
from surgstream.shards.synthetic.texture import between, key


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One video to make; `number` counts those of its dataset from 0."""

    dataset: Dataset
    video: str
    number: int
    seed: int
    num_frames: int
    frame_numbers: bool

    @property
    def take(self) -> Take:
        """What it shows."""
        return take_of(self.dataset, self.number, self.seed)


def plan(config: SynthConfig) -> list[VideoJob]:
    """Plan the videos to make, of unequal lengths around a mean: operations, then what is only judged by.

    Raises:
        ConfigError: There is no dataset of one of the names.
    """
    jobs = _plan(config, DATASETS, config.seconds)
    for dataset in EXERCISES:
        jobs += _plan(config, (dataset,), dataset.length * config.seconds)
    return _of_datasets(jobs, config.datasets)


def _of_datasets(jobs: list[VideoJob], names: Sequence[str]) -> list[VideoJob]:
    """The videos of some datasets; those of all where none is named."""
    known = [dataset.name for dataset in (*DATASETS, *EXERCISES)]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(
                f"--datasets: expected some of {', '.join(known)}, got {name!r}{hint}"
            )
    return [job for job in jobs if not names or job.dataset.name in names]


def _plan(config: SynthConfig, datasets: tuple[Dataset, ...], seconds: float) -> list[VideoJob]:
    """Plan the videos of some datasets, which have a mean length of `seconds` together."""
    videos = []
    for dataset in datasets:
        for i in range(config.times * dataset.num_videos):
            videos.append((dataset, i, f"{dataset.name}_{i + 1:02d}"))

    # Scaled to a mean of 1, so that `seconds` is the mean length.
    lengths = [
        between(key(config.seed, video, "length"), SHORTEST, LONGEST) for _, _, video in videos
    ]
    shares = np.array(lengths) / np.mean(lengths)
    frames = [max(1, round(FPS * seconds * share)) for share in shares]

    return [
        VideoJob(
            dataset=dataset,
            video=video,
            number=number,
            seed=config.seed,
            num_frames=num_frames,
            frame_numbers=config.frame_numbers,
        )
        for (dataset, number, video), num_frames in zip(videos, frames, strict=True)
    ]
