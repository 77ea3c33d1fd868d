"""The thread that copies checkpoints to a run's mirror while the run trains."""

import logging
import threading
import time
from pathlib import Path
from typing import NamedTuple

from surgstream.shards.errors import StorageError
from surgstream.trainer.engine.checkpoint_files import STATE, NotWholeError, step_of
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.mirror.place import MirrorPlace, StoppedError
from surgstream.trainer.runs.files import checkpoint_name

log = logging.getLogger(__name__)

_RETRY_SECONDS = 60.0
"""From a failed upload to the next try, unless another checkpoint comes."""

_PATIENCE_SECONDS = 300.0
"""How long a store may fail at the end of a run."""

_HURRY_SECONDS = 60.0
"""How long a run that was asked to stop waits for its upload, of the time that Slurm or a person gives it."""

_CLOSE_SECONDS = 5.0


class _Wanted(NamedTuple):
    """A checkpoint to copy.

    Attributes:
        checkpoint: Its directory.
        best: The step of the best weights at that time.
    """

    checkpoint: Path
    best: int | None


class Mirror:
    """Copies checkpoints to their mirror, one after another, in a thread that lives from the first one on.

    Where the store is slower than the run saves, checkpoints are left out: the newest one waits, and takes the place of
    another that waits. The best weights follow the newest, and are never left out.
    """

    def __init__(
        self,
        place: MirrorPlace,
        config: CheckpointConfig,
        *,
        retry_seconds: float = _RETRY_SECONDS,
        patience_seconds: float = _PATIENCE_SECONDS,
        hurry_seconds: float = _HURRY_SECONDS,
    ) -> None:
        """Do nothing yet.

        Args:
            place: The mirror.
            config: The checkpoints to keep there.
            retry_seconds: From a failed upload to the next try.
            patience_seconds: How long the store may fail once the run waits.
            hurry_seconds: How long the run waits when it is asked to stop.
        """
        self.place = place
        self._config = config
        self._retry_seconds = retry_seconds
        self._patience_seconds = patience_seconds
        self._hurry_seconds = hurry_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

        # Shared with the thread, and guarded by the condition.
        self._changed = threading.Condition()
        self._waiting: list[_Wanted] = []
        self._under_way: _Wanted | None = None
        self._failure: str | None = None
        self._given_up_at: float | None = None

    def publish(self, saved: Path, best: int | None) -> int | None:
        """Have a checkpoint copied, and that of the best weights if it is another.

        Args:
            saved: The newest checkpoint.
            best: The step of the best weights, beside it; None where none are kept.

        Returns:
            A step whose checkpoint is being copied, and has to stay meanwhile; None where there is none.
        """
        wanted = [_Wanted(saved, best)]
        if best is not None and best != step_of(saved):
            wanted.append(_Wanted(saved.with_name(checkpoint_name(best)), best))

        with self._changed:
            self._tell_left_out([each.checkpoint for each in wanted])
            self._waiting = wanted
            self._failure = None
            if not self._thread.ident:
                self._thread.start()
            self._changed.notify_all()
            return step_of(self._under_way.checkpoint) if self._under_way else None

    def wait(self, seconds: float, *, hurry: bool) -> bool:
        """Wait until all is copied, or not worth waiting for any more.

        Args:
            seconds: The longest that this call takes.
            hurry: Whether the run was asked to stop.

        Returns:
            Whether the wait is over; `missing` tells how it ended.
        """
        patience = self._hurry_seconds if hurry else self._patience_seconds
        with self._changed:
            latest = time.monotonic() + patience
            self._given_up_at = min(self._given_up_at or latest, latest)
            return self._changed.wait_for(lambda: self._is_settled(hurry), seconds)

    def missing(self) -> str | None:
        """A clause that says which checkpoint is not in the mirror, and why; None where all are there."""
        with self._changed:
            if not self._waiting:
                return None
            reason = self._failure or "the upload has not ended"
            name = self._waiting[0].checkpoint.name
            return f"{name} is not in {self.place.storage.uri}: {reason}"

    def close(self) -> None:
        """End the upload that is under way; nothing that looks like a checkpoint is left of it."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident:
            self._thread.join(_CLOSE_SECONDS)

    def _tell_left_out(self, wanted: list[Path]) -> None:
        """Warn of checkpoints that wait no more, since newer ones do."""
        for each in self._waiting:
            if each != self._under_way and each.checkpoint not in wanted:
                log.warning(
                    "checkpoint %s is left out of %s, where it was not yet when %s was saved",
                    each.checkpoint.name,
                    self.place.storage.uri,
                    wanted[0].name,
                )

    def _is_settled(self, hurry: bool) -> bool:
        if not self._waiting or not self._thread.is_alive():
            return True
        # A try that is under way is waited for, unless there is a hurry.
        gets_on = not hurry and (self._failure is None or self._under_way is not None)
        return not gets_on and time.monotonic() >= (self._given_up_at or 0.0)

    def _work(self) -> None:
        """Copy what is wanted until closed."""
        while wanted := self._next():
            failure = None
            try:
                self._copy(wanted)
            except StoppedError:
                return
            except (StorageError, NotWholeError, OSError) as error:
                failure = str(error)
                log.warning(
                    "checkpoint %s could not be copied to %s: %s; training goes on, and it is tried "
                    "again with the next checkpoint, or in %g s",
                    wanted.checkpoint.name,
                    self.place.storage.uri,
                    failure,
                    self._retry_seconds,
                )
            self._note(wanted, failure)

    def _next(self) -> _Wanted | None:
        """Wait for a checkpoint to copy; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            if self._closing.is_set():
                return None
            self._under_way = self._waiting[0]
            return self._under_way

    def _note(self, wanted: _Wanted, failure: str | None) -> None:
        """Note how a try has ended; after a failure, pause until there is something newer."""
        with self._changed:
            self._under_way = None
            self._failure = failure
            if failure is None and wanted in self._waiting:
                self._waiting.remove(wanted)
            self._changed.notify_all()

            if failure is not None:
                self._changed.wait_for(
                    lambda: self._closing.is_set() or self._waiting[0] != wanted,
                    self._retry_seconds,
                )

    def _copy(self, wanted: _Wanted) -> None:
        """Upload a checkpoint and tell, then delete what is not needed any more."""
        place = self.place
        checkpoint = wanted.checkpoint
        step = step_of(checkpoint)
        if not (checkpoint / STATE).exists():
            log.warning("checkpoint %s is gone, and is not copied", checkpoint)
            return

        begun = time.monotonic()
        num_bytes = place.upload(checkpoint, self._closing)
        if num_bytes:
            seconds = time.monotonic() - begun
            log.info(
                "checkpoint step %d is mirrored at %s: %.1f MB in %.1f s",
                step,
                place.storage.uri,
                num_bytes / 1e6,
                seconds,
            )

        try:
            place.prune(self._config, step, {wanted.best})
            # A store that was away has kept what could not be aborted.
            place.sweep()
        except StorageError as error:
            log.warning(
                "%s: what is not needed could not be deleted: %s; tried again with the next checkpoint",
                place.storage.uri,
                error,
            )
