"""Tasks read what `surgstream labels` writes, and ask for metrics that there are."""

import pytest

from surgstream.shards.releases.registry import find_release
from surgstream.trainer.evaluation.metrics.catalogue import METRICS
from surgstream.trainer.evaluation.tasks.loading import all_tasks

TASKS = all_tasks()
OF_RELEASES = sorted(
    name for name, task in TASKS.items() if task.labels and not name.startswith("synth")
)


@pytest.mark.parametrize("name", OF_RELEASES)
def test_labels_are_those_of_a_release_s_column(name: str) -> None:
    task = TASKS[name]
    assert task.labels
    release, _, rest = task.labels.files.partition("/")
    columns = {column.name: column for column in find_release(release).columns}

    column = columns[task.labels.column]
    assert (column.kind, column.classes) == (task.kind, task.classes)
    per_video = f"{column.name}.csv"
    assert rest == (per_video if task.labels.per_video else f"{column.name}/{{video}}.csv")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_metrics_are_in_the_catalogue_and_for_these_labels(name: str) -> None:
    task = TASKS[name]
    assert not list(task.unknown_metrics(METRICS))
    assert all(task.kind in METRICS[metric].kinds for metric in task.metrics)
