"""Features of a video file are those of the packed video."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import surgstream
from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.errors import ModelError
from surgstream.trainer.features.config import FeaturesRecipe
from surgstream.trainer.features.extraction import extract_features
from surgstream.trainer.features.opening import open_extraction
from tests.helpers.commands import pack
from tests.helpers.labelled import GreyEncoder
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "videos" / "operation.mp4", 110, grain=40)


@pytest.mark.usefixtures("alone")
def test_they_are_those_of_the_packed_video(video: Path, tmp_path: Path) -> None:
    encoder = GreyEncoder(num_frames=3)
    found = surgstream.features(encoder, str(video), seconds_apart=0.5, short_side=32)

    dataset = {"name": "d", "videos": "videos/*.mp4"}
    corpus = write_corpus(tmp_path, dataset)
    shards = str(tmp_path / "shards")
    assert pack([corpus, shards, "fps=2", "short_side=32", "drop=[]", "min_seconds=0"]) == 0
    recipe = build(
        FeaturesRecipe,
        {
            "out": str(tmp_path / "features"),
            "weights": "grey",
            "data": {"corpus": shards, "stride": 1},
        },
        where="test",
    )
    extraction = open_extraction(recipe, encoder, RankInfo())
    assert extract_features(extraction, RankInfo())
    frames = np.arange(0, 2 * len(found.seconds), 2)
    expected = extraction.store.read("d", "operation", frames)

    assert found.seconds.tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(found.vectors, expected)


def test_a_batch_decides_nothing(video: Path) -> None:
    encoder = GreyEncoder(num_frames=3)
    one, two = (
        surgstream.features(encoder, str(video), seconds_apart=0.2, batch_size=size)
        for size in (1, 3)
    )
    assert np.array_equal(one.vectors, two.vectors) and len(one.vectors) == 5


@pytest.mark.parametrize("number", ["every_seconds", "seconds_apart", "short_side", "batch_size"])
def test_numbers_out_of_range_are_refused(video: Path, number: str) -> None:
    numbers: dict[str, Any] = {"seconds_apart": 0.2, number: 0}
    with pytest.raises(ConfigError, match=rf"{number}: expected .* got 0"):
        surgstream.features(GreyEncoder(), str(video), **numbers)


def test_paths_are_taken_as_python_has_them(video: Path) -> None:
    assert len(surgstream.features(GreyEncoder(), video, seconds_apart=0.2).seconds) == 5
    with pytest.raises(ModelError, match="got /no/weights, which does not exist"):
        surgstream.load_encoder(Path("/no/weights"))


def test_moments_between_frames_are_refused(video: Path) -> None:
    with pytest.raises(ConfigError, match=r"every_seconds: expected a multiple of 0\.4 s"):
        surgstream.features(GreyEncoder(), str(video), seconds_apart=0.4)


def test_the_rate_of_an_encoder_that_does_not_tell_it_is_asked_for(video: Path) -> None:
    with pytest.raises(ConfigError, match="seconds_apart: expected the time between the frames"):
        surgstream.features(GreyEncoder(), str(video))


def test_an_encoder_is_loaded_by_the_keys_of_a_probe() -> None:
    encoder = surgstream.load_encoder("pixels", num_frames=2, image_size=32)
    assert (encoder.num_frames, encoder.image_size) == (2, 32)
    with pytest.raises(ConfigError, match="num_frame"):
        surgstream.load_encoder("pixels", num_frame=2)
