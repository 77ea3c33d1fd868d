"""The shares of a GPU's time, from a trace that a run writes on SIGUSR2.

`python -m surgstream.benchmarks.experiments.gpu_time TRACE` prints it.
"""

import gzip
import itertools
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from surgstream.configs.columns import markdown

Span = tuple[float, float]

_ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")
_DECODES = re.compile("dali|nvjpeg|nvimgcodec", re.IGNORECASE)
_COMMUNICATES = re.compile("nccl", re.IGNORECASE)


def shares(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The share of a trace's time in which each part keeps the GPU busy.

    DALI has streams of its own: all that runs on a stream with one of its kernels is decoding. JPEGs that the GPU's own
    engines decode are no kernels, take nothing from the model, and do not show.

    Args:
        events: The events of a Chrome trace, as torch.profiler writes it.

    Returns:
        `model`, `decode` and `communication`, which may overlap; `decode alone`, while nothing else ran; and `idle`.

    Raises:
        ValueError: Nothing ran on a GPU.
    """
    events = [event for event in events if event.get("cat") in _ON_GPU]
    if not events:
        raise ValueError("expected kernels in the trace, got none; it is of a run without a GPU")

    decoding = {event["args"]["stream"] for event in events if _DECODES.search(event["name"])}
    spans: dict[str, list[Span]] = defaultdict(list)
    for event in events:
        if event["args"]["stream"] in decoding:
            part = "decode"
        else:
            part = "communication" if _COMMUNICATES.search(event["name"]) else "model"
        spans[part].append((event["ts"], event["ts"] + event["dur"]))

    # Streams overlap, so times are those of unions of spans, not sums
    everything = [*itertools.chain.from_iterable(spans.values())]
    whole = max(end for _, end in everything) - min(start for start, _ in everything)
    busy = {part: _covered(spans[part]) / whole for part in ("model", "decode", "communication")}
    alone = _covered(everything) - _covered(spans["model"] + spans["communication"])
    return {**busy, "decode alone": alone / whole, "idle": 1.0 - _covered(everything) / whole}


def _covered(spans: Iterable[Span]) -> float:
    """The time that some spans cover together."""
    covered = 0.0
    reached = float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def main(path: Path) -> None:
    """Print the shares of one trace."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        parts = shares(json.load(file)["traceEvents"])
    rows = [(part, f"{100 * share:.1f} %") for part, share in parts.items()]
    print(markdown([("part", "share of the time"), *rows]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
