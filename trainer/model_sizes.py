"""The sizes of a recipe's networks. Counting them needs torch; what is reckoned from them does not."""

import importlib.util
from dataclasses import dataclass

from surgstream.trainer.objectives.config import ObjectiveConfig


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Counts of an objective's networks.

    Attributes:
        parameters: Of each network, with `total` and `trainable`, which count what is trained alone.
        frozen_bytes: Bytes of parameters that only provide targets.
        num_averaged: Parameters that a moving average keeps once more.
        tokens: Of a `clip`, and how many of them are `visible` and `masked`.
        flops: Floating point operations of training on one clip, by network.
        activation_bytes: What is kept of one clip for its backward pass.
    """

    parameters: dict[str, int]
    frozen_bytes: int
    num_averaged: int
    tokens: dict[str, int]
    flops: dict[str, int]
    activation_bytes: int

    @property
    def checkpoint_bytes(self) -> int:
        """The bytes of one checkpoint: fp32 parameters, both moments of each, and averages."""
        return 4 * (3 * self.parameters["trainable"] + self.num_averaged)


def count_sizes(config: ObjectiveConfig) -> ModelSizes | None:
    """Count an objective's networks, which are built without memory; None where torch is not installed.

    For its backward pass a transformer block in bf16 keeps about 34 bytes for each token and unit of width (Korthikanti
    et al. 2022, equation 2, without the attention scores that fused kernels recompute), or 4 under activation
    checkpointing.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    choice = importlib.import_module("surgstream.trainer.objectives.choice")
    objective = choice.build_on_meta(config)

    activation_bytes = 0
    for network, num_tokens in objective.passes():
        kept_bytes = 4 if network.activation_checkpointing else 34
        activation_bytes += num_tokens * network.shape.embed_dim * network.shape.depth * kept_bytes

    return ModelSizes(
        parameters=objective.num_parameters(),
        frozen_bytes=objective.frozen_bytes(),
        num_averaged=sum(average.numel() for average in objective.averages().values()),
        tokens={
            "clip": objective.num_tokens,
            "visible": objective.num_visible,
            "masked": objective.num_masked,
        },
        flops=objective.flops(),
        activation_bytes=activation_bytes,
    )
