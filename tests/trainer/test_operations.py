"""Operations of probes: encoder and heads, as torch counts them."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from surgstream.configs.loading import load
from surgstream.trainer.finetuning.operations import EncoderSizes, probe_flops
from surgstream.trainer.models.config import Grid
from surgstream.trainer.readouts.bank_config import DenseDptConfig
from surgstream.trainer.readouts.config import ProbeRecipe
from surgstream.trainer.readouts.dense.heads import DensePyramid

ROWS = {"train": 100, "val": 10, "test": 7}
GRID = Grid(slices=2, rows=4, columns=6)
WORDS = [
    "weights=pixels", "data.corpus=shards", "clips_per_epoch=16", "epochs=2", "validate_every_epochs=1",
    "readout.layer_widths=[4,4,8,8]", "readout.width=8", "readout.grid.lrs=[1e-3, 1e-4]",
]  # fmt: skip


def protocol(name: str) -> Path:
    return Path(f"configs/evaluate/protocols/{name}.yaml")


@pytest.mark.parametrize(("task", "num_outputs"), [("synth_instruments", 1), ("synth_depth", 256)])
def test_a_dpt_head_counts_forward_and_backward_for_every_head(task: str, num_outputs: int) -> None:
    recipe = load(ProbeRecipe, protocol("dense_dpt"), [*WORDS, f"task={task}"])
    assert isinstance(recipe.readout, DenseDptConfig)
    head = DensePyramid(12, num_outputs, recipe.readout.layer_widths, recipe.readout.width)
    with FlopCounterMode(display=False) as counter:
        head(torch.zeros(4, 1, 12, GRID.rows, GRID.columns))
    of_head = counter.get_total_flops()

    counted = probe_flops(ROWS, recipe, EncoderSizes(flops=1000, grid=GRID, embed_dim=12))
    trained, validated, tested = 2 * 16, 2 * 10, 7
    assert counted == pytest.approx(
        trained * (1000 + 3 * 2 * of_head)
        + validated * (1000 + 2 * of_head)
        + tested * (1000 + 3 * of_head)
    )


def test_linear_heads_are_next_to_nothing() -> None:
    words = ["weights=pixels", "data.corpus=shards", "task=synth_depth", "epochs=1"]
    recipe = load(ProbeRecipe, protocol("dense_linear"), words)
    sizes = EncoderSizes(flops=1000, grid=GRID, embed_dim=12)
    assert probe_flops(ROWS, recipe, sizes) % 1000 == 0
