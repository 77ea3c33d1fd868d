"""The checkpoint that a run resumes from, of those in its directory and in its mirror."""

import logging
from pathlib import Path

from surgstream.trainer.distributed import from_main
from surgstream.trainer.engine.checkpoint_files import (
    NotWholeError,
    best_step,
    damage,
    read_progress,
    scores_in,
)
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.mirror.fetching import fetch
from surgstream.trainer.mirror.place import MirrorPlace
from surgstream.trainer.runs.files import checkpoint_name, checkpoints_in

log = logging.getLogger(__name__)


def find_checkpoint(root: Path, wanted: str, place: MirrorPlace | None = None) -> Path | None:
    """Choose the checkpoint to resume from for all ranks; collective, see `choose`."""
    return from_main(lambda: choose(root, wanted, place))


def choose(root: Path, wanted: str, place: MirrorPlace | None) -> Path | None:
    """Choose the checkpoint to resume from, and fetch it where only the mirror has it. Rank 0 calls it.

    Args:
        root: The run's checkpoint directory.
        wanted: `auto`, `none` or a path; see `ResumeConfig`.
        place: The run's mirror; None where it has none.

    Returns:
        The checkpoint's directory, or None to start from the beginning.

    Raises:
        CheckpointError: A named checkpoint is not whole, or `none` was asked for where checkpoints exist.
        StorageError: The mirror fails.
    """
    here = [checkpoint.name for checkpoint in checkpoints_in(root)]
    there = place.names() if place else []
    if wanted == "auto":
        return _newest_whole(root, here, there, place)

    where = [str(root)] if here else []
    if place and there:
        where.append(place.storage.uri)
    others = "run_dir and mirror" if place else "run_dir"
    if wanted == "none":
        if where:
            raise CheckpointError(
                f"{' and '.join(where)}: holds checkpoints, and resume is none; choose another {others}, or auto"
            )
        return None

    chosen = Path(wanted)
    found = damage(chosen)
    if found is not None:
        raise CheckpointError(f"{wanted}: not a whole checkpoint: {found}")
    if max([*here, *there], default="") > chosen.name:
        raise CheckpointError(
            f"{' and '.join(where)}: holds checkpoints newer than {wanted}; choose another {others} or delete them"
        )
    return chosen


def _newest_whole(
    root: Path, here: list[str], there: list[str], place: MirrorPlace | None
) -> Path | None:
    """The newest checkpoint that is as it was written, of the run directory where both have it."""
    names = sorted({*here, *there}, reverse=True)
    for name in names:
        if name in here:
            found = damage(root / name)
            if found is None:
                return root / name
            log.warning("skipped checkpoint %s: %s", root / name, found)
        if place and name in there and _fetched(place, name, root):
            _fetch_best(place, there, root / name)
            return root / name

    if names:
        where = f"{root} and {place.storage.uri}" if place else str(root)
        raise CheckpointError(
            f"{where}: none of {len(names)} checkpoints is whole; "
            "delete them to start from the beginning"
        )
    return None


def _fetched(place: MirrorPlace, name: str, root: Path) -> bool:
    """Fetch a checkpoint; returns whether it was whole."""
    try:
        fetch(place, name, root)
    except NotWholeError as error:
        place.damaged.add(name)
        log.warning("skipped checkpoint %s of %s: %s", name, place.storage.uri, error)
        return False
    log.info("fetched %s from %s", name, place.storage.uri)
    return True


def _fetch_best(place: MirrorPlace, there: list[str], newest: Path) -> None:
    """Fetch the best weights as well, which a run is tested with, where the mirror keeps them."""
    best = best_step(scores_in(read_progress(newest)))
    if best is None:
        return
    name = checkpoint_name(best)
    if name in there and not (newest.parent / name).exists():
        _fetched(place, name, newest.parent)
