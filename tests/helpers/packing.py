"""Corpus files, and `surgstream pack` as a process."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from surgstream.shards.format.manifest import Manifest
from surgstream.shards.storage.stores import open_storage

ROOT = Path(__file__).parents[2]


def write_corpus(folder: Path, *datasets: dict[str, Any], **pack: Any) -> str:
    """Write a corpus file, and return its path."""
    described = [{"specialty": f"{d['name']}_specialty", "procedure": "p", **d} for d in datasets]
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump({"datasets": described, "pack": pack}))
    return str(path)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def load(folder: Path) -> Manifest:
    """The manifest of a corpus."""
    return Manifest.load(open_storage(str(folder)))


def start(*words: object) -> "subprocess.Popen[str]":
    """Start `surgstream` with these words, as a terminal would."""
    return subprocess.Popen(
        [sys.executable, "-m", "surgstream", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
