"""The audit log of a run: which step and rank consumed which clip."""

import json
from pathlib import Path

from surgstream.configs.files import naming
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.runs.files import AUDIT


class AuditLog:
    """Appends a line a clip to this rank's file."""

    def __init__(self, run_dir: Path, rank: int) -> None:
        """Open the rank's file in the run directory."""
        self._rank = rank
        self._file = (run_dir / AUDIT / f"rank{rank:05d}.jsonl").open("a")

    def write(self, step: int, batch: ClipBatch) -> None:
        """Log the clips of a micro-batch."""
        with naming(self._file.name):
            for g, name in zip(batch.draws.tolist(), batch.names, strict=True):
                entry = {"g": g, "step": step, "rank": self._rank, **name._asdict()}
                if name.planned is None:
                    del entry["planned"]
                self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
