"""GPU-hours of each protocol of evaluation on public tasks, by counted operations.

`python -m surgstream.benchmarks.experiments.gpu_hours` writes docs/gpu_hours.md. Nothing here was timed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from surgstream.configs.files import write_atomically
from surgstream.configs.loading import load
from surgstream.configs.presets import find_preset
from surgstream.trainer.config import load_recipe
from surgstream.trainer.estimates import EVALUATION_TFLOPS as TFLOPS
from surgstream.trainer.estimates import evaluation_hours
from surgstream.trainer.finetuning.operations import (
    EncoderSizes,
    feature_flops,
    finetuning_flops,
    probe_flops,
)
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.readouts.config import ProbeRecipe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gpu_hours.md"

HEAD = f"""\
# GPU-hours of an evaluation

Hours of one GPU by counted operations, at {TFLOPS} TFLOP/s, which is 30 % of an H100's peak in bf16 and what well-fed
training reaches. It is arithmetic, written by `python -m surgstream.benchmarks.experiments.gpu_hours`: nothing was
timed. On a GPU that does another number, multiply by {TFLOPS} / that number.

- Fine-tuning: every epoch three forward passes' worth of operations a training clip (forward and backward), and one a
  validation clip and view; at the end one a test clip and view.
- Attentive probes: every epoch one pass of the encoder a training clip, and three of each head; heads have
  {{num_tokens}} tokens to look at. An epoch of `probe_unisurg` has 20,000 clips at the most.
- Features: one pass of the encoder a labelled row. Ridge, neighbours and temporal networks on them take minutes, so
  further seeds, tasks and shares of the videos cost as good as nothing.
- Clips: 16 frames of 224 x 224, so {{num_tokens}} tokens. ViT-B is 86, ViT-L 304 million parameters.

"""


@dataclass(frozen=True)
class Rows:
    """Labelled rows of a task.

    Attributes:
        task: The task.
        finetuning: The protocol that SurgVISTA fine-tunes it by.
        train: Rows to train on.
        val: Rows to choose by.
        test: Rows to test on.
    """

    task: str
    finetuning: str
    train: int
    val: int
    test: int

    @property
    def by_split(self) -> dict[str, int]:
        """The rows of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}


TASKS = (
    # 86,344 rows of the first forty videos, of which the last eight are for validation
    Rows("cholec80_phases", "finetune_surgvista_phases", 69_075, 17_269, 88_494),
    # 67,578 rows of 27 videos, of which five are for validation
    Rows("m2cai16_phases", "finetune_surgvista_phases", 55_064, 12_514, 26_961),
    Rows("autolaparo_phases", "finetune_surgvista_phases", 40_211, 14_972, 28_060),
    Rows("pmlr50_phases", "finetune_surgvista_phases", 17_378, 2_309, 5_350),
    # 120,018 rows of 24 videos, shared out by their numbers
    Rows("pitvis_steps", "finetune_surgvista_phases", 75_011, 20_003, 25_004),
    # 90,489 rows of 45 videos, of which five are for validation
    Rows("cholect50_triplets_challenge", "finetune_surgvista_triplets", 80_435, 10_054, 10_374),
    Rows("endoscapes_cvs_sum", "finetune_surgvista_endoscapes", 36_694, 12_372, 9_747),
    Rows("surgical_actions160", "finetune_surgvista_clips", 112, 32, 16),
)

SIZES = ("base", "large")
PROBES = ("probe_unisurg", "probe_vjepa2")


def finetuning_hours(rows: Rows) -> float:
    """GPU-hours of fine-tuning SurgVISTA's ViT-B on a task, validation and test included."""
    path = find_preset("evaluate/protocols", rows.finetuning)
    config = load_recipe(str(path), [f"task={rows.task}", "warm_start=null"])
    return evaluation_hours(finetuning_flops(rows.by_split, config))


def probe_hours(rows: Rows, protocol: str, size: str) -> float:
    """GPU-hours of a bank of attentive probes of an encoder."""
    path = find_preset("evaluate/protocols", protocol)
    recipe = load(ProbeRecipe, str(path), _OPEN)
    return evaluation_hours(probe_flops(rows.by_split, recipe, _sizes(size)))


def feature_hours(rows: Rows, size: str) -> float:
    """GPU-hours of the features of all rows."""
    return evaluation_hours(feature_flops(rows.by_split, _sizes(size)))


def page() -> str:
    """The whole page."""
    columns = ["task", "rows to train on", "`finetune_surgvista_*`, ViT-B"]
    for probe in PROBES:
        columns += [f"`{probe}`, {_called(size)}" for size in SIZES]
    columns += [f"features, {_called(size)}" for size in SIZES]

    lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *map(list, map(_cells, TASKS))]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return HEAD.format(num_tokens=f"{EncoderConfig().grid.num_tokens:,}") + table


def _cells(rows: Rows) -> Iterator[str]:
    yield f"`{rows.task}`"
    yield f"{rows.train:,}"
    yield f"{finetuning_hours(rows):.2g}"
    for probe in PROBES:
        for size in SIZES:
            yield f"{probe_hours(rows, probe, size):.2g}"
    for size in SIZES:
        yield f"{feature_hours(rows, size):.2g}"


def _called(size: str) -> str:
    return f"ViT-{size[0].upper()}"


def _sizes(size: str) -> EncoderSizes:
    """Those of a ViT."""
    config = EncoderConfig(size=size)  # type: ignore[arg-type]
    with torch.device("meta"):
        encoder = Encoder(config)
    flops = encoder.flops(config.grid.num_tokens, backward=False)
    return EncoderSizes(flops, config.grid, encoder.shape.embed_dim)


_OPEN = ("task=cholec80_phases", "weights=random", "data.corpus=shards")
"""What protocols leave open."""


if __name__ == "__main__":
    write_atomically(PAGE, page())
