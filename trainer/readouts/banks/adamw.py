"""AdamW for a bank of heads, each with a learning rate and weight decay of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from surgstream.trainer.readouts.banks.bank import HeadBank, Stack

_BETAS = (0.9, 0.999)
_EPS = 1e-8


class StackedAdamW:
    """Decoupled weight decay (arXiv 1711.05101), for each head as `torch.optim.AdamW` alone.

    Matrices decay, and vectors do not: neither biases and norms nor an attentive head's query, as in all recipes here.
    V-JEPA 2's code lets these decay as well.

    Args:
        bank: The heads.
        lrs: (H,) peak learning rates.
        weight_decays: (H,) weight decays.

    Attributes:
        first_moments: Moving averages of the gradients.
        second_moments: Moving averages of their squares.
        num_steps: Steps taken.
    """

    def __init__(
        self, bank: HeadBank, lrs: Sequence[float], weight_decays: Sequence[float]
    ) -> None:
        like = bank.weights.flat
        self._bank = bank
        self._lrs = torch.tensor(lrs, dtype=like.dtype, device=like.device)
        self._weight_decays = torch.tensor(weight_decays, dtype=like.dtype, device=like.device)
        self.first_moments = Stack(bank.shapes, bank.num_heads, like)
        self.second_moments = Stack(bank.shapes, bank.num_heads, like)
        self.num_steps = 0

    @torch.no_grad()
    def step(self, share_of_peak: float, alive: Tensor) -> None:
        """Update the weights of the heads that are alive by the bank's gradients.

        Args:
            share_of_peak: The learning rate of this step, as a share of each head's peak.
            alive: (H,) bool; the weights of other heads stay as they are.
        """
        self.num_steps += 1
        lrs = torch.where(alive, self._lrs * share_of_peak, 0.0)
        shrink = 1.0 - lrs * self._weight_decays
        rates = lrs / (1.0 - _BETAS[0] ** self.num_steps)
        second_scale = (1.0 - _BETAS[1] ** self.num_steps) ** 0.5

        for name, weight in self._bank.weights.tensors.items():
            # A head that is dropped has gradients that are not finite, and 0 x NaN is NaN
            dead = _like(~alive, weight)
            gradient = self._bank.gradients.tensors[name].masked_fill_(dead, 0.0)
            first = self.first_moments.tensors[name].lerp_(gradient, 1.0 - _BETAS[0])
            second = self.second_moments.tensors[name]
            second.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1.0 - _BETAS[1])

            if weight.ndim > 2:
                weight.mul_(_like(shrink, weight))
            update = first / (second.sqrt() / second_scale + _EPS)
            weight.sub_(update.mul_(_like(rates, weight)))


def _like(values: Tensor, tensor: Tensor) -> Tensor:
    """Values of each head, (H,) to (H, 1, ...), to go with a tensor of all heads."""
    return values.view(-1, *(1,) * (tensor.ndim - 1))
