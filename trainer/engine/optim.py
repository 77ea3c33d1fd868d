"""Which parameters are decayed."""

from typing import Any

from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters into decayed matrices and undecayed vectors and tokens.

    A parameter counts as a vector when all but one of its dimensions are 1: biases, norm scales, mask tokens (1, 1, D).
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.numel() > max(parameter.shape, default=1)]
    vectors = [parameter for parameter in trainable if parameter.numel() <= max(parameter.shape, default=1)]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
