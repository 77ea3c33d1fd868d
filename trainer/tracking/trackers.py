"""One door to W&B, MLflow and trackio.

A tracker is another's program in ours: whatever it raises is told once, and training goes on without it, since
`metrics.jsonl` has every number.
"""

import contextlib
import json
import logging
import math
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from surgstream.configs.files import write_atomically
from surgstream.shards.storage.base import without_secrets
from surgstream.trainer.tracking.config import TrackingConfig
from surgstream.trainer.tracking.shown import Shown, shown

log = logging.getLogger(__name__)

FOLDER = "tracking"
_ID = "id.json"


class Tracker(Protocol):
    """A run in a tracker."""

    def log(self, values: dict[str, Any], /, step: int) -> None:
        """Report the numbers of a step."""

    def finish(self) -> None:
        """Send what is left, and end."""


@dataclass(frozen=True)
class _Start:
    """A start of a run, as a tracker needs it.

    Attributes:
        config: The tracker.
        folder: The folder of its record.
        name: The run's name.
        recipe: What is shown of the recipe.
    """

    config: TrackingConfig
    folder: Path
    name: str
    recipe: Mapping[str, Shown]

    def known_id(self) -> str | None:
        """The id that an earlier start of the run has kept for this tracker."""
        path = self.folder / _ID
        if not path.exists():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept[self._key]) if self._key in kept else None

    def keep_id(self, identity: str) -> None:
        """Keep the id, so that a later start goes on in the same record."""
        path = self.folder / _ID
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_atomically(path, json.dumps({**kept, self._key: identity}))

    @property
    def _key(self) -> str:
        """A record that lies here is another than one that was sent."""
        return f"{self.config.tracker} {'online' if self.config.online else 'offline'}"


class Tracking:
    """The reports of a run to its tracker, if it has one. Rank 0 alone uses it."""

    def __init__(self, config: TrackingConfig, run_dir: Path, recipe: Any) -> None:
        """Begin a run's record, or go on with it.

        Args:
            config: The tracker.
            run_dir: The run's directory.
            recipe: The run's recipe; see `shown`.
        """
        self._tracker: Tracker | None = None
        if config.tracker is None:
            return

        name = run_dir.resolve().name
        start = _Start(config, run_dir / FOLDER, name, shown(recipe))
        start.folder.mkdir(exist_ok=True)
        self._name = config.tracker
        self._try(lambda: self._open(start))

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Report the finite numbers among a step's values."""
        numbers = {
            key: float(value)
            for key, value in values.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        if (tracker := self._tracker) and numbers:
            self._try(lambda: tracker.log(numbers, step=step))

    def finish(self) -> None:
        """Send what is left, and end."""
        if tracker := self._tracker:
            self._try(tracker.finish)

    def _open(self, start: _Start) -> None:
        self._tracker = _OPENED_BY[self._name](start)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            # What it tells people is no output of a command.
            with contextlib.redirect_stdout(sys.stderr):
                action()
        # Anything may come out of a tracker, and none of it is worth a training.
        except Exception as error:
            self._tracker = None
            log.warning(
                "%s failed: %s: %s; the run goes on without it, and metrics.jsonl has all numbers",
                self._name,
                type(error).__name__,
                # A server's address may have a password in it.
                without_secrets(str(error)),
            )


def _wandb(start: _Start) -> Tracker:
    # Its errors and timings would go to its makers, from offline runs as well.
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    # Left alone, it would send the node's name, the user, the command line, git's remote and the list of packages.
    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        host="",
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )

    identity = start.known_id() or uuid.uuid4().hex
    run: Tracker = wandb.init(
        project=start.config.project,
        id=identity,
        name=start.name,
        resume="allow",
        mode="online" if start.config.online else "offline",
        dir=start.folder,
        config=dict(start.recipe),
        settings=settings,
    )
    start.keep_id(identity)
    return run


def _trackio(start: _Start) -> Tracker:
    if not start.config.online:
        if "trackio" in sys.modules:
            raise RuntimeError("it is in use already, and would not keep this run's record here")
        # It reads these when it is imported, and a Space that is named there would have the numbers.
        for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID"):
            os.environ.pop(name, None)
        os.environ["TRACKIO_DIR"] = str(start.folder.resolve() / "trackio")
    import trackio

    # A run is found again by its name, which others may have as well.
    identity = start.known_id() or f"{start.name}-{uuid.uuid4().hex[:8]}"
    trackio.init(
        project=start.config.project,
        name=identity,
        resume="allow",
        config=dict(start.recipe),
        embed=False,
        auto_log_cpu=False,
        auto_log_gpu=False,
    )
    start.keep_id(identity)

    # Its functions, and not the run's own, which it would end once more when the program ends.
    tracker: Tracker = trackio
    return tracker


class _MlflowRun:
    """A run in MLflow, by its client alone: the functions for scripts add the user and the command line."""

    def __init__(self, start: _Start) -> None:
        # What is used of it would go to its makers, from any kind of run.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        from mlflow import MlflowClient

        folder = start.folder.resolve() / "mlflow"
        if start.config.online:
            # All ranks wait with it, and its own patience is twenty minutes.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        else:
            # A file for each curve: its database would need locks, which shared file systems often lack.
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        self._client = MlflowClient(None if start.config.online else folder.as_uri())
        known = start.known_id()
        self._id = known or self._begin(start)

        if known:
            self._client.update_run(known, status="RUNNING")
        start.keep_id(self._id)

    def _begin(self, start: _Start) -> str:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(start.config.project)
        experiment = (
            found.experiment_id if found else self._client.create_experiment(start.config.project)
        )
        run = self._client.create_run(experiment, run_name=start.name)

        # The most that one call takes.
        params = [Param(key, str(value)) for key, value in start.recipe.items()]
        for first in range(0, len(params), 100):
            self._client.log_batch(run.info.run_id, params=params[first : first + 100])
        return str(run.info.run_id)

    def log(self, values: dict[str, Any], /, step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def finish(self) -> None:
        self._client.set_terminated(self._id)


_OPENED_BY: Mapping[str, Callable[[_Start], Tracker]] = {
    "wandb": _wandb,
    "mlflow": _MlflowRun,
    "trackio": _trackio,
}
