"""Checkpoints in a store: a folder of files for each, whose `state.json` is written last and deleted first.

So what has a `state.json` was uploaded whole, whenever its writer was killed. Names and contents are those of a run's
checkpoint directory.
"""

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from surgstream.configs.files import open_regular
from surgstream.shards.storage.addresses import local_folder
from surgstream.shards.storage.base import Storage
from surgstream.trainer.engine.checkpoint_files import (
    FILE_NAME,
    MAX_STATE_BYTES,
    STATE,
    NotWholeError,
    parse_state,
    step_of,
    stored_state,
    superseded,
)
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.runs.files import checkpoint_name

log = logging.getLogger(__name__)

_READ_BYTES = 1 << 20
_OURS = re.compile(rf"(step_\d{{8}})/({re.escape(STATE)}|{FILE_NAME.pattern})")


class StoppedError(Exception):
    """An upload was ended from outside."""


class MirrorPlace:
    """The checkpoints of one run in a store, which this process alone writes to.

    Attributes:
        storage: The store.
        check_owner: Raises OwnedError if another process has taken the store over.
        damaged: Names of checkpoints that were found to be damaged there.
    """

    def __init__(self, storage: Storage, check_owner: Callable[[], None] = lambda: None) -> None:
        """Touch nothing yet."""
        self.storage = storage
        self.check_owner = check_owner
        self.damaged = set[str]()

    def names(self) -> list[str]:
        """The checkpoints there, newest first."""
        return sorted(_with_state(self.storage.sizes()), reverse=True)

    def state_bytes(self, name: str) -> bytes | None:
        """A checkpoint's `state.json`, None where there is none; NotWholeError where it is far too long for one."""
        size = self.storage.size(f"{name}/{STATE}")
        if size is None:
            return None
        if size > MAX_STATE_BYTES:
            raise NotWholeError(f"{STATE} has {size} bytes, expected at most {MAX_STATE_BYTES}")
        return self.storage.read(f"{name}/{STATE}")

    def upload(self, checkpoint: Path, stop: threading.Event) -> int:
        """Copy a checkpoint to the store, unless it is there.

        Args:
            checkpoint: Its directory, which must stay meanwhile.
            stop: Ends the upload when it is set.

        Returns:
            The bytes that were sent; 0 where the checkpoint was there.

        Raises:
            StoppedError: `stop` was set.
            NotWholeError: The checkpoint is damaged; nothing of it can be taken for one.
            StorageError: The store fails, or is another process's by now.
            OSError: The checkpoint cannot be read.
        """
        name = checkpoint.name
        state = stored_state(checkpoint)
        files = parse_state(state)["files"]
        if self._has(name, state):
            return 0

        # Files of another state must not be replaced under it.
        self.storage.delete(f"{name}/{STATE}")
        for file_name, entry in files.items():
            self._send(checkpoint / file_name, entry["sha256"], stop)

        self.check_owner()
        self.storage.write(f"{name}/{STATE}", state)
        self.damaged.discard(name)
        sizes: list[int] = [entry["bytes"] for entry in files.values()]
        return len(state) + sum(sizes)

    def prune(
        self, config: CheckpointConfig, saved: int, keep: Collection[int | None] = ()
    ) -> None:
        """Delete checkpoints that need not be kept, by the rule for a run's own; see `superseded`."""
        there = self.storage.sizes()
        steps = [step_of(Path(name)) for name in _with_state(there)]
        for step in superseded(steps, config, saved, keep):
            self.check_owner()
            name = checkpoint_name(step)
            self.storage.delete(f"{name}/{STATE}")
            self._delete_files(name, there)

    def sweep(self) -> None:
        """Delete what uploads and deletions left that were broken off: unfinished files, and those without a state."""
        self.check_owner()
        self.storage.sweep(lambda name: _OURS.fullmatch(name) is not None)

        there = self.storage.sizes()
        whole = _with_state(there)
        found = {match[1] for name in there if (match := _OURS.fullmatch(name))}
        for name in sorted(found - whole):
            log.info("%s: deletes the files of %s, which is not whole", self.storage.uri, name)
            self._delete_files(name, there)

    def _has(self, name: str, state: bytes) -> bool:
        """Whether a checkpoint is there with this state, and files of the sizes that it tells."""
        if name in self.damaged:
            return False
        with suppress(NotWholeError):
            if self.state_bytes(name) != state:
                return False
        there = self.storage.sizes(name)
        files = parse_state(state)["files"]
        return all(there.get(f"{name}/{file}") == entry["bytes"] for file, entry in files.items())

    def _send(self, path: Path, sha256: str, stop: threading.Event) -> None:
        """Upload a file; nothing of it is left in the store where its bytes are not what was saved."""
        digest = hashlib.sha256()
        target = f"{path.parent.name}/{path.name}"
        with open_regular(path) as source, self.storage.writer(target) as sink:
            while piece := source.read(_READ_BYTES):
                if stop.is_set():
                    raise StoppedError
                digest.update(piece)
                sink.write(piece)
            if digest.hexdigest() != sha256:
                raise NotWholeError(f"{path} is not what was written (sha256)")
            # It becomes a file of this name only now, and another owner may have one.
            self.check_owner()

    def _delete_files(self, name: str, there: Collection[str]) -> None:
        """Delete the files of a checkpoint whose state is gone."""
        for file in there:
            match = _OURS.fullmatch(file)
            if match and match[1] == name and match[2] != STATE:
                self.storage.delete(file)

        folder = local_folder(self.storage.uri)
        if folder:
            # What is not ours stays, and the folder with it.
            with suppress(OSError):
                (folder / name).rmdir()


def _with_state(names: Collection[str]) -> set[str]:
    """The checkpoints that have a state, of all names in a store."""
    matches = filter(None, map(_OURS.fullmatch, names))
    return {match[1] for match in matches if match[2] == STATE}
