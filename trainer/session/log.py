"""The log of a rank: on standard error, and in the run directory."""

import logging
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from surgstream.trainer.distributed import RankInfo

log = logging.getLogger(__name__)


class _LogFile(logging.FileHandler):
    """A log beside standard error. Once it cannot be written, the log says so, and the run goes on without it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.handleError`."""
        error = sys.exception()
        if not isinstance(error, OSError):  # this one message cannot be put together
            super().handleError(record)
            return

        logging.getLogger().removeHandler(self)
        log.warning("%s: %s; what follows is not written there", self.baseFilename, error)
        with suppress(OSError):  # what it still holds fails again
            self.close()


def configure_logging(rank_info: RankInfo, file: Path | None = None) -> None:
    """Log everything from rank 0 and warnings from the others, as `[rank r/W]`.

    Args:
        rank_info: This rank's place.
        file: A file that the log goes to as well.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if file:
        handlers.append(_LogFile(file, encoding="utf-8", errors="backslashreplace"))

    rank = f"[rank {rank_info.rank}/{rank_info.world_size}]"
    logging.basicConfig(
        handlers=handlers,
        level=logging.INFO if rank_info.is_main else logging.WARNING,
        format=f"%(asctime)s {rank} %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )

    for noisy in ("DeepSpeed", "deepspeed", "botocore", "nvidia", "timm"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # DeepSpeed 0.19 calls functions that torch 2.13 renames.
    warnings.filterwarnings("ignore", "`torch.distributed.*` is deprecated", FutureWarning)
