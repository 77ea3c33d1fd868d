"""`surgstream bench scale`: what 1 to 4096 ranks ask of a store and of themselves, and some processes really do."""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surgstream.benchmarks.support.harness import conditions
from surgstream.benchmarks.support.material import long_corpus
from surgstream.benchmarks.support.simulation import RANKS_PER_NODE, Traffic, simulate
from surgstream.benchmarks.themes.draw_order import SIZES
from surgstream.configs.columns import markdown
from surgstream.configs.errors import ConfigError
from surgstream.configs.files import write_atomically
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.runs.plot import Line, Panel, draw

GLOBAL_BATCH_SIZE = 2048
MICRO_BATCH_SIZE = 64
LOOK_BACK = 60
CONFIG = OrderConfig(open_chunks=2048, chunk_frames=320)
CLIPS_PER_RANK = (64, 4)
RANKS = (1, 4, 16, 64, 256, 512, 1024, 2048, 4096)
START = 500 * 2048
WARM_UP = 350 * 2048
COUNT = 650 * 2048


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream bench scale`."""
    traffic = weak_and_strong(RANKS if words.ranks is None else words.ranks)
    if traffic:
        print(table(traffic, words.rate) + "\n", flush=True)

    runs: list[dict[str, Any]] = []
    if words.processes:
        with tempfile.TemporaryDirectory() as scratch:
            recipe = [words.recipe, *(words.overrides or small_reading(Path(scratch)))]
            # Interleaved, so that what disturbs the machine meets all numbers of processes
            for _ in range(words.repeats):
                for number in words.processes:
                    runs.append(
                        run_loader(
                            number, [*recipe, "--seconds", str(words.seconds)], Path(scratch)
                        )
                    )
        print(run_table(runs), flush=True)

    if words.save:
        words.save.mkdir(parents=True, exist_ok=True)
        path = words.save / f"scale_{words.hardware}_{time.strftime('%Y%m')}.json"
        tree = {
            **conditions(),
            "rate": words.rate,
            "simulated": list(map(asdict, traffic)),
            "runs": runs,
        }
        write_atomically(path, json.dumps(tree, indent=1))
        if traffic:
            path.with_suffix(".svg").write_text(plot(traffic, words.rate), encoding="utf-8")

    return 0


def weak_and_strong(ranks: Sequence[int]) -> list[Traffic]:
    """Simulate the published batch on every number of ranks that can share it, then fixed clips a rank."""
    order = Order.create(SIZES, 0, CONFIG)
    sharing = [number for number in ranks if GLOBAL_BATCH_SIZE % number == 0]
    sizes = [(number, GLOBAL_BATCH_SIZE // number) for number in sharing]
    for clips in CLIPS_PER_RANK:
        sizes += [(number, clips) for number in ranks]

    # A size that is of both kinds is simulated once
    return [
        simulate(
            order,
            ranks=number,
            clips_per_rank=clips,
            micro_batch_size=min(MICRO_BATCH_SIZE, clips),
            look_back=LOOK_BACK,
            start=START,
            warm_up=WARM_UP,
            count=COUNT,
        )
        for number, clips in dict.fromkeys(sizes)
    ]


def table(traffic: Sequence[Traffic], rate: float) -> str:
    """Lay the simulation out as Markdown, for ranks that take `rate` clips/s each."""
    heading = (
        "ranks",
        "batch",
        "kB a clip",
        f"a node's {RANKS_PER_NODE} sharing",
        "ranks a chunk",
        "GETs/s",
        "GB/s",
        "peak/mean",
        "open MB a rank: mean, most",
        "of a node",
        "read ahead MB a rank",
        "order CPU ms a step",
        "of a step's time",
    )
    rows = [heading]

    for one in traffic:
        total_rate = rate * one.ranks
        # CPU seconds of planning a step over the seconds that its clips last at `rate`
        share = one.step_ms / 1e3 * rate / one.clips_per_rank
        row = (
            f"{one.ranks:,}",
            f"{one.global_batch_size:,}",
            f"{one.kb_per_clip:.1f}",
            f"{one.node_kb_per_clip:.1f}",
            f"{one.readers:.2f}",
            f"{total_rate * one.gets_per_clip:,.1f}",
            f"{total_rate * one.kb_per_clip / 1e6:,.2f}",
            f"{one.peak:.2f}",
            f"{one.open_mb:,.0f}, {one.most_open_mb:,.0f}",
            f"{node_mb(one):,.0f}",
            f"{one.ahead_mb:,.0f}",
            f"{one.step_ms:.1f}",
            f"{100 * share:.1f} %",
        )
        rows.append(row)

    title = f"simulated, GETs/s and GB/s at {rate:g} clips/s a rank"
    return f"{title}\n\n{markdown(rows, left=0)}"


def node_mb(row: Traffic) -> float:
    """The size of all chunks that the ranks of a node hold open, in 10^6 bytes."""
    return row.open_mb * min(row.ranks, RANKS_PER_NODE)


def small_reading(folder: Path) -> list[str]:
    """Overrides that let a few cores read SurgVISTA's clips from chunks that come and go, of a corpus made here."""
    corpus = folder / "long"
    long_corpus(folder, open_storage(str(corpus)))
    return [
        f"data.corpus={corpus}",
        "data.fps=null",  # that of what is made here
        "held_out=null",
        "global_batch_size=64",
        "micro_batch_size=8",
        "data.order.open_chunks=64",
        "data.order.chunk_frames=64",
    ]


def run_loader(processes: int, command: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run `surgstream loader` in some processes of this machine.

    Args:
        processes: Number of processes.
        command: The words after `loader`.
        folder: A folder for its result, until it is read.

    Returns:
        The numbers of all processes together, and of each its rate.

    Raises:
        ConfigError: It failed, with what it said last.
    """
    out = folder / "loader.json"
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    words += ["-m", "surgstream", "loader", *command, "--warm-up", "5", "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True)

    if done.returncode:
        said = re.search(
            r"^surgstream.*(\n +.*)*", done.stderr, re.MULTILINE
        )  # torchrun says much more
        raise ConfigError(
            f"surgstream loader in {processes} processes: expected numbers, got: "
            + " ".join((said.group() if said else done.stderr[-500:]).split())
        )

    tree: Mapping[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    rates = [rank["clips"] / rank["seconds"] for rank in tree["ranks"]]
    return {
        "processes": processes,
        "total": tree["total"],
        "rank_clips_per_second": rates,
        "config": tree["config"],
    }


def run_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Lay real runs out as Markdown: medians over repeats, and the least and most."""
    heading = (
        "processes",
        "clips/s",
        "least to most",
        "slowest rank",
        "GETs/s",
        "kB a clip",
        "cores busy",
        "first batch s",
    )
    rows = [heading]
    for number in dict.fromkeys(run["processes"] for run in runs):
        totals = [run["total"] for run in runs if run["processes"] == number]
        rates = [total["clips_per_second"] for total in totals]

        def median(name: str, totals: Sequence[Mapping[str, Any]] = totals) -> float:
            return statistics.median(total[name] or 0.0 for total in totals)

        row = (
            f"{number}",
            f"{statistics.median(rates):,.1f}",
            f"{min(rates):,.1f} to {max(rates):,.1f}",
            f"{median('slowest_rank_clips_per_second'):,.1f}",
            f"{median('requests_per_second'):,.1f}",
            f"{median('bytes_read_per_clip') / 1e3:.1f}",
            f"{median('cores_busy'):.2f}",
            f"{median('first_batch_seconds'):.1f}",
        )
        rows.append(row)
    return f"`surgstream loader` on this machine\n\n{markdown(rows, left=0)}"


def plot(traffic: Sequence[Traffic], rate: float) -> str:
    """Draw the simulation over ranks, as an SVG file's text."""
    groups: dict[str, list[Traffic]] = defaultdict(list)
    for row in sorted(traffic, key=lambda row: row.ranks):
        if row.global_batch_size == GLOBAL_BATCH_SIZE:
            groups[f"{GLOBAL_BATCH_SIZE} clips a step"].append(row)
    for row in sorted(traffic, key=lambda row: row.ranks):
        if row.clips_per_rank in CLIPS_PER_RANK:
            groups[f"{row.clips_per_rank} clips a rank"].append(row)

    def panel(
        title: str, value: Callable[[Traffic], float], limit: tuple[float, str] | None = None
    ) -> Panel:
        lines = [
            Line(name, [(row.ranks, value(row)) for row in rows]) for name, rows in groups.items()
        ]
        return Panel(title, "ranks", lines, limit)

    buffer = (ReadConfig().buffer_bytes / 1e6, "data.read.buffer_bytes by default")
    panels = [
        panel("read for a clip, kB", lambda row: row.kb_per_clip),
        panel(
            f"GETs/s of all, {rate:g} clips/s a rank",
            lambda row: rate * row.ranks * row.gets_per_clip,
        ),
        panel("open chunks of a rank, MB", lambda row: row.open_mb, buffer),
        panel("order and placement of a step, CPU ms", lambda row: row.step_ms),
    ]
    return draw(
        "What more ranks cost",
        "simulated: SurgVISTA's corpus, 2048 lanes, chunks of 320 frames of 20 kB",
        panels,
    )
