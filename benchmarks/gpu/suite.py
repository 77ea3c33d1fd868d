"""The tests that need a GPU, a process for each file, those that decode on a GPU last."""

import re
import subprocess
import sys
from pathlib import Path

from surgstream.benchmarks.gpu.findings import report

ROOT = Path(__file__).resolve().parents[2]
RISKY = ("tests/trainer/data/test_decode.py", "tests/end_to_end/test_gpu.py")
"""Files whose tests decode on the GPU, or make it hang."""

_FILE_SECONDS = 90
_MARK = "mark.gpu"
_COUNT = re.compile(r"(\d+) (passed|failed|errors?)")
# Versions of packages other than the pinned ones may warn
_PYTEST = (sys.executable, "-m", "pytest", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider")


def main() -> None:
    """Report how each file's tests ended."""
    for file in files_with_gpu_tests():
        run_file(file)


def files_with_gpu_tests() -> list[str]:
    """The files that have such tests, in the order in which they are run."""
    # Collecting imports what tests import: those without the word need not be looked at.
    named = [
        path for path in sorted((ROOT / "tests").rglob("test_*.py")) if _MARK in path.read_text()
    ]
    command = [*_PYTEST, "--collect-only", *(str(path.relative_to(ROOT)) for path in named)]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    files = {line.partition("::")[0] for line in listing.splitlines() if "::" in line}
    return [*sorted(files.difference(RISKY)), *(file for file in RISKY if file in files)]


def run_file(file: str) -> None:
    """Run the tests of a file, and report the numbers of those that passed and failed, or how they broke off."""
    try:
        done = subprocess.run(
            [*_PYTEST, file], cwd=ROOT, capture_output=True, text=True, timeout=_FILE_SECONDS
        )
    except subprocess.TimeoutExpired:
        report(file=file, broke_off=f"no end within {_FILE_SECONDS} s")
        return

    counts = {kind: int(number) for number, kind in _COUNT.findall(done.stdout)}
    failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    report(file=file, exit_status=done.returncode, **counts, failures=failures)


if __name__ == "__main__":
    main()
