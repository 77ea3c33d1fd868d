"""Initial weights, as the published codes draw them."""

import math
import re

import torch
from torch import nn

_BRANCH_END = re.compile(r"blocks\.(\d+)\.(?:attention\.projection|mlp\.2)\.weight$")


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Initialise a model built of this package's parts, as VideoMAE and SurgVISTA do.

    Matrices (with queries, keys and values as one) are Xavier uniform, biases zero, norms one. Mask tokens are a normal
    distribution of standard deviation 0.02 that is cut off there. The embedding's weights and biases are uniform up to
    1 / sqrt(values of a tubelet), PyTorch's default of the Conv3d that it is, half as large as a matrix of it would be.

    Args:
        module: Changed in place, parameter by parameter in the order of their names.
        generator: The only source of randomness.
    """
    for name, parameter in module.named_parameters():
        # The order decides: mask tokens have one axis as norms do, and the embedding has a bias.
        if name.endswith("mask_token"):
            nn.init.trunc_normal_(parameter, std=0.02, a=-0.02, b=0.02, generator=generator)
        elif "embedding." in name and "projection" in name:
            weight = module.get_parameter(f"{name.rpartition('.')[0]}.weight")
            bound = weight.shape[1] ** -0.5
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        elif name.endswith("bias") or ".modality." in name:
            nn.init.zeros_(parameter)
        elif parameter.ndim == 1:
            nn.init.ones_(parameter)
        else:
            nn.init.xavier_uniform_(parameter, generator=generator)


def initialise_rescaled(module: nn.Module, generator: torch.Generator) -> None:
    """Initialise a model built of this package's parts, as V-JEPA does.

    Matrices are truncated normal with standard deviation 0.02, and those that end block i's two residual branches,
    counted from 1, are divided by sqrt(2 i); mask tokens and biases are zero, norms one. Embeddings of what tokens are
    of are normal with standard deviation 1e-6.

    Args:
        module: Changed in place, parameter by parameter in the order of their names.
        generator: The only source of randomness.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("bias", "mask_tokens")):
                nn.init.zeros_(parameter)
            elif ".modality." in name:
                nn.init.normal_(parameter, std=1e-6, generator=generator)
            elif parameter.ndim == 1:
                nn.init.ones_(parameter)
            else:
                nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
                last = _BRANCH_END.search(name)
                if last:
                    # Names count blocks from 0, the formula from 1
                    number = int(last[1]) + 1
                    parameter.div_(math.sqrt(2 * number))
