"""The work of `surgstream demo`: a shell script, by the interpreter that runs this."""

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

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
    done = subprocess.run(["bash", str(script), *map(str, folders)], env=os.environ | settings)
    return done.returncode
