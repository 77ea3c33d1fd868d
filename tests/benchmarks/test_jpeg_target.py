"""The benchmark of JPEG's part in a pixel target, on a made video."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from surgstream.benchmarks.experiments import jpeg_target
from surgstream.benchmarks.experiments.jpeg_target import Row, frames_of, measure, table, target
from surgstream.configs.loading import load
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.objectives.pixels import normalise_pixels
from tests.helpers.videos import make_video


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    return load(TrainConfig, jpeg_target.RECIPE.with_name("surgvista_tiny.yaml"), [])


def test_error_falls_as_bytes_grow(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg_target, "QUALITIES", (50, 95))
    monkeypatch.setattr(jpeg_target, "WINDOWS", 3)
    colours = np.random.default_rng(0).integers(0, 256, (4, 96, 128, 3), np.uint8)
    frames = [Image.fromarray(each) for each in colours]
    coarse, coarse_colours, fine, fine_colours = measure(frames, config)
    assert (coarse.quality, coarse.chroma, fine_colours.quality, fine_colours.chroma) == (
        50,
        "4:2:0",
        95,
        "4:4:4",
    )
    assert coarse.frame_bytes < fine.frame_bytes < fine_colours.frame_bytes
    assert coarse.error > fine.error > fine_colours.error > 0 and coarse.median > fine.median
    assert coarse_colours.error < coarse.error
    assert len(table([coarse, fine]).splitlines()) == 4


def test_a_target_is_the_objective_s(config: TrainConfig, tmp_path: Path) -> None:
    """Of a window as large as the input nothing is resized: tubelets, cut out and normalised one by one."""
    frames = frames_of(make_video(tmp_path / "v.mp4", 40, size=(160, 120), grain=60), 96, config)
    assert (len(frames), frames[0].size) == (4, (128, 96)), (
        "a clip's frames, as packing scales them"
    )
    found = target(frames, np.array([8, 16, 72, 80]), config)[0]
    pixels = (
        torch.from_numpy(np.stack([np.asarray(frame)[16:80, 8:72] for frame in frames])) / 255.0
    )
    number = 0
    for slice_ in range(0, 4, 2):
        for top in range(0, 64, 8):
            for left in range(0, 64, 8):
                tubelet = pixels[slice_ : slice_ + 2, top : top + 8, left : left + 8].permute(
                    3, 0, 1, 2
                )
                expected = normalise_pixels(tubelet.reshape(1, 1, -1))[0][0, 0]
                torch.testing.assert_close(found[number], expected)
                number += 1
    assert number == len(found)


def test_a_row_is_a_line() -> None:
    row = Row(
        short_side=256, quality=85, chroma="4:2:0", frame_bytes=19944.0, error=0.0781, median=0.0163
    )
    assert table([row]).splitlines()[-1] == "| 256 | 85 | 4:2:0 | 19.9 | 0.078 | 0.016 |"
