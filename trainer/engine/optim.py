"""Which parameters are decayed."""

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters into decayed matrices and undecayed vectors and tokens.

    A parameter counts as a vector when all but one of its dimensions are 1, as of biases and norm scales; a token is
    one whose name says so, however many there are of it.
    """
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []

    for name, parameter in module.named_parameters():
        is_token = name.rpartition(".")[2] in ("mask_token", "mask_tokens")
        is_vector = is_token or parameter.numel() <= max(parameter.shape, default=1)
        if parameter.requires_grad:
            (vectors if is_vector else matrices).append(parameter)

    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
