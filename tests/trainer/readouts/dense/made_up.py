"""Tiny corpora with a layer, on which dense heads of each kind are trained in a few steps."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.maps import PredictedMaps, read_maps
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus
from tests.helpers.layers import write_layer
from tests.helpers.ranks import finish, start_ranks, surgstream

SPLITS = {"train": ["a0", "a1", "a2"], "val": ["b0"], "test": ["c0", "c1"]}
NUM_FRAMES = 8

TASK: dict[str, Any] = {
    "name": "made_up_patches",
    "version": 1,
    "title": "Made-up patches",
    "dataset": "larks",
    "split": {**SPLITS, "source": "Made up."},
    "clip": {"num_frames": 1, "stride": 1},
}
PROTOCOL: dict[str, Any] = {
    "global_batch_size": 8,
    "micro_batch_size": 2,
    "epochs": 12,
    "validate_every_epochs": 3,
    "report_every_steps": 9,
    "data": {"order": {"open_chunks": 4, "chunk_frames": 6}, "decode": {"threads": 1}},
}
PIXELS: dict[str, Any] = {
    "readout": {
        "name": "dense_linear",
        "grid": {"lrs": [1e-1, 1e-2], "weight_decays": [1e-3]},
    },
    "weights": "pixels",
    "encoder": {"image_size": 64, "num_frames": 1},
}
PYRAMID: dict[str, Any] = {
    "readout": {
        "name": "dense_dpt",
        "layer_widths": [8, 8, 8, 8],
        "width": 8,
        "grid": {"lrs": [1e-2, 3e-3], "weight_decays": [1e-3]},
    },
    "weights": "random",
    "encoder": {
        "shape": {
            "embed_dim": 32,
            "depth": 4,
            "num_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "num_frames": 1,
            "tubelet_size": 1,
        }
    },
}
MASK = {"kind": "mask", "layer": "mask", "classes": ["patch"], "metrics": ["dice"]}
DEPTH = {
    "kind": "depth",
    "layer": {"name": "depth", "near_mm": 10, "far_mm": 110},
    "metrics": ["depth_abs_rel"],
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A head, and what it learns.

    Attributes:
        task: What the task has beside `TASK`.
        protocol: What the protocol has beside `PROTOCOL`.
        space: What labels there are.
        tolerance: By how much ranks may change a pixel.
    """

    task: dict[str, Any]
    protocol: dict[str, Any]
    space: LabelSpace
    tolerance: float


CASES = {
    # Pictures have steps of 1/255, and of a hundredth of a millimetre
    "linear_mask": Case(
        task=MASK,
        protocol=PIXELS,
        space=LabelSpace(kind="mask", classes=("patch",)),
        tolerance=1.5 / 255,
    ),
    "dpt_mask": Case(
        task=MASK,
        protocol=PYRAMID,
        space=LabelSpace(kind="mask", classes=("patch",)),
        tolerance=1.5 / 255,
    ),
    "dpt_depth": Case(
        task=DEPTH, protocol=PYRAMID, space=LabelSpace(kind="depth"), tolerance=0.035
    ),
}


def mask(_dataset: str, video: str, frame: int) -> npt.NDArray[np.uint8]:
    """A rectangle that depends on the frame."""
    rng = np.random.default_rng([frame, *video.encode()])
    row, column = int(rng.integers(0, 3)) * 12, int(rng.integers(0, 4)) * 12
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[row : row + 20, column : column + 24] = 1
    return found


def depth(_dataset: str, video: str, frame: int) -> npt.NDArray[np.uint16]:
    """A plane that the frame tilts, in hundredths of a millimetre: 2 to 10 cm, unknown in a corner."""
    rng = np.random.default_rng([frame, *video.encode()])
    down, across = rng.uniform(-1, 1, 2)
    rows, columns = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    found = (6000 + 2000 * (down * rows + across * columns)).astype(np.uint16)
    found[:4, :4] = 0
    return found


def picture(dataset: str, video: str, frame: int) -> bytes:
    """A frame whose pixels are red where the rectangle is, and the bluer the farther away they are."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pixels[mask(dataset, video, frame) > 0] = (220, 40, 40)
    pixels[..., 2] = depth(dataset, video, frame) // 50
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95)
    return content.getvalue()


def truth(draw: Callable[[str, str, int], npt.NDArray[Any]], video: str) -> npt.NDArray[Any]:
    """What is true of a video, (frames, H, W)."""
    return np.stack([draw("larks", video, frame) for frame in range(NUM_FRAMES)])


def make(root: Path) -> None:
    """Write shards with both layers, and a task and a protocol for each case."""
    shards = root / "shards"
    shards.mkdir()
    videos = [video for ids in SPLITS.values() for video in ids]
    layout = {"larks": [{video: [(0, NUM_FRAMES)]} for video in videos]}
    write_corpus(shards, layout, fps=1.0, picture=picture)
    write_layer(shards, "mask", mask)
    write_layer(shards, "depth", depth)
    for name, case in CASES.items():
        task = {**TASK, **case.task, "main": case.task["metrics"][0]}
        (root / f"{name}.task.yaml").write_text(yaml.safe_dump(task))
        (root / f"{name}.yaml").write_text(yaml.safe_dump({**PROTOCOL, **case.protocol}))


def begin(
    root: Path, name: str, run_dir: Path, world_size: int, *overrides: str
) -> list[BaseProcess]:
    """Start a probe on ranks of their own."""
    words = [
        "probe", str(root / f"{name}.yaml"), f"task={root / name}.task.yaml",
        f"data.corpus={root / 'shards'}", f"run_dir={run_dir}", *overrides,
    ]  # fmt: skip
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    return start_ranks(surgstream, world_size, (words, str(run_dir.with_suffix(".log"))))


def done(
    root: Path, name: str, run_dir: Path, world_size: int, *overrides: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Run a probe to its end; the predicted pictures of each test video."""
    statuses = finish(begin(root, name, run_dir, world_size, *overrides))
    assert statuses == [0] * world_size, log_of(run_dir)
    return pictures_of(read_maps(test_file(run_dir)), CASES[name].space)


def pictures_of(maps: PredictedMaps, space: LabelSpace) -> dict[str, npt.NDArray[np.float64]]:
    """All pictures of each video, (frames, H, W)."""
    found = {}
    for video, predicted in maps.predictions.videos.items():
        assert predicted.predicted is not None
        numbers = predicted.predicted.tolist()
        found[video] = np.stack([maps.read(number, space) for number in numbers])
    return found


def test_file(run_dir: Path) -> Path:
    """The predictions of a run's test."""
    return run_dir / "predictions" / "test.npz"


def newest_step(run_dir: Path) -> int:
    """The step of the newest checkpoint; -1 where there is none."""
    found = sorted(run_dir.glob("checkpoints/step_*"))
    return int(found[-1].name.removeprefix("step_")) if found else -1


def log_of(run_dir: Path) -> str:
    """What the first rank has told."""
    return run_dir.with_suffix(".log.rank0").read_text()
