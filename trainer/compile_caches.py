"""Puts the caches of compilers on the node's own disk, since hundreds of ranks share a home."""

import os
from collections.abc import MutableMapping
from pathlib import Path

CACHES = {
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
}
"""The variables of torch, Triton and DeepSpeed's extensions, and the folder of each."""


def keep_on_node(environment: MutableMapping[str, str]) -> None:
    """Point compilers to a folder of this job and user on the node's disk; variables that are set stay as they are.

    The ranks of a node share the folder, and so do restarts of the job there. Without Slurm, all runs of the user do.

    Args:
        environment: `os.environ`, or a copy, which is changed.
    """
    disks = (environment.get(name) for name in ("SLURM_TMPDIR", "TMPDIR"))
    disk = next((disk for disk in disks if disk and os.path.isdir(disk)), "/tmp")
    parts = ["surgstream", str(os.getuid()), environment.get("SLURM_JOB_ID")]
    folder = Path(disk) / "-".join(filter(None, parts))

    if _is_ours(folder):
        for name, cache in CACHES.items():
            environment.setdefault(name, str(folder / cache))


def _is_ours(folder: Path) -> bool:
    """Make a folder, and check that this user alone may write there, since compiled code in it is run."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and found.st_uid == os.getuid()
        and not found.st_mode & 0o022
    )
