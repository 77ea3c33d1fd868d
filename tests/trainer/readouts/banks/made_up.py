"""A tiny labelled corpus, an encoder that needs no weights, and probes of it as ranks run them."""

import io
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from surgstream.trainer.encoders.base import FrozenEncoder
from surgstream.trainer.models.config import Grid
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus
from tests.helpers.ranks import start_ranks, surgstream

SPLITS = {"train": ["a0", "a1", "a2", "a3"], "val": ["b0", "b1"], "test": ["c0", "c1", "c2"]}
NUM_FRAMES = 18
PHASES = ("cut", "rest", "sew")

TASK: dict[str, Any] = {
    "name": "made_up_phases",
    "version": 1,
    "title": "Made-up phases",
    "dataset": "larks",
    "kind": "class",
    "labels": {"files": "phases/{video}.csv", "column": "phase"},
    "classes": list(PHASES),
    "split": {**SPLITS, "source": "Made up."},
    "clip": {"num_frames": 2, "stride": 1},
    "metrics": ["video_accuracy"],
    "main": "video_accuracy",
}
SKILL = TASK | {
    "name": "made_up_skill",
    "kind": "number",
    "labels": {"files": "skill.csv", "column": "score"},
    "classes": [],
    "clip": {"num_frames": 2, "stride": "uniform"},
    "metrics": ["mae"],
    "main": "mae",
}
PROTOCOL = {
    "readout": {
        "name": "attentive",
        "self_blocks": 1,
        "num_heads": 2,
        "grid": {"lrs": [1e-2, 1e-3], "weight_decays": [0.01, 0.1]},
    },
    "global_batch_size": 8,
    "micro_batch_size": 2,
    "epochs": 6,
    "validate_every_epochs": 2,
    "report_every_steps": 3,
    "weights": "stand_in",
    "data": {"order": {"open_chunks": 4, "chunk_frames": 6}, "decode": {"threads": 1}},
}


class StandIn(FrozenEncoder):
    """Mean colours of quarters of a picture, and fixed mixtures of them."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "stand-in"
        self.identity = "5" * 64
        self.num_frames = 2
        self.image_size = 16
        self.grid = Grid(2, 2, 2)
        self.embed_dim = self.pooled_dim = 32
        mixtures = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
        self.register_buffer("mixtures", mixtures)

    def tokens(self, clips: Tensor) -> Tensor:
        quarters = clips.unflatten(3, (2, 8)).unflatten(5, (2, 8)).mean((4, 6))
        colours = quarters.flatten(2).transpose(1, 2)
        mixed: Tensor = colours @ self.get_buffer("mixtures")
        return mixed

    def flops(self) -> int:
        return 1000


def phase_of(frame: int) -> str:
    return PHASES[frame * len(PHASES) // NUM_FRAMES]


def picture(_dataset: str, video: str, frame: int) -> bytes:
    """A picture whose colour has much to do with its phase, and something with its video."""
    rng = np.random.default_rng([frame, *video.encode()])
    colour = np.full(3, 60.0)
    colour[PHASES.index(phase_of(frame))] += 60
    pixels = colour + rng.normal(0, 20, 3) + rng.normal(0, 10, (HEIGHT, WIDTH, 3))
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, "JPEG")
    return content.getvalue()


def make(root: Path) -> None:
    """Write shards, labels, tasks and a protocol."""
    videos = [video for names in SPLITS.values() for video in names]
    shards = root / "shards"
    shards.mkdir(parents=True)
    layout = {"larks": [{video: [(0, NUM_FRAMES)]} for video in videos]}
    write_corpus(shards, layout, fps=1.0, picture=picture)

    labels = root / "labels" / "phases"
    labels.mkdir(parents=True)
    for video in videos:
        rows = [f"{second},{phase_of(second)}" for second in range(NUM_FRAMES)]
        (labels / f"{video}.csv").write_text("\n".join(["second,phase", *rows]) + "\n")
    scores = [f"{video},{100 + number * 7 % 5}" for number, video in enumerate(videos)]
    (root / "labels" / "skill.csv").write_text("\n".join(["video,score", *scores]) + "\n")

    unchosen = TASK | {"split": TASK["split"] | {"val": []}}
    files = {"phases": TASK, "skill": SKILL, "unchosen": unchosen, "protocol": PROTOCOL}
    for name, content in files.items():
        (root / f"{name}.yaml").write_text(yaml.safe_dump(content))


def words(root: Path, run_dir: Path, *overrides: str) -> list[str]:
    """A probe of the corpus, as words of a command line; later overrides win."""
    given = (
        f"task={root / 'phases.yaml'}",
        f"labels={root / 'labels'}",
        f"data.corpus={root / 'shards'}",
        f"run_dir={run_dir}",
        *overrides,
    )
    latest = {word.partition("=")[0]: word for word in given}
    return ["probe", str(root / "protocol.yaml"), *latest.values()]


def begin(root: Path, run_dir: Path, world_size: int, *overrides: str) -> list[BaseProcess]:
    """Start a probe on ranks of their own."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    arguments = (words(root, run_dir, *overrides), str(run_dir.with_suffix(".log")))
    return start_ranks(probe, world_size, arguments)


def probe(argv: Sequence[str], log: str) -> None:
    """Run `surgstream ARGV` with the stand-in for an encoder."""
    from surgstream.trainer.commands import probe as command

    command.load_frozen = lambda *_: StandIn()
    surgstream(list(argv), log)
