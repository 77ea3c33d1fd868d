"""The table of `surgstream loader`."""

from collections.abc import Mapping
from typing import Any

from surgstream.configs.columns import columns

HEADER = ("node", "ranks", "clips/s", "GB/s", "GETs/s", "retries", "waits")


def table(result: Mapping[str, Any]) -> str:
    """Format the numbers of each node and of all nodes, and the slowest rank, for a terminal.

    Args:
        result: What `surgstream loader` measured; see `trainer.commands.loader.measure`.
    """
    work = "read and decoded" if result["decode"] else "read, not decoded"
    lines = [
        f"clips {work} in {result['seconds']:g} s, "
        f"after {result['warm_up_seconds']:g} s to warm up",
        "",
    ]

    rows: list[tuple[str, ...]] = [HEADER]
    rows += [_row(node["host"], node) for node in result["nodes"]]
    rows.append(_row("all", result["total"]))

    lines += columns(rows)

    # In training every step waits for the slowest rank, so all go at its pace.
    total = result["total"]
    slowest = min(result["ranks"], key=lambda rank: float(rank["clips"] / rank["seconds"]))
    speed = total["slowest_rank_clips_per_second"]
    lines += [
        "",
        f"slowest rank: {slowest['rank']} on {slowest['host']}, {speed:,.1f} clips/s; "
        f"all in step with it, as in training: {speed * result['world_size']:,.1f}",
        f"every rank had its first batch after {total['first_batch_seconds']:.1f} s",
    ]
    return "\n".join(lines)


def _row(name: str, group: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        name,
        f"{group['ranks']}",
        f"{group['clips_per_second']:,.1f}",
        f"{group['gigabytes_per_second']:.3f}",
        f"{group['requests_per_second']:,.1f}",
        f"{sum(group['retries'].values()):,}",
        f"{100 * group['wait_share']:.0f} %",
    )
