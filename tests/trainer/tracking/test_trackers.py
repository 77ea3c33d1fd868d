"""The three trackers' own packages, without a network: one record over two starts, with numbers alone."""

import getpass
import json
import logging
import os
import socketserver
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.trainer.tracking.config import TrackingConfig
from surgstream.trainer.tracking.trackers import Tracking

HOST = "operating-room-7"

START = f"""
import socket, sys
from pathlib import Path

import torch

socket.gethostname = lambda: {HOST!r}

def looked_up(host, *_, **__):
    print("failed to stay offline: looked for", host, file=sys.stderr, flush=True)
    raise OSError("no network here")

socket.getaddrinfo = looked_up

from surgstream.trainer.tracking.config import TrackingConfig
from surgstream.trainer.tracking.trackers import Tracking

config = TrackingConfig(tracker=sys.argv[1], project="endoscopy")
tracking = Tracking(config, Path(sys.argv[2]), config)
for step in map(int, sys.argv[3:]):
    picture = torch.zeros(3, 2, 2, dtype=torch.uint8)
    values = {{"loss/total": 1 / step, "loss/odd": float("nan"), "time/slowest_host": "n1", "picture": picture}}
    tracking.log(values, step)
tracking.finish()
"""


TESTED = ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS")


def start(tracker: str, run_dir: Path, *steps: int) -> None:
    """Report some steps in a process of its own, as a start of a run does."""
    # What would send numbers away, were it heeded.
    elsewhere = {"TRACKIO_SPACE_ID": "somebody/space", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    # Trackers tell their makers less where they find themselves tested.
    usual = {key: value for key, value in os.environ.items() if key not in TESTED}
    words = [sys.executable, "-c", START, tracker, str(run_dir), *map(str, steps)]
    done = subprocess.run(words, env=usual | elsewhere, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and "failed" not in done.stderr, done.stderr
    assert not done.stdout


def record(run_dir: Path) -> dict[Path, bytes]:
    """The files of the trackers' records."""
    paths = [path for path in (run_dir / "tracking").rglob("*") if path.is_file()]
    return {path.relative_to(run_dir): path.read_bytes() for path in paths}


@pytest.fixture(params=["wandb", "mlflow", "trackio"])
def started_twice(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A tracker, and a run that reported to it in two starts."""
    run_dir = tmp_path / "vitb"
    run_dir.mkdir()
    start(request.param, run_dir, 10, 20)
    start(request.param, run_dir, 30)
    return request.param, run_dir


@pytest.mark.slow
def test_two_starts_are_one_record_of_numbers(started_twice: tuple[str, Path]) -> None:
    tracker, run_dir = started_twice
    read: Mapping[str, Any] = {"wandb": from_wandb, "mlflow": from_mlflow, "trackio": from_trackio}
    assert read[tracker](run_dir) == {"loss/total": [(10, 1 / 10), (20, 1 / 20), (30, 1 / 30)]}

    everything = b"".join(record(run_dir).values())
    assert HOST.encode() not in everything
    assert b"n1" not in everything and b"picture" not in everything
    if len(getpass.getuser()) > 4:
        assert getpass.getuser().encode() not in everything


def from_mlflow(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves of the one run in MLflow's files."""
    (folder,) = (run_dir / "tracking" / "mlflow").glob("*/*/metrics")
    curves = {}
    for path in folder.rglob("*"):
        if path.is_file():
            lines = [line.split() for line in path.read_text().splitlines()]
            curves[str(path.relative_to(folder))] = [(int(step), float(v)) for _, v, step in lines]
    assert (folder.parent / "params" / "tracker").read_text() == "mlflow"
    assert "run_name: vitb" in (folder.parent / "meta.yaml").read_text()
    return curves


def from_trackio(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves of the one run in trackio's database."""
    database = sqlite3.connect(run_dir / "tracking" / "trackio" / "endoscopy.db")
    assert len(database.execute("SELECT DISTINCT run_name FROM metrics").fetchall()) == 1
    curves: dict[str, list[tuple[int, float]]] = {}
    for step, values in database.execute("SELECT step, metrics FROM metrics ORDER BY step"):
        for key, value in json.loads(values).items():
            curves.setdefault(key, []).append((step, value))
    database.close()
    return curves


def from_wandb(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves in W&B's files, one a start, which are of one run's id."""
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    curves: dict[str, list[tuple[int, float]]] = {}
    ids = set()
    for path in sorted((run_dir / "tracking" / "wandb").glob("*/*.wandb")):
        for data in leveldb_records(path.read_bytes()):
            found = pb.Record.FromString(data)
            if found.HasField("run"):
                ids.add(found.run.run_id)
            row = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in found.history.item
            }
            for key in row.keys() - {"_step", "_timestamp", "_runtime"}:
                curves.setdefault(key, []).append((row["_step"], row[key]))
    assert len(ids) == 1
    # The end of a run tells its last row again.
    return {key: sorted(set(points)) for key, points in curves.items()}


def leveldb_records(data: bytes) -> list[bytes]:
    """The records of a log in LevelDB's format, of one block, after W&B's own seven bytes."""
    assert len(data) < 2**15
    records, at = [], 7
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 6], "little")
        assert data[at + 6] == 1, "a record in one piece"
        records.append(data[at + 7 : at + 7 + length])
        at += 7 + length
    return records


def fake(**functions: Any) -> Any:
    """A tracker's package."""
    return SimpleNamespace(Settings=lambda **_: None, **functions)


def test_a_tracker_that_does_not_start_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def init(**_: Any) -> None:
        raise TimeoutError("no answer from http://me:password@service")

    monkeypatch.setitem(sys.modules, "wandb", fake(init=init))
    tracking = Tracking(TrackingConfig(tracker="wandb"), tmp_path, TrackingConfig())
    tracking.log({"loss/total": 1.0}, 10)
    tracking.finish()

    (message,) = caplog.messages
    assert message == (
        "wandb failed: TimeoutError: no answer from http://...@service; "
        "the run goes on without it, and metrics.jsonl has all numbers"
    )


def test_a_tracker_that_fails_later_is_left_out_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def log(values: dict[str, float], step: int) -> None:
        calls.append(step)
        if step == 20:
            raise OSError("disk quota exceeded")

    run = SimpleNamespace(log=log, finish=lambda: calls.append("finish"))
    monkeypatch.setitem(sys.modules, "wandb", fake(init=lambda **_: run))
    tracking = Tracking(TrackingConfig(tracker="wandb"), tmp_path, TrackingConfig())
    for step in (10, 20, 30):
        tracking.log({"loss/total": 1.0}, step)
    tracking.finish()

    assert calls == [10, 20]
    assert len(caplog.records) == 1 and caplog.records[0].levelno == logging.WARNING


@pytest.mark.slow
def test_a_server_of_mlflow_that_does_not_answer_is_soon_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow")
    asked = []

    class Hangs(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # It hangs up, and does not answer.
            asked.append(self.client_address)

    for name in ("TIMEOUT", "MAX_RETRIES"):
        # So that what is set here is undone.
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "")
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hangs) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_address[1]}")
        config = TrackingConfig(tracker="mlflow", online=True)
        Tracking(config, tmp_path, config).log({"loss/total": 1.0}, 10)
        server.shutdown()

    assert len(asked) == 3, "once, and twice again"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"
    assert "mlflow failed" in caplog.text


def test_trackio_in_use_already_is_not_given_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has read by then where its records go."""
    started: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "trackio", fake(init=lambda **words: started.append(words)))
    Tracking(TrackingConfig(tracker="trackio"), tmp_path, TrackingConfig())
    assert not started and "in use already" in caplog.text


def test_a_package_that_is_missing_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surgstream.trainer.tracking.config.find_spec", lambda name: None)
    TrackingConfig().check_installed()

    with pytest.raises(ConfigError, match=r"mlflow, which is not installed; pip install"):
        TrackingConfig(tracker="mlflow").check_installed()


def test_a_damaged_id_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "id.json").write_text("{")
    Tracking(TrackingConfig(tracker="wandb"), tmp_path, TrackingConfig()).log({"a": 1.0}, 1)
    assert len(caplog.records) == 1
