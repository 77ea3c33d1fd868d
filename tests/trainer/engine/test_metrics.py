import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from surgstream.trainer.engine.metrics import MetricsWriter, StepClock


def test_lines_curves_and_pictures_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surgstream.trainer.engine.metrics.time.time", lambda: 1795258800.5)
    writer = MetricsWriter(tmp_path, step=0)
    writer.write(10, {"loss/total": 0.5, "data/waits": np.array([0.0, 0.0009, 0.02, 500.0])})
    writer.write(10, {"reconstruction": torch.zeros(3, 4, 6, dtype=torch.uint8)})
    writer.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {
        "step": 10,
        "time": 1795258800.5,
        "loss/total": 0.5,
        "data/waits": {"<0.001": 2, "<0.03": 1, "<inf": 1},
    }
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss/total")] == [(10, 0.5)]
    (histogram,) = board.Histograms("data/waits")
    assert histogram.histogram_value.num == 4 and histogram.histogram_value.max == 500.0
    (image,) = board.Images("reconstruction")
    assert (image.step, image.height, image.width) == (10, 4, 6)


def test_a_pause_is_not_counted_and_the_steps_before_it_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    clock = StepClock(torch.device("cpu"))
    now += 3.0  # steps
    with clock.pause():
        now += 50.0  # a checkpoint
    now += 4.0  # more steps
    assert clock.read() == (7.0, {})


@pytest.mark.gpu
def test_a_part_on_a_gpu_is_timed_without_waiting_for_it() -> None:
    clock = StepClock(torch.device("cuda", 0))
    with clock.part("forward"):
        torch.cuda._sleep(10**9)
    end = torch.cuda.Event()
    end.record()
    assert not end.query(), "nobody waited"
    seconds, parts = clock.read()
    assert end.query() and 0 < parts["forward"] <= seconds
