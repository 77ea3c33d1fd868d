"""All metrics by their ids."""

from surgstream.configs.errors import ConfigError
from surgstream.configs.suggestions import did_you_mean
from surgstream.trainer.evaluation.metrics import (
    classes,
    images,
    numbers,
    phases,
    ranking,
    relaxed,
    segments,
    triplets,
)
from surgstream.trainer.evaluation.metrics.metric import Metric

MODULES = (classes, phases, relaxed, segments, ranking, triplets, numbers, images)
"""Those that have metrics; a new one is added here."""

METRICS: dict[str, Metric] = {
    name: metric for module in MODULES for name, metric in module.METRICS.items()
}


def find_metric(name: str) -> Metric:
    """The metric of this id.

    Raises:
        ConfigError: There is none.
    """
    if name not in METRICS:
        raise ConfigError(
            f"metric: expected an id such as phase_jaccard, got {name!r}{did_you_mean(name, METRICS)}"
        )
    return METRICS[name]
