"""Which parameters are decayed, and at what share of the learning rate each is trained."""

from typing import Any

from torch import nn

from surgstream.trainer.objectives.base import Objective


def parameter_groups(
    module: nn.Module, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Split trainable parameters into decayed matrices and undecayed vectors and tokens, and these by depth.

    A parameter counts as a vector when it has one dimension, as those of biases and norm scales have; the head of a
    single number, (1, D), is a matrix. A parameter counts as tokens by its name, however many tokens it holds.

    Args:
        module: An objective, or what has no depths.
        weight_decay: The weight decay of matrices.
        layer_decay: With d of it, parameters at depth i of at most n have d^(n - i) times the learning rate.

    Returns:
        The groups, with `params`, `weight_decay`, `is_decayed` and `lr_scale`; without layer decay two, or one.
    """
    parts: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        is_token = name.rpartition(".")[2] in ("mask_token", "mask_tokens")
        is_vector = parameter.ndim < 2
        # Without layer decay all are as deep, so that there are no more groups than need be
        is_deep = layer_decay != 1
        depth = module.depth_of(name) if is_deep and isinstance(module, Objective) else 0
        parts.setdefault((depth, is_token or is_vector), []).append(parameter)

    deepest = max((depth for depth, _ in parts), default=0)
    return [
        {
            "params": parts[depth, undecayed],
            "weight_decay": 0.0 if undecayed else weight_decay,
            "is_decayed": not undecayed,
            "lr_scale": layer_decay ** (deepest - depth),
        }
        for depth, undecayed in sorted(parts)
    ]
