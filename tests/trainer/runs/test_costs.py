"""What a run cost, as its directory keeps it."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.runs.costs import (
    ENCODER,
    STARTS,
    EncoderCost,
    Start,
    add_start,
    read_encoder_cost,
    read_starts,
    write_encoder_cost,
)

START = Start(seconds=90.0, processes=8, device="NVIDIA H200", joules=1.5e6)
COST = EncoderCost(parameters=86_400_000, num_frames=16, ms_per_clip=8.0, device="NVIDIA H200")


def test_hours_count_every_process_and_milliseconds_every_frame() -> None:
    assert START.hours == pytest.approx(0.2)
    assert COST.ms_per_frame == pytest.approx(0.5)


def test_starts_add_up_and_energy_that_nobody_told_is_not_zero(tmp_path: Path) -> None:
    assert read_starts(tmp_path) == []
    add_start(tmp_path, START)
    add_start(tmp_path, Start(seconds=1, processes=1, device="x86_64", joules=math.nan))

    first, second = read_starts(tmp_path)
    assert first == START
    assert second.device == "x86_64" and math.isnan(second.joules)


def test_what_an_encoder_takes_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_encoder_cost(tmp_path) is None
    write_encoder_cost(tmp_path, COST)
    assert read_encoder_cost(tmp_path) == COST


def test_a_full_disk_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / STARTS).symlink_to("/dev/full")
    add_start(tmp_path, START)
    write_encoder_cost(tmp_path / "gone", COST)
    starts, encoder = caplog.messages
    assert "No space left" in starts and str(tmp_path / STARTS) in starts
    assert "gone" in encoder and "is not kept" in encoder


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    add_start(tmp_path, START)
    with (tmp_path / STARTS).open("a") as file:
        file.write('{"seconds": 1')
    add_start(tmp_path, START)
    assert read_starts(tmp_path) == [START, START]


@given(st.data())
def test_torn_and_strange_files_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("run")
    add_start(folder, START)
    write_encoder_cost(folder, COST)
    for name in (STARTS, ENCODER):
        whole = (folder / name).read_bytes()
        at = data.draw(st.integers(0, len(whole)))
        (folder / name).write_bytes(whole[:at] + data.draw(st.binary(max_size=20)) + whole[at:])

    for start in read_starts(folder):
        assert start.hours == start.hours
    cost = read_encoder_cost(folder)
    assert cost is None or cost.ms_per_frame == cost.ms_per_frame
