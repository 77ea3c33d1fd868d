"""The speed inside nodes, on four ranks that are taken for two nodes."""

import json
import os
from pathlib import Path

import pytest

from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.slow


def measure(out: str, nodes: list[str]) -> None:
    """Be one rank: measure inside the node, then over all."""
    import torch
    import torch.distributed as dist

    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.joining import join
    from surgstream.trainer.preflight import network

    rank_info = rank_info_from_environment(os.environ)
    join(rank_info, 60)
    node = nodes[rank_info.rank]
    sizes = []
    all_reduce = dist.all_reduce

    def note(values: torch.Tensor, group: dist.ProcessGroup | None = None) -> None:
        sizes.append(dist.get_world_size(group))
        all_reduce(values, group=group)

    dist.all_reduce = note
    device = torch.device("cpu")
    inside = network.node_bus_gb_per_second(device, 0.05, node)
    sizes_inside = set(sizes)
    between = network.bus_gb_per_second(device, 0.05)
    found = {"inside": inside, "between": between, "sizes": sorted(sizes_inside)}
    Path(out, f"{rank_info.rank}.json").write_text(json.dumps(found))
    leave()


@pytest.mark.parametrize(
    ("nodes", "sizes"),
    [(["a", "b", "a", "b"], [2, 2, 2, 2]), (["a", "b", "b", "b"], [0, 0, 0, 0])],
    ids=["two ranks each", "one rank alone"],
)
def test_each_node_is_measured_by_itself(
    nodes: list[str], sizes: list[int], tmp_path: Path
) -> None:
    assert finish(start_ranks(measure, 4, (str(tmp_path), nodes))) == [0, 0, 0, 0]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(4)]
    for rank, size in zip(found, sizes, strict=True):
        assert rank["sizes"] == ([size] if size else [])
        assert (rank["inside"] > 0) == bool(size)
        assert rank["between"] > 0, "and then all together"
