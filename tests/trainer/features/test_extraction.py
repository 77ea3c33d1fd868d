"""Features of a made-up corpus by an encoder whose answers are known."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.trainer.distributed import RankInfo, leave, rank_info_from_environment
from surgstream.trainer.errors import FeatureError
from surgstream.trainer.features.config import FeaturesRecipe
from surgstream.trainer.features.extraction import extract_features
from surgstream.trainer.features.opening import Extraction, open_extraction
from surgstream.trainer.features.store import FeatureStore
from surgstream.trainer.joining import join
from tests.helpers.labelled import (
    FPS,
    LAYOUT,
    LENGTHS,
    NUM_VIDEOS,
    GreyEncoder,
    mean_grey,
    write_labelled,
    write_task,
)
from tests.helpers.packing import contents
from tests.helpers.ranks import finish, start_ranks
from tests.helpers.s3 import s3_bucket

pytestmark = pytest.mark.usefixtures("alone")

HERE = RankInfo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus `shards`, its `labels`, and two tasks."""
    folder = tmp_path_factory.mktemp("labelled")
    write_labelled(folder)
    write_task(folder, "phases")
    write_task(folder, "score")
    return folder


def recipe(
    folder: Path, out: object, task: str | None = "phases", **changes: Any
) -> FeaturesRecipe:
    tree: dict[str, Any] = {
        "out": str(out),
        "weights": "grey",
        "task": task and str(folder / f"{task}.yaml"),
        "labels": str(folder / "labels") if task else None,
        "dtype": "float32",
        "micro_batch_size": 4,
        "data": {"corpus": str(folder / "shards"), "order": {"chunk_frames": 5}},
    }
    return build(FeaturesRecipe, tree | changes, where="test")


def run(
    folder: Path, out: object, *, rank_info: RankInfo = HERE, identity: str = "grey", **changes: Any
) -> Extraction:
    encoder = GreyEncoder(identity=identity)
    extraction = open_extraction(recipe(folder, out, **changes), encoder, rank_info)
    assert extract_features(extraction, rank_info)
    return extraction


def as_rank(
    folder: Path, out: str, changes: dict[str, Any], on_batch: Callable[[], None] = lambda: None
) -> None:
    """Extract as one of several ranks."""
    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    encoder = GreyEncoder()
    extraction = open_extraction(recipe(folder, out, **changes), encoder, rank_info)
    assert extract_features(extraction, rank_info, beat=on_batch)
    leave()


def read(extraction: Extraction, video: str, frames: list[int]) -> np.ndarray:
    return extraction.store.read("knee", video, np.array(frames))


def part_start(video: str, frame: int) -> int:
    """The first frame of the part that a frame of a video lies in."""
    parts = next(videos[video] for videos in LAYOUT["knee"] if video in videos)
    return next(first for first, count in parts if first <= frame < first + count)


