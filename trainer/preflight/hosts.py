"""The connections between hosts: gloo's, beside NCCL's between GPUs."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from surgstream.trainer.errors import PreflightError
from surgstream.trainer.host.interface import GLOO_INTERFACE, interface_in_words


def check_hosts(seconds: float) -> bool:
    """Connect all hosts by gloo and add up over them; collective.

    Args:
        seconds: The longest that either may take.

    Returns:
        True.

    Raises:
        PreflightError: The hosts cannot reach each other, and the interface is named; or the sum is wrong.
    """
    total = torch.ones(1)
    try:
        group = dist.new_group(backend="gloo", timeout=timedelta(seconds=seconds))
        dist.all_reduce(total, group=group)
        dist.destroy_process_group(group)
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), "")
        raise PreflightError(
            f"gloo cannot connect all hosts over {interface_in_words(os.environ)} ({reason}); "
            f"set {GLOO_INTERFACE} to the interface that they share"
        ) from None

    num_ranks = dist.get_world_size()
    if total.item() != num_ranks:
        raise PreflightError(
            f"a sum of ones over {num_ranks} ranks by gloo is {total.item():g}; "
            "the network between hosts loses data"
        )
    return True
