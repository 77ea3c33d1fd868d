"""The table of what runs cost."""

import math
import re

import pytest

from surgstream.trainer.runs.costs import EncoderCost, Start, add_start, write_encoder_cost
from surgstream.trainer.suite.cells import Cell
from surgstream.trainer.suite.costs import draw_costs
from surgstream.trainer.suite.scoring import score_entries
from tests.trainer.suite.made_up import MadeUp, make, suite_of


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return make(tmp_path_factory.mktemp("suite"))


def cells_of(made: MadeUp) -> list[Cell]:
    suite = suite_of(made.task(), protocols=("probe_linear",))
    return made.cells(suite, ["weights=pixels", "encoder.num_frames=2"])


def cost_of(made: MadeUp, cells: list[Cell]) -> list[str]:
    """What the only value of the table says: its number, and the lines below."""
    page = draw_costs(list(score_entries(cells, made.places)), made.places.out)
    (value,) = re.findall(r"<td>([^<]*(?:<small>.*</small>)?)</td></tr>", page)
    return [text for text in re.split(r"</?small>", value) if text]


def add(made: MadeUp, cell: Cell, *, seconds: float, joules: float) -> None:
    folder = cell.folder(made.places.out)
    folder.mkdir(parents=True, exist_ok=True)
    add_start(folder, Start(seconds=seconds, processes=8, device="NVIDIA H200", joules=joules))
    cost = EncoderCost(parameters=86_400_000, num_frames=16, ms_per_clip=8, device="NVIDIA H200")
    write_encoder_cost(folder, cost)


def test_nothing_is_told_of_runs_that_have_not_ended(made: MadeUp) -> None:
    assert cost_of(made, cells_of(made)) == ["–"]


def test_all_starts_of_all_seeds_count_by_their_processes(made: MadeUp) -> None:
    first, second = cells_of(made)
    add(made, first, seconds=90, joules=2e6)
    add(made, first, seconds=90, joules=1e6)
    add(made, second, seconds=270, joules=2e5)
    told = cost_of(made, [first, second])
    assert told == ["1", "2 runs", "3.2 MJ", "86.4 M parameters", "0.5 ms a frame"]


def test_large_numbers_have_no_powers_of_ten(made: MadeUp) -> None:
    (first, _) = cells_of(made)
    add(made, first, seconds=8.64e5, joules=999_700)
    slow = EncoderCost(parameters=10**9, num_frames=1, ms_per_clip=1234, device="x86_64")
    write_encoder_cost(first.folder(made.places.out), slow)
    told = cost_of(made, [first])
    assert told == ["1,900", "1 run", "1 MJ", "1 G parameters", "1,200 ms a frame"]


def test_energy_that_one_start_does_not_tell_is_not_told_at_all(made: MadeUp) -> None:
    first, second = cells_of(made)
    add(made, first, seconds=90, joules=2e6)
    add(made, second, seconds=90, joules=math.nan)
    assert not any("J" in text for text in cost_of(made, [first, second]))


def test_the_devices_are_named(made: MadeUp) -> None:
    cells = cells_of(made)
    add(made, cells[0], seconds=90, joules=2e6)
    page = draw_costs(list(score_entries(cells, made.places)), made.places.out)
    assert "On NVIDIA H200." in page
