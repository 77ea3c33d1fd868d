"""Where a run runs: the site, what started it, its command line, and the versions that decide its numbers."""

import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from typing import Any

import torch

from surgstream.configs.printable import printable
from surgstream.shards.storage.base import without_secrets
from surgstream.trainer.preflight.node import installed_driver

SITE = "SURGSTREAM_SITE"
"""The variable in which `surgstream launch` gives a job the name of its site."""

NONE = "none"
"""What stands for a program that is not there."""

WITHHELD = "withheld"
"""What stands for a word of a command line that looks like a secret."""

_SECRET = re.compile(
    r"(?i)(secret|token|passw|credential|signature|api_?key|access_?key|hf_[a-z0-9]{8})"
)

_NCCL = ("nvidia-nccl-cu13", "nvidia-nccl-cu12")
"""The wheels that torch loads NCCL from."""

_MOST_WORDS = 64
_MOST_LETTERS = 512


def describe_site(environment: Mapping[str, str]) -> dict[str, Any]:
    """The site's name, the cluster, and what started the process.

    Args:
        environment: The variables of the process.
    """
    return {
        "name": environment.get(SITE),
        "cluster": environment.get("SLURM_CLUSTER_NAME"),
        "launcher": _launcher(environment),
    }


def describe_command(words: Sequence[str]) -> list[str]:
    """A command line without what looks like a secret, and not longer than anybody reads.

    Args:
        words: The words, the program's name first.
    """
    told = []
    for word in words[:_MOST_WORDS]:
        is_secret = _SECRET.search(word) is not None or without_secrets(word) != word
        told.append(WITHHELD if is_secret else printable(word)[:_MOST_LETTERS])
    return [told[0].rpartition("/")[2], *told[1:]] if told else []


def describe_versions() -> dict[str, str | None]:
    """Of Python, torch, CUDA, its driver, NCCL, DeepSpeed and DALI; `none` is not there, None is not known."""
    installed = {found.name.lower().replace("_", "-"): found.version for found in distributions()}
    dali = [name for name in installed if name.startswith("nvidia-dali-cuda")]
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or NONE,
        "driver": installed_driver(),
        "nccl": next(filter(None, map(installed.get, _NCCL)), None),
        "deepspeed": installed.get("deepspeed", NONE),
        "dali": installed[dali[0]] if dali else NONE,
    }


def _launcher(environment: Mapping[str, str]) -> str | None:
    if "TORCHELASTIC_RUN_ID" in environment:
        return "torchrun"
    if "SLURM_STEP_ID" in environment:
        return "srun"
    # Ranks that something else has started, which says nothing of itself.
    return None if "RANK" in environment else NONE
