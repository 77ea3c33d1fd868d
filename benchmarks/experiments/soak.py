"""Stream clips for half an hour, and note the memory of every minute.

`python -m surgstream.benchmarks.experiments.soak STORE` prints it.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

from surgstream.benchmarks.support.harness import conditions
from surgstream.benchmarks.support.material import NUM_FRAMES, long_corpus
from surgstream.benchmarks.themes.read_s3 import open_stream
from surgstream.configs.files import write_atomically
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage


def main() -> int:
    """Stream epoch after epoch; print one line a minute."""
    parser = argparse.ArgumentParser(
        prog="python -m surgstream.benchmarks.experiments.soak", description=__doc__
    )
    parser.add_argument(
        "store", metavar="STORE", help="a folder or s3:// prefix to fill and to read"
    )
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--save", type=Path, metavar="FILE")
    words = parser.parse_args()

    storage = open_storage(words.store)
    with tempfile.TemporaryDirectory() as scratch:
        long_corpus(Path(scratch), storage)

    rows: list[dict[str, float]] = []
    started = time.monotonic()
    num_clips = 0
    with open_stream(FrameTable.open(storage), num_frames=NUM_FRAMES, endless=True) as stream:
        for clips in itertools.takewhile(lambda _: len(rows) < words.minutes, stream):
            num_clips += len(clips)
            minute = len(rows) + 1
            if time.monotonic() - started >= 60 * minute:
                read = stream.counters.bytes_read
                rows.append(
                    {
                        "minute": minute,
                        "clips": num_clips,
                        "read_gb": read / 1e9,
                        "resident_mb": resident_mb(),
                    }
                )
                print(
                    ", ".join(f"{name} {value:,.0f}" for name, value in rows[-1].items()),
                    flush=True,
                )

    if words.save:
        write_atomically(words.save, json.dumps({**conditions(), "rows": rows}, indent=1))
    return 0


def resident_mb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    sys.exit(main())
