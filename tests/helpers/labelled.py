"""A small labelled corpus of grey pictures, tasks over it, and an encoder that sees how grey they are."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.models.config import Grid
from tests.helpers.handmade import HEIGHT, WIDTH, Layout, write_corpus

FPS = 2.0
NUM_CLASSES = 3
NUM_VIDEOS = 8
LENGTHS = (24, 30, 21, 26, 24, 22, 28, 25)
"""Packed frames of each video; the third one has a hole."""

LAYOUT: Layout = {
    "knee": [
        {f"v{i}": [(0, LENGTHS[i])] if i != 2 else [(0, 9), (12, LENGTHS[i] - 12)] for i in shard}
        for shard in ((0, 1, 2), (3, 4), (5, 6, 7))
    ],
    "other": [{"w": [(0, 5)]}],
}


def class_of(video: int, second: int) -> int:
    """The class of a second: each takes some seconds, and videos begin with another one."""
    return (second // 4 + video % 2) % NUM_CLASSES


@cache
def grey(level: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (level, level, level)).save(data, "JPEG", quality=95)
    return data.getvalue()


def picture(_dataset: str, video: str, frame: int) -> bytes:
    """As grey as the class of the second, and a little more with every frame."""
    number = int(video[1:] or 0)
    return grey(40 + 60 * class_of(number, int(frame / FPS)) + (7 * frame + 3 * number) % 17)


def write_labelled(folder: Path) -> tuple[Path, Path]:
    """Write a corpus and its labels; returns their folders."""
    write_corpus(folder / "shards", LAYOUT, FPS, picture)
    labels = folder / "labels"
    labels.mkdir()
    for i in range(NUM_VIDEOS):
        lines = ["second,phase,tools"]
        for second in range(int(LENGTHS[i] / FPS)):
            number = class_of(i, second)
            tools = ";".join(f"tool{j}" for j in range(NUM_CLASSES) if j <= number and number)
            lines.append(f"{second},phase{number},{tools}")
        (labels / f"v{i}.csv").write_text("\n".join(lines) + "\n")

    rows = [f"v{i},{LENGTHS[i] % 5}.5,kind{i % 2}" for i in range(NUM_VIDEOS)]
    (labels / "videos.csv").write_text("\n".join(["video,score,kind", *rows]) + "\n")
    return folder / "shards", labels


TASKS: dict[str, dict[str, Any]] = {
    "phases": {
        "kind": "class",
        "labels": {"files": "{video}.csv", "column": "phase"},
        "classes": [f"phase{i}" for i in range(NUM_CLASSES)],
        "metrics": ["image_accuracy"],
        "main": "image_accuracy",
    },
    "tools": {
        "kind": "multilabel",
        "labels": {"files": "{video}.csv", "column": "tools", "unlabelled": []},
        "classes": [f"tool{i}" for i in range(NUM_CLASSES)],
        "metrics": ["map"],
        "main": "map",
    },
    "score": {
        "kind": "number",
        "labels": {"files": "videos.csv", "column": "score"},
        "metrics": ["mae"],
        "main": "mae",
    },
}


def write_task(folder: Path, name: str, **changes: Any) -> str:
    """Write the file of a task, and return its path."""
    task = {
        "name": name,
        "version": 1,
        "title": name,
        "dataset": "knee",
        "split": {
            "train": ["v[0-3]"],
            "val": ["v[4-5]"],
            "test": ["v[6-7]"],
            "source": "Ours.",
        },
        "clip": {"num_frames": 2, "stride": 1},
        **TASKS[name],
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(task))
    return str(path)


class GreyEncoder(FrozenEncoder):
    """Tokens are the pixels of the quarters of a frame, so that a clip's features depend on no other clip's.

    Args:
        num_frames: Frames of a clip.
        identity: See `FrozenEncoder`.
    """

    def __init__(self, num_frames: int = 2, identity: str = "grey") -> None:
        super().__init__()
        self.name = f"{identity} encoder"
        self.identity = identity
        self.num_frames = num_frames
        self.image_size = 16
        self.grid = Grid(slices=num_frames, rows=2, columns=2)
        self.embed_dim = 3
        self.pooled_dim = 3

    def tokens(self, clips: Tensor) -> Tensor:
        quarters = torch.nn.functional.avg_pool3d(clips, (1, 8, 8))
        return quarters.flatten(2).transpose(1, 2)

    def flops(self) -> int:
        return 1


def mean_grey(video: str, frame: int, num_frames: int, stride: int, first: int = 0) -> float:
    """What the first feature of a clip should be, as it is decoded by Pillow."""
    frames = [max(first + (frame - first) % stride, frame - stride * i) for i in range(num_frames)]
    levels = []
    for shown in frames:
        with Image.open(io.BytesIO(picture("knee", video, shown))) as image:
            levels.append(np.asarray(image, np.float64)[..., 0].mean() / 255)
    return float((np.mean(levels) - 0.485) / 0.229)
