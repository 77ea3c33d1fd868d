"""Stored pictures against a layer of a handmade corpus: scores by plain loops, yardsticks, damage, and the command."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image

from surgstream.launch.__main__ import main
from surgstream.shards.format.png import to_png
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.maps import (
    PredictedMaps,
    pack_maps,
    read_maps,
    to_picture,
    write_maps,
)
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus
from tests.helpers.layers import write_layer

Floats = npt.NDArray[np.float64]

VIDEOS = {"train": ["a0", "a1"], "test": ["c0", "c1"]}
NUM_FRAMES = 4
CLASSES = ("hook", "snare", "knife")

SPACES = {
    "one": LabelSpace(kind="mask", classes=("polyp",)),
    "several": LabelSpace(kind="mask", classes=CLASSES),
    "depth": LabelSpace(kind="depth"),
}
METRICS = {
    "one": ["dice", "iou", "mask_mae", "mean_dice", "s_measure"],
    "several": ["class_iou", "class_dice", "pixel_accuracy"],
    "depth": ["depth_abs_rel", "depth_rmse", "depth_delta_1.1", "depth_abs_rel_median_scaled"],
}


def picture(_dataset: str, video: str, frame: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (80, 40, 10 * frame)).save(content, "JPEG")
    return content.getvalue()


def truth_of(name: str, video: str, frame: int) -> npt.NDArray[Any]:
    """What the layer has, in parts of 8 pixels; nothing in some pictures."""
    rng = np.random.default_rng([frame, *video.encode(), *name.encode()])
    shape = (HEIGHT // 8, WIDTH // 8)
    if name == "depth":
        values = rng.integers(500, 9000, shape) * (rng.uniform(size=shape) < 0.7)
        if frame == 2:
            values = np.zeros_like(values)
        coarse = values.astype(np.uint16)
    elif name == "several":
        coarse = rng.integers(0, 3, shape).astype(np.uint8)  # no knife
    else:
        coarse = (255 * (rng.uniform(size=shape) < 0.3) * (frame != 1)).astype(np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)


def predicted_of(name: str, video: str, frame: int) -> npt.NDArray[Any]:
    """What metrics take of a prediction, as far as a file keeps it."""
    rng = np.random.default_rng([7, frame, *video.encode()])
    if name == "depth":
        return rng.integers(600, 9000, (HEIGHT, WIDTH)) / 100
    if name == "several":
        return rng.integers(0, 3, (HEIGHT, WIDTH))
    found: Floats = rng.integers(0, 256, (HEIGHT, WIDTH)) / 255
    return found


def task_of(name: str) -> dict[str, Any]:
    layer: dict[str, Any] = {"name": name}
    if name == "one":
        layer["above"] = 127
    return {
        "name": f"made_up_{name}",
        "version": 1,
        "title": "Made up",
        "dataset": "larks",
        "kind": SPACES[name].kind,
        "layer": layer,
        "classes": list(SPACES[name].classes),
        "split": {**VIDEOS, "source": "Made up."},
        "metrics": METRICS[name],
        "main": METRICS[name][0],
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    shards = root / "shards"
    shards.mkdir()
    videos = [video for ids in VIDEOS.values() for video in ids]
    layout = {"larks": [{video: [(0, NUM_FRAMES)]} for video in videos]}
    write_corpus(shards, layout, fps=1.0, picture=picture)
    for name in SPACES:
        write_layer(shards, name, lambda _, video, frame, name=name: truth_of(name, video, frame))
        (root / f"{name}.yaml").write_text(yaml.safe_dump(task_of(name)))
        write_maps(root / f"{name}.npz", predictions(name))
    return root


def predictions(name: str) -> PredictedMaps:
    space = SPACES[name]
    videos = {}
    for video in VIDEOS["test"]:
        pngs = [
            to_png(to_picture(predicted_of(name, video, frame), space))
            for frame in range(NUM_FRAMES)
        ]
        sizes = [(WIDTH, HEIGHT)] * NUM_FRAMES
        videos[video] = (np.arange(NUM_FRAMES, dtype=np.float64), pngs, sizes)
    return pack_maps(videos, space, "made up")


def scored(root: Path, name: str, out: Path) -> dict[str, Any]:
    """Score by the command."""
    words = ["evaluate", str(root / f"{name}.yaml"), f"ours={root / f'{name}.npz'}"]
    assert main([*words, "--corpus", str(root / "shards"), "--out", str(out)]) == 0
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    return result


def slow_scores(name: str, metric: str) -> dict[str, list[list[float]]]:
    """Each image's value by video, or of several classes each class's, by plain loops; NaN where it is undefined."""
    found: dict[str, list[list[float]]] = {}
    for video in VIDEOS["test"]:
        for frame in range(NUM_FRAMES):
            pairs = list(
                zip(
                    predicted_of(name, video, frame).ravel().tolist(),
                    truth_of(name, video, frame).ravel().tolist(),
                    strict=True,
                )
            )
            found.setdefault(video, []).append(SLOW[metric](pairs))
    return found


Pairs = list[tuple[float, float]]


def slow_dice(pairs: Pairs) -> list[float]:
    both = sum(p > 0.5 and g > 127 for p, g in pairs)
    either = sum(p > 0.5 for p, _ in pairs) + sum(g > 127 for _, g in pairs)
    return [2 * both / either if either else 1.0]


def slow_mae(pairs: Pairs) -> list[float]:
    return [sum(abs(p - (g > 127)) for p, g in pairs) / len(pairs)]


def slow_iou_of_classes(pairs: Pairs) -> list[float]:
    found = []
    for number in range(1, len(CLASSES) + 1):
        both = sum(p == number and g == number for p, g in pairs)
        either = sum(p == number or g == number for p, g in pairs)
        found.append(both / either if either else math.nan)
    return found


def slow_accuracy(pairs: Pairs) -> list[float]:
    return [sum(p == g for p, g in pairs) / len(pairs)]


def slow_abs_rel(pairs: Pairs) -> list[float]:
    known = [(p, g / 100) for p, g in pairs if g > 0]
    return [sum(abs(p - g) / g for p, g in known) / len(known) if known else math.nan]


def slow_scaled_abs_rel(pairs: Pairs) -> list[float]:
    known = [(p, g / 100) for p, g in pairs if g > 0]
    if not known:
        return [math.nan]
    scale = np.median([g for _, g in known]) / np.median([p for p, _ in known])
    return [sum(abs(scale * p - g) / g for p, g in known) / len(known)]


SLOW = {
    "dice": slow_dice,
    "mask_mae": slow_mae,
    "class_iou": slow_iou_of_classes,
    "pixel_accuracy": slow_accuracy,
    "depth_abs_rel": slow_abs_rel,
    "depth_abs_rel_median_scaled": slow_scaled_abs_rel,
}


def mean_of(rows: list[list[float]]) -> float:
    """The mean over images, class by class, then over classes; what is undefined is left out."""
    means = []
    for values in zip(*rows, strict=True):
        known = [value for value in values if not math.isnan(value)]
        if known:
            means.append(sum(known) / len(known))
    return sum(means) / len(means)


@pytest.mark.parametrize("name", SPACES)
def test_scores_are_those_of_plain_loops(root: Path, tmp_path: Path, name: str) -> None:
    ours, *_ = scored(root, name, tmp_path)["rows"]
    for metric in METRICS[name]:
        assert math.isfinite(ours["values"][metric]["value"])
        if metric not in SLOW:
            continue
        expected = slow_scores(name, metric)
        everything = [row for rows in expected.values() for row in rows]
        assert ours["values"][metric]["value"] == pytest.approx(mean_of(everything)), metric
        for video, rows in expected.items():
            assert ours["per_video"][video][metric] == pytest.approx(mean_of(rows)), metric


def test_a_class_that_is_nowhere_is_left_out_and_told(root: Path, tmp_path: Path) -> None:
    ours, *_ = scored(root, "several", tmp_path)["rows"]
    assert ours["values"]["class_iou"]["undefined"] == ["class knife: in no image"]


def test_a_frame_of_which_nothing_is_known_is_left_out_and_told(root: Path, tmp_path: Path) -> None:
    ours, *_ = scored(root, "depth", tmp_path)["rows"]
    undefined = ours["values"]["depth_abs_rel"]["undefined"]
    assert undefined == ["2 images, where nothing is known"]


def test_yardsticks_are_nothing_and_the_mean_of_training(root: Path, tmp_path: Path) -> None:
    rows = {row["name"]: row for row in scored(root, "one", tmp_path / "one")["rows"]}
    assert rows.keys() == {"ours", "constant", "mean of training"}

    truths = [
        truth_of("one", video, f) > 127 for video in VIDEOS["test"] for f in range(NUM_FRAMES)
    ]
    error = sum(truth.mean() for truth in truths) / len(truths)
    assert rows["constant"]["values"]["mask_mae"]["value"] == pytest.approx(error)

    depths = {row["name"]: row for row in scored(root, "depth", tmp_path / "depth")["rows"]}
    assert depths.keys() == rows.keys()


@pytest.mark.parametrize("name", SPACES)
def test_the_page_shows_pictures(root: Path, tmp_path: Path, name: str) -> None:
    scored(root, name, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<h2>Pictures</h2>") == 1
    assert page.count("data:image/png;base64,") >= 12


def test_pictures_come_back_as_they_were_written(tmp_path: Path) -> None:
    for name, space in SPACES.items():
        maps = predictions(name)
        write_maps(tmp_path / "p.npz", maps)
        again = read_maps(tmp_path / "p.npz")
        assert again.predictions.classes == space.classes
        for video, found in again.predictions.videos.items():
            assert found.predicted is not None
            for frame, number in enumerate(found.predicted.tolist()):
                expected = predicted_of(name, video, frame)
                assert np.allclose(again.read(number, space), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": np.ones((8, 3), int)}, "sizes: expected whole numbers"),
        ({"sizes": np.full((8, 2), 10**6)}, "at most 16384 pixels a side"),
        ({"lengths": np.ones(8, int)}, "pngs: expected 8 bytes"),
        ({"lengths": np.zeros(8, int)}, "lengths: expected whole numbers from 1"),
        ({"predicted": np.zeros(8, int)}, "predicted: expected each picture once"),
        ({"pngs": None}, "got a file without pngs"),
        ({"lengths": np.array([2**62] * 8)}, "pngs: expected 36893488147419103232 bytes"),
    ],
)
def test_a_damaged_file_is_one_sentence(
    root: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with np.load(root / "one.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays |= changes
    kept = {name: value for name, value in arrays.items() if value is not None}
    np.savez(tmp_path / "p.npz", allow_pickle=False, **kept)
    with pytest.raises(EvaluationError, match=message):
        read_maps(tmp_path / "p.npz")


def test_a_picture_of_another_size_is_told(tmp_path: Path) -> None:
    space = SPACES["one"]
    png = to_png(np.zeros((3, 4), np.uint8))
    maps = pack_maps({"c0": (np.zeros(1), [png], [(5, 3)])}, space, "made up")
    with pytest.raises(EvaluationError, match="expected 5x3 pixels, got 4x3"):
        maps.read(0, space)


def test_predictions_of_other_sizes_than_the_frames_are_refused_undecoded(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = replace(predictions("one"), sizes=[(2**14, 2**14)] * 8, pngs=[b"no picture"] * 8)
    write_maps(tmp_path / "p.npz", maps)
    words = ["evaluate", str(root / "one.yaml"), str(tmp_path / "p.npz")]
    assert main([*words, "--corpus", str(root / "shards")]) != 0
    said = capsys.readouterr().err
    assert f"expected pictures of {WIDTH}x{HEIGHT} pixels, as its frames, got 16384x16384" in said


def test_labels_in_files_are_not_enough(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(root / "one.yaml"), str(root / "one.npz"), "--labels", str(root)]
    assert main(words) == 2
    assert "name it by --corpus SHARDS" in capsys.readouterr().err
