"""The mirror of a run, owned by it alone from its start to its end."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from os.path import abspath

from surgstream.shards.errors import OwnedError, StorageError
from surgstream.shards.storage.owner import owning
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo, from_main
from surgstream.trainer.engine.checkpoint_files import NotWholeError, parse_state
from surgstream.trainer.errors import CheckpointError
from surgstream.trainer.mirror.place import MirrorPlace
from surgstream.trainer.mirror.worker import Mirror

log = logging.getLogger(__name__)


@contextmanager
def opened_mirror(config: TrainConfig, rank_info: RankInfo) -> Iterator[Mirror | None]:
    """Own a run's mirror, and clear away what killed uploads have left there; collective.

    Args:
        config: The run.
        rank_info: This rank's place.

    Yields:
        The mirror, on rank 0; None elsewhere, or where the run has none.

    Raises:
        OwnedError: Another process writes there.
        StorageError: The store cannot be reached or written to.
        CheckpointError: The checkpoints there are another run's.
    """
    address = config.checkpoint.mirror
    if address is None:
        yield None
        return

    with ExitStack() as stack:
        found: list[Mirror] = []

        def own() -> None:
            storage = open_storage(address, config.data.s3)
            owner = stack.enter_context(owning(storage, "mirroring checkpoints"))
            place = MirrorPlace(storage, owner.check)
            _check_ours(place, config)
            place.sweep()
            mirror = Mirror(
                place,
                config.checkpoint,
                patience_seconds=config.data.s3.retry.timeout_seconds,
            )
            stack.callback(mirror.close)
            found.append(mirror)

        from_main(partial(_told, own))
        yield found[0] if rank_info.is_main else None


def _told(own: Callable[[], None]) -> None:
    """Let an error of the store say which key of the recipe it is about."""
    try:
        own()
    except OwnedError:
        raise
    except StorageError as error:
        raise StorageError(
            f"checkpoint.mirror: {error}; mend that, or train without one: checkpoint.mirror=null"
        ) from error


def _check_ours(place: MirrorPlace, config: TrainConfig) -> None:
    """Raise CheckpointError where the newest checkpoint that can be read is of a run with another directory."""
    if "run_dir" in config.resume.allow:
        return

    for name in place.names():
        try:
            saved = parse_state(place.state_bytes(name) or b"").get("config")
        except NotWholeError:
            continue
        theirs = saved.get("run_dir") if isinstance(saved, dict) else None
        if isinstance(theirs, str) and abspath(theirs) != abspath(config.run_dir):
            raise CheckpointError(
                f"checkpoint.mirror: {place.storage.uri}: expected a place of this run alone, got {name} of the run "
                f"in {theirs!r}; choose another place, or, where this run is to go on from there, set "
                "resume.allow: [run_dir]"
            )
        return
