"""What makes two frozen encoders the same: their weights and the numbers that decide their features."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def identity_of(numbers: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of an encoder, in hexadecimal.

    Neither files nor paths count, so an encoder is the same in any layout and any folder. A gigabyte takes seconds.

    Args:
        numbers: All that decides its features beside the weights, as JSON has it.
        weights: Its weights by name, on the CPU.
    """
    digest = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach()
        header = [name, str(tensor.dtype), list(tensor.shape)]
        digest.update(json.dumps(header).encode())
        # As bytes, since NumPy has no bf16
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
