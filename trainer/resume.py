"""Checks that a run may resume with its present recipe and data, and the order that it continues in."""

from typing import Any, TypeVar, cast

from surgstream.configs.changes import changes
from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import to_tree
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.locations import SizedTable
from surgstream.trainer.config import TrainConfig, restore_recipe
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError

T = TypeVar("T")


def recipe_changes(progress: Progress, config: TrainConfig) -> list[str]:
    """List the differences from the checkpoint's configuration that change what is learned.

    Args:
        progress: Where the run stands; its state is empty at the beginning.
        config: The configuration now.

    Returns:
        One `key: before -> now` for each difference. `order_from` checks corpus, weights and lanes.
    """
    if "config" not in progress.state:
        return []

    return changes(_with_defaults(_held(progress, "config", dict)), config)


def _with_defaults(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved configuration under today's keys; those that it did not know yet have their defaults."""
    try:
        return cast(dict[str, Any], to_tree(restore_recipe(saved, where="the checkpoint")))
    except ConfigError:
        # It has keys of another version, and is compared as it is.
        return TrainConfig.renamed.translate(saved)


def _held(progress: Progress, key: str, kind: type[T]) -> T:
    value = progress.state.get(key)
    if isinstance(value, kind):
        return value

    found = "nothing" if value is None else "something else"
    raise CheckpointError(
        f"the checkpoint of step {progress.step}: state.json: {key}: expected what a run saves there, "
        f"got {found}; resume from another checkpoint"
    )


def _check_aim(progress: Progress, config: TrainConfig) -> None:
    """Raise CheckpointError where the checkpoint is of a run that learns something else."""
    saved = progress.state.get("config")
    if not isinstance(saved, dict) or not isinstance(saved.get("objective"), dict):
        return
    before = saved["objective"].get("name"), saved.get("task")
    now = config.objective.name, config.task
    if before != now:
        raise CheckpointError(
            f"the checkpoint of step {progress.step} is of another run: it learns {_aim(*before)}, this "
            f"recipe {_aim(*now)}; choose another run_dir"
        )


def _aim(objective: object, task: object) -> str:
    """What a run learns, for messages."""
    return f"{objective} of {task}" if task else str(objective)


def order_from(progress: Progress, config: TrainConfig, corpus: SizedTable) -> Order:
    """Create the order of a new run, or continue the checkpoint's.

    Args:
        progress: Where the run stands; its state is empty at the beginning.
        config: The configuration now.
        corpus: The corpus now.

    Returns:
        An order whose draws before `progress.clips_seen` are those already consumed.

    Raises:
        CheckpointError: Objective, task or seed differ, or corpus, weights or lanes do and `resume.allow` does not say
            so.
    """
    sizes = corpus.sizes()
    settings = config.data.order
    if not progress.state:
        return Order.create(sizes, config.seed, settings)

    _check_aim(progress, config)
    before = Order.from_json(_held(progress, "order", dict))
    if before.seed != config.seed:
        raise CheckpointError(
            f"seed: expected {before.seed} as in the checkpoint of step {progress.step}, "
            f"got {config.seed}; another seed is another run: choose another run_dir"
        )

    differences = before.differences(sizes, settings)
    # The corpus may have changed where its sizes, which the order knows, have not.
    manifest = _held(progress, "manifest", str)
    if manifest != corpus.sha256:
        hashes = f"its manifest was {manifest[:12]}, now {corpus.sha256[:12]}"
        why = _datasets_changed(progress, config) or hashes
        differences["corpus"] = ", ".join(filter(None, [differences.get("corpus"), why]))
    shows_a_part = any(corpus.frames_apart(size.name)[-1] > 1 for size in sizes)
    if "corpus" in differences and shows_a_part:
        differences["corpus"] += (
            f", of which data.fps={config.data.fps:g} shows a part; null takes every packed frame"
        )

    allowed = config.resume.allow
    unexpected = [text for kind, text in differences.items() if kind not in allowed]
    if unexpected:
        kinds = ", ".join(sorted(differences))
        raise CheckpointError(
            f"the checkpoint of step {progress.step} belongs to another order: "
            f"{'; '.join(unexpected)}; to go on with these from here, set resume.allow: [{kinds}]"
        )

    return before.resumed(progress.clips_seen, sizes, settings)


def _datasets_changed(progress: Progress, config: TrainConfig) -> str:
    """A clause that says how `data.datasets` has changed; empty where it has not, or nobody knows."""
    saved = progress.state.get("config")
    data = saved.get("data") if isinstance(saved, dict) else None
    if not isinstance(data, dict):
        return ""

    then = data.get("datasets")
    now = None if config.data.datasets is None else list(config.data.datasets)
    return "" if then == now else f"data.datasets was {then}, now {now}"
