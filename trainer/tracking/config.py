"""The section `tracking` of recipes."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar, Literal

from surgstream.configs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """A tracker that a run reports its numbers to, beside `metrics.jsonl` and TensorBoard.

    It gets numbers, switches, words that recipes choose from a list, and the name of the run's folder. Paths, pictures
    and names of videos, patients, users and nodes never go there.

    Attributes:
        tracker: `wandb`, `mlflow` or `trackio`; null is none. `tracking: wandb` says as much.
        project: The project there, MLflow's experiment.
        online: Send while the run trains, to where the tracker's own login and environment variables say. Otherwise
            nothing leaves the machine: the record lies in `tracking` in the run directory, to look at or to send later.
    """

    shorthand: ClassVar[str] = "tracker"

    tracker: Literal["wandb", "mlflow", "trackio"] | None = None
    project: str = "surgstream"
    online: bool = False

    def check_installed(self) -> None:
        """Refuse a tracker whose package is not there.

        Raises:
            ConfigError: It is not installed.
        """
        if self.tracker and find_spec(self.tracker) is None:
            raise ConfigError(
                f"tracking.tracker: expected the package {self.tracker}, which is not installed; "
                "pip install 'surgstream[track]', or leave tracking out"
            )
