"""The optimizer's settings, and which parameters are decayed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its learning-rate schedule (see `trainer.engine.schedules`).

    Attributes:
        base_lr: Peak learning rate for a global batch of 256 clips; the peak grows linearly with the global batch.
        min_lr: Learning rate at the end of the cosine, not scaled.
        warmup_start_lr: Learning rate of the first step, not scaled.
        warmup_epochs: Length of the linear warm-up.
        weight_decay: Decoupled weight decay of matrices; vectors (biases, norms) and tokens are not decayed.
        beta1: Decay rate of the first moment.
        beta2: Decay rate of the second moment.
        eps: AdamW's epsilon.
        clip_grad_norm: Largest L2 norm of the full gradient; 0 does not clip.
    """

    base_lr: float = 1.5e-4
    min_lr: float = 1e-5
    warmup_start_lr: float = 0.0
    warmup_epochs: float = 40.0
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip_grad_norm: float = 0.0

    @property
    def betas(self) -> tuple[float, float]:
        """AdamW's pair of moment decay rates."""
        return self.beta1, self.beta2

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        for name in ("base_lr", "eps"):
            if getattr(self, name) <= 0:
                yield f"{name}: expected a number above 0, got {getattr(self, name)}"
        for name in ("min_lr", "warmup_start_lr", "warmup_epochs", "weight_decay", "clip_grad_norm"):
            if getattr(self, name) < 0:
                yield f"{name}: expected 0 or more, got {getattr(self, name)}"
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                yield f"{name}: expected a number in [0, 1), got {getattr(self, name)}"


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters into decayed matrices and undecayed vectors and tokens.

    A parameter counts as a vector when all but one of its dimensions are 1: biases, norm scales, mask tokens (1, 1, D).
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.numel() > max(parameter.shape, default=1)]
    vectors = [parameter for parameter in trainable if parameter.numel() <= max(parameter.shape, default=1)]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
