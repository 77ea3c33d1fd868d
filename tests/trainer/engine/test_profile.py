import gzip
import json
import logging
import os
import signal
from pathlib import Path

import pytest
import torch

from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.preemption.flags import SignalFlag
from surgstream.trainer.engine.profile import Profiler, record_flights


def test_the_flight_recorder_writes_to_the_run_directory_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FR_BUFFER_SIZE", "77")
    for name in ("TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DUMP_ON_TIMEOUT"):
        monkeypatch.setenv(name, "")  # restored afterwards
        monkeypatch.delenv(name)
    record_flights(Path("run"), RankInfo())
    assert os.environ["TORCH_FR_DUMP_TEMP_FILE"] == str(
        tmp_path / "run" / "flight_recorder" / "rank"
    )
    assert os.environ["TORCH_NCCL_DUMP_ON_TIMEOUT"] == "1"
    assert os.environ["TORCH_FR_BUFFER_SIZE"] == "77"
    assert (tmp_path / "run" / "flight_recorder").is_dir()


@pytest.mark.usefixtures("alone")
def test_a_trace_is_of_the_three_steps_after_the_signal(tmp_path: Path) -> None:
    asked = SignalFlag()
    profiler = Profiler(asked, RankInfo(rank=7, world_size=8), tmp_path)
    for step in range(9):
        if step == 4:
            asked.number = signal.SIGUSR2
        profiler.before_step(step)
        with torch.profiler.record_function(f"step {step}"):
            torch.ones(3).sum()
    (path,) = (tmp_path / "profiles").iterdir()
    assert path.name == "step_00000004_rank00007.json.gz"
    names = {
        event["name"] for event in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    }
    assert {name for name in names if name.startswith("step ")} == {"step 4", "step 5", "step 6"}


@pytest.mark.usefixtures("alone")
def test_a_profile_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "profiles").write_text("in the way")
    asked = SignalFlag()
    asked.number = signal.SIGUSR2
    profiler = Profiler(asked, RankInfo(), tmp_path)
    with caplog.at_level(logging.WARNING):
        for step in range(5):
            profiler.before_step(step)
            torch.ones(3).sum()
    assert "step_00000000_rank00000.json.gz: was not written" in caplog.text


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("writable", [True, False])
def test_collectives_are_written_beside_a_trace_if_they_can_be(
    writable: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "nccl")
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 28, 9))  # which a trace names
    monkeypatch.setattr(
        torch._C._distributed_c10d, "_dump_nccl_trace", lambda: b"flights", raising=False
    )
    if not writable:
        (tmp_path / "flight_recorder").write_text("in the way")
    asked = SignalFlag()
    asked.number = signal.SIGUSR2
    profiler = Profiler(asked, RankInfo(rank=7, world_size=8), tmp_path)
    with caplog.at_level(logging.WARNING):
        profiler.before_step(0)
        profiler.close()
    assert len(list((tmp_path / "profiles").iterdir())) == 1
    if writable:
        assert (
            tmp_path / "flight_recorder" / "rank7"
        ).read_bytes() == b"flights" and not caplog.text
    else:
        assert "flight_recorder/rank7: was not written" in caplog.text
