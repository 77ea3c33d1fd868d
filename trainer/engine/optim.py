"""The parameters that are decayed, and those that are not."""

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters into decayed matrices and undecayed vectors and tokens.

    A parameter counts as a vector when all but one of its dimensions are 1, as those of biases and norm scales are. A
    parameter counts as tokens by its name, however many tokens it holds.
    """
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []

    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        is_token = name.rpartition(".")[2] in ("mask_token", "mask_tokens")
        is_vector = parameter.numel() <= max(parameter.shape, default=1)
        if is_token or is_vector:
            vectors.append(parameter)
        else:
            matrices.append(parameter)

    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
