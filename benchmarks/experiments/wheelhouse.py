"""The size of a wheelhouse for GPUs, without downloading it.

`python -m surgstream.benchmarks.experiments.wheelhouse [--cuda 12]`, in a checkout, prints the files that pip would
install for this Python and kind of machine, the largest last, and their sum. PyPI alone is asked, and PyTorch's index
for CUDA 12, whatever pip is configured to: a build of torch for CPUs that is nearer is not taken.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from surgstream.configs.columns import columns

ROOT = Path(__file__).resolve().parents[2]
TORCH_OF_CUDA_12 = "https://download.pytorch.org/whl/cu126"


def main() -> None:
    """Ask pip what it would install, and the index how large each file is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuda", choices=("13", "12"), default="13")
    cuda = parser.parse_args().cuda

    sizes = {url: content_length(url) for url in urls(cuda)}
    rows = [
        [url.rpartition("/")[2], f"{size / 1e6:.1f} MB"]
        for url, size in sorted(sizes.items(), key=lambda item: item[1])
    ]
    print("\n".join(columns(rows)))
    print(f"CUDA {cuda}: {len(sizes)} files, {sum(sizes.values()) / 1e9:.2f} GB")


def urls(cuda: str) -> list[str]:
    """The files that pip would download for an install with CUDA `12` or `13`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_FIND")}
    clean["PIP_CONFIG_FILE"] = os.devnull
    if cuda == "12":
        clean["PIP_EXTRA_INDEX_URL"] = TORCH_OF_CUDA_12

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        what = ["-c", f"{ROOT}/constraints.txt", f"{ROOT}[pack,cuda{cuda}]"]
        subprocess.run([*pip, f"--report={report}", *what], env=clean, check=True)
        items = json.loads(report.read_text())["install"]

    found = [item["download_info"]["url"] for item in items]
    return [url for url in found if not url.startswith("file:")]  # our own


def content_length(url: str) -> int:
    """The size of a file on the web, in bytes."""
    head = urllib.request.Request(url, method="HEAD")
    with urllib.request.urlopen(head, timeout=60) as answer:
        return int(answer.headers["Content-Length"])


if __name__ == "__main__":
    main()