def test_labelled_rows_have_the_features_of_the_clips_that_end_there(
    folder: Path, tmp_path: Path
) -> None:
    found = run(folder, tmp_path)
    for number in range(NUM_VIDEOS):
        frames = [
            frame
            for frame in range(0, LENGTHS[number] // 2 * 2, int(FPS))
            if number != 2 or not 9 <= frame < 12
        ]
        video = f"v{number}"
        features = read(found, video, frames)
        assert features.shape == (len(frames), 3)
        expected = [mean_grey(video, frame, 2, 1, part_start(video, frame)) for frame in frames]
        np.testing.assert_allclose(features[:, 0], expected, atol=2e-3)

        # Nothing was asked of the frames between.
        others = [frame + 1 for frame in frames if frame + 1 not in (9, LENGTHS[number])]
        assert np.isnan(read(found, video, others)).all()


def test_what_is_documented_for_others_reads_them(folder: Path, tmp_path: Path) -> None:
    found = run(folder, tmp_path)
    corpus, out, key = folder / "shards", tmp_path, found.store.spec.key

    stored = np.load(f"{out}/{key}/knee/knee-000001.npy")
    shards = json.loads((corpus / "manifest.json").read_text())["shards"]
    videos = [video for shard in shards for video in shard["videos"]]
    video = next(video for video in videos if video["id"] == "v4")
    frames = stored["row"] - video["first_row"]
    mine = (frames >= 0) & (frames < sum(part["num_frames"] for part in video["parts"]))
    features, seconds = stored["feature"][mine], frames[mine] / video["fps"]

    assert seconds.tolist() == list(range(12))
    np.testing.assert_array_equal(features, read(found, "v4", (seconds * FPS).astype(int).tolist()))


def test_slices_views_and_rates_without_a_task(folder: Path, tmp_path: Path) -> None:
    slices = run(
        folder, tmp_path, task=None, per="slices", datasets=["knee"], rows_per_second=None,
        data={"corpus": str(folder / "shards"), "stride": 3},
    )  # fmt: skip
    features = read(slices, "v3", [9, 10, 11])
    assert features.shape == (3, 2, 3)
    # The slices of a clip of stride 3 are the pictures themselves, oldest first.
    for place, frame in enumerate((9, 10, 11)):
        for slice_, shown in enumerate((frame - 3, frame)):
            expected = mean_grey("v3", shown, 1, 1)
            assert features[place, slice_, 0] == pytest.approx(expected, abs=2e-3)
    with pytest.raises(ConfigError, match="expected a dataset of the corpus"):
        slices.store.read("hip", "v3", np.array([0]))

    near = {"corpus": str(folder / "shards"), "stride": 1}
    crops = run(folder, tmp_path, task=None, clips={"view": "three_crops"}, data=near)
    assert np.isfinite(crops.store.read("other", "w", np.array([0, 2, 4]))).all()
    # All pictures are of one colour, so every view of them is alike.
    squash = run(folder, tmp_path)
    assert crops.store.spec.key != squash.store.spec.key
    np.testing.assert_allclose(read(crops, "v6", [4, 6]), read(squash, "v6", [4, 6]), atol=1e-5)


def test_a_second_task_adds_its_rows_and_another_key_is_another_folder(
    folder: Path, tmp_path: Path
) -> None:
    first = run(folder, tmp_path, task="score", clips={"segments": 3, "stride": 1})
    shards = [f"knee/knee-00000{i}.tar" for i in range(3)]
    before = [{*first.store.records(shard)["row"].tolist()} for shard in shards]
    assert [len(rows) for rows in before] == [9, 6, 9], "three clips of each video"

    again = run(folder, tmp_path)
    assert again.store.spec.key == first.store.spec.key
    for shard, rows in zip(shards, before, strict=True):
        assert rows < {*again.store.records(shard)["row"].tolist()}
    last = [LENGTHS[6] - 1]
    np.testing.assert_array_equal(read(again, "v6", last), read(first, "v6", last))

    other = run(folder, tmp_path, identity="other")
    assert other.store.spec.key != again.store.spec.key
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_there_is_not_encoded_again(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path)
    before = contents(tmp_path)
    encoder = GreyEncoder()
    extraction = open_extraction(recipe(folder, tmp_path), encoder, HERE)
    batches: list[None] = []
    assert extract_features(extraction, HERE, beat=lambda: batches.append(None))
    assert not batches and contents(tmp_path) == before

    (tmp_path / extraction.store.spec.key / "knee" / "knee-000001.npy").unlink()
    assert extract_features(extraction, HERE, beat=lambda: batches.append(None))
    assert len(batches) == 7 and contents(tmp_path) == before, "25 rows, four at once"


def test_being_told_to_stop_ends_after_a_shard(folder: Path, tmp_path: Path) -> None:
    encoder = GreyEncoder()
    extraction = open_extraction(recipe(folder, tmp_path), encoder, HERE)
    assert not extract_features(extraction, HERE, stopping=lambda: True)
    assert [path.name for path in tmp_path.rglob("*.npy")] == ["knee-000000.npy"]


@pytest.mark.slow
def test_two_ranks_write_what_one_does(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "one")
    statuses = finish(start_ranks(as_rank, 2, (folder, str(tmp_path / "two"), {})))
    assert statuses == [0, 0]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


class _Killer:
    """Kills its process when it is called for the n-th time."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self) -> None:
        self.calls -= 1
        if not self.calls:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_what_was_killed_goes_on_and_ends_with_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "whole")
    out = tmp_path / "killed"
    arguments = (folder, str(out), {}, _Killer(10))
    assert finish(start_ranks(as_rank, 1, arguments)) == [-signal.SIGKILL]
    assert len(list(out.rglob("*.npy"))) == 1, "in the middle of the second shard"
    run(folder, out)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_on_s3_they_are_the_same(folder: Path, tmp_path: Path) -> None:
    here = run(folder, tmp_path)
    with s3_bucket("features") as bucket:
        there = run(folder, f"{bucket}/some/where")
        assert there.store.uri == f"{bucket}/some/where/{here.store.spec.key}"
        frames = list(range(0, 20, 2))
        np.testing.assert_array_equal(read(there, "v5", frames), read(here, "v5", frames))
        run(folder, f"{bucket}/some/where", task="score", clips={"stride": 1})


def test_a_key_that_stands_for_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    found = run(folder, tmp_path)
    about = tmp_path / found.store.spec.key / "about.json"
    tree = json.loads(about.read_text())
    assert tree["weights"] == "grey encoder" and tree["stride"] == 1
    for text in (json.dumps(tree | {"stride": 2}), "{", "[]", "{}"):
        about.write_text(text)
        with pytest.raises(FeatureError, match=r"about\.json: expected what this key stands for"):
            open_extraction(recipe(folder, tmp_path), GreyEncoder(), HERE)

    # Another name is no other encoder.
    about.write_text(json.dumps(tree | {"weights": "elsewhere"}))
    open_extraction(recipe(folder, tmp_path), GreyEncoder(), HERE)


def test_features_that_are_not_finite_are_refused(folder: Path, tmp_path: Path) -> None:
    store = open_extraction(recipe(folder, tmp_path, dtype="float16"), GreyEncoder(), HERE).store
    rows = np.array([0])
    with pytest.raises(FeatureError, match=r"the largest is 1e\+05: write dtype=float32"):
        store.add("knee/knee-000000.tar", rows, np.full((1, 3), 1e5))
    with pytest.raises(FeatureError, match="are the weights damaged"):
        store.add("knee/knee-000000.tar", rows, np.full((1, 3), np.nan))
    assert not list(tmp_path.rglob("*.npy"))


def test_two_writers_at_once_lose_nothing(folder: Path, tmp_path: Path) -> None:
    shard = "knee/knee-000000.tar"
    extraction = open_extraction(recipe(folder, tmp_path), GreyEncoder(), HERE)

    class Late(FeatureStore):
        """Another one writes between its reading and its writing, twice."""

        left = 2

        def records(self, name: str) -> Any:
            found = super().records(name)
            if self.left:
                self.left -= 1
                extraction.store.add(name, np.array([self.left]), np.ones((1, 3)))
            return found

    late = Late(str(tmp_path), extraction.store.spec, extraction.table)
    late.add(shard, np.array([7]), np.full((1, 3), 7.0))
    assert extraction.store.records(shard)["row"].tolist() == [0, 1, 7]
