"""The work of `surgstream demo`: a shell script, by the interpreter that runs this."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

NEEDED = ("av", "cv2", "torch", "deepspeed", "nvidia", "scipy")


def run(words: argparse.Namespace) -> int:
    """Run the demo; returns its exit status.

    Raises:
        ModuleNotFoundError: What it needs is not installed.
    """
    # At once, and not after the minutes of the steps that need less.
    for package in NEEDED:
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)

    script = Path(__file__).with_name("demo.sh")
    folders = [words.out, *filter(None, [words.videos])]
    settings = {"PYTHON": sys.executable, "STEPS": str(words.steps)}
    return _waited_for(["bash", str(script), *map(str, folders)], os.environ | settings)


def _waited_for(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end, also when it is asked to stop: what it has started may need a while to save."""
    asked: list[int] = []
    # A group of its own, so that Ctrl-C reaches it once, as do signals to this process alone.
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, process_group=0
    ) as script:

        def pass_on(number: int, _: FrameType | None) -> None:
            asked.append(number)
            # A shell that is interrupted waits for what it has started; otherwise it would leave it behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGINT)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, pass_on)
        status = script.wait()

    return 128 + asked[0] if asked else status
