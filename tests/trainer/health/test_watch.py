import logging
import time

import pynvml
import pytest

from surgstream.trainer.health import watch
from surgstream.trainer.health.adapters import Adapter
from surgstream.trainer.health.gpus import NvmlGpu
from surgstream.trainer.health.watch import HardwareNews, HardwareWatch
from tests.trainer.health.nvml import FakeNvml


class Clock:
    """Minutes that pass when a test says so."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def monotonic(self) -> float:
        return 60 * self.minutes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def test_energy_is_told_of_the_clips_that_took_it(nvml: FakeNvml, gpu: NvmlGpu) -> None:
    rank = HardwareWatch(gpu, 0, speaks=True)
    nvml.answers["nvmlDeviceGetTotalEnergyConsumption"] += 600_000
    first = rank.news()
    nvml.answers["nvmlDeviceGetTotalEnergyConsumption"] += 40_000
    second = rank.news()
    assert (first.joules, second.joules) == (600.0, 40.0)
    assert rank.report([first, second], 32) == {"energy/joules_per_clip": 20.0}

    # One GPU that does not tell makes the sum unknown
    nvml.answers["nvmlDeviceGetTotalEnergyConsumption"] = pynvml.NVMLError(1)
    assert rank.report([first, rank.news()], 32) == {}


def test_without_nvml_and_adapters_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "find_adapters", lambda _: ())
    rank = HardwareWatch(None, 10, speaks=True)
    news = rank.news()
    assert news == HardwareNews(joules=None, hardware=None)
    assert rank.report([news, news], 8) == {}


def test_hardware_is_looked_at_every_few_minutes(gpu: NvmlGpu, clock: Clock) -> None:
    main = HardwareWatch(gpu, 10, speaks=True)
    clock.minutes = 5.0
    other = HardwareWatch(gpu, 10, speaks=False)
    looked = []
    for minutes in (5, 6, 9, 10, 11, 12, 19, 20, 21, 50, 51, 52):
        clock.minutes = minutes
        news = [main.news(), other.news()]
        assert bool(news[0].hardware) == bool(news[1].hardware), "all by rank 0's clock"
        if news[0].hardware:
            looked.append(minutes)
        main.report(news, 8)
        other.report(news, 8)
    assert looked == [5, 11, 21, 51], "at the report after the one that found ten minutes over"


def test_0_minutes_are_never(gpu: NvmlGpu, clock: Clock) -> None:
    rank = HardwareWatch(gpu, 0, speaks=True)
    for _ in range(3):
        clock.minutes += 1e9
        news = rank.news()
        assert news.hardware is None
        rank.report([news], 8)


def test_a_fault_is_warned_of_when_it_comes_and_when_it_changes(
    nvml: FakeNvml, gpu: NvmlGpu, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    main = HardwareWatch(gpu, 10, speaks=True)
    other = HardwareWatch(gpu, 10, speaks=False)

    def faults_after(errors: int) -> tuple[float, list[str]]:
        # This report finds that it is time, the next one looks
        clock.minutes += 10
        for rank in (main, other):
            rank.report([main.news()], 8)
        nvml.answers["nvmlDeviceGetTotalEccErrors"] = errors
        news = [main.news(), other.news()]
        caplog.clear()
        assert other.report(news, 8) == {}
        number = main.report(news, 8)["health/faults"]
        assert all(record.levelno == logging.WARNING for record in caplog.records)
        return number, caplog.messages

    assert faults_after(0) == (0, [])
    number, (message,) = faults_after(2)
    assert number == 1 and "GPU 3 (GPU-5a4c1e8f) has 2 uncorrected ECC errors" in message
    assert faults_after(2) == (1, []), "it is known"
    assert "has 3 uncorrected ECC errors" in faults_after(3)[1][0]
    assert faults_after(0) == (0, [])
    assert len(faults_after(3)[1]) == 1, "it has come back"


def test_an_adapter_that_goes_down_is_warned_of_with_its_node(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rank = HardwareWatch(None, 10, speaks=True)

    def news_of(node: str, rate: float) -> HardwareNews:
        port = Adapter(name="mlx5_0:1", state="DOWN (Polling)", gbit_per_second=rate)
        monkeypatch.setattr(watch, "find_adapters", lambda _: (port,))
        monkeypatch.setattr(watch, "node_name", lambda: node)
        return rank.news()

    news = [news_of("a", 400.0), news_of("b", 0.0), news_of("c", 400.0), news_of("b", 0.0)]
    assert rank.report(news, 8)["health/faults"] == 1, "of a node, not of its ranks"
    (message,) = caplog.messages
    assert message.startswith("b: the adapter mlx5_0:1 is DOWN (Polling)")
