"""Whether a run may go on from a checkpoint with the data it is given now, and in which order."""

from collections.abc import Iterator
from typing import Any, TypeVar

from surgstream.configs.loading import to_tree
from surgstream.shards.order.sequence import Order
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError

T = TypeVar("T")

# What a run may change freely between its parts.
_FREE = (
    *(
        "run_dir",
        "max_steps",
        "compile",
        "held_out",
        "probe",
        "parallel",
        "checkpoint",
        "resume",
        "report",
        "micro_batch_size",
    ),
    *(
        "data.read",
        "data.cache_dir",
        "data.cache_bytes",
        "data.decode",
        "data.s3",
        "data.corpus",
        "data.order",
    ),
    *(
        "data.audit_log",
        "data.stall_warning_seconds",
        "data.max_bad_clips",
        "data.max_bad_clips_in_a_row",
    ),
)


def recipe_changes(progress: Progress, config: TrainConfig) -> list[str]:
    """What the configuration now says otherwise than the checkpoint's, of all that decides what is learned.

    Args:
        progress: Where the run stands; its state is empty at the beginning.
        config: The configuration now.

    Returns:
        One `key: before -> now` for each difference. Corpus, weights and lanes are `order_from`'s affair.
    """
    saved = _held(progress, "config", dict) if "config" in progress.state else {}
    before, now = (dict(_leaves(tree)) for tree in (saved, to_tree(config)))

    # The dot at the end lets `data.order` cover all below it, but no longer name.
    return [
        f"{key}: {before.get(key)} -> {now.get(key)}"
        for key in sorted({**before, **now})
        if before
        and before.get(key) != now.get(key)
        and not any(f"{key}.".startswith(f"{free}.") for free in _FREE)
    ]


def _leaves(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", list(value) if isinstance(value, tuple) else value


def _held(progress: Progress, key: str, kind: type[T]) -> T:
    value = progress.state.get(key)
    if not isinstance(value, kind):
        raise CheckpointError(
            f"the checkpoint of step {progress.step}: state.json: {key}: expected what a run saves there, got "
            f"{'nothing' if value is None else 'something else'}; resume from another checkpoint"
        )
    return value


def order_from(progress: Progress, config: TrainConfig, corpus: FrameTable) -> Order:
    """The order of a run: a new one at its beginning, else the checkpoint's, continued.

    Args:
        progress: Where the run stands; its state is empty at the beginning.
        config: The configuration now.
        corpus: The corpus now.

    Returns:
        An order whose draws before `progress.g` are those already consumed.

    Raises:
        CheckpointError: The seed differs, or corpus, weights or lanes differ and `resume.allow` does not say so.
    """
    sizes, settings = corpus.sizes(), config.data.order
    if not progress.state:
        return Order.create(sizes, config.seed, settings)

    before = Order.from_json(_held(progress, "order", dict))
    if before.seed != config.seed:
        raise CheckpointError(
            f"seed: expected {before.seed} as in the checkpoint of step {progress.step}, got {config.seed}; "
            "another seed is another run: choose another run_dir"
        )

    differences = before.differences(sizes, settings)
    # The corpus may have changed where its sizes, which the order knows, have not.
    manifest = _held(progress, "manifest", str)
    if manifest != corpus.sha256:
        hashes = f"its manifest was {manifest[:12]}, now {corpus.sha256[:12]}"
        differences["corpus"] = ", ".join(filter(None, [differences.get("corpus"), hashes]))
    if "corpus" in differences and any(corpus.frames_apart(size.name) != [1] for size in sizes):
        differences["corpus"] += (
            f", of which data.fps={config.data.fps:g} shows a part; null takes every packed frame"
        )

    unexpected = [
        difference for kind, difference in differences.items() if kind not in config.resume.allow
    ]
    if unexpected:
        kinds = ", ".join(sorted(differences))
        raise CheckpointError(
            f"the checkpoint of step {progress.step} belongs to another order: {'; '.join(unexpected)}; "
            f"to go on with these from here, set resume.allow: [{kinds}]"
        )

    return before.resumed(progress.g, sizes, settings)
