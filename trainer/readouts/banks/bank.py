"""A bank: H heads of one shape with parameters of their own, trained together on what one encoder sees."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

LOSS = "loss"
"""The entry of a bank's gradients that has the heads' losses, so that ranks sum both at once."""


class Stack:
    """Tensors of H heads, (H, ...) by name, that lie in one flat tensor.

    Args:
        shapes: The shape of one head's tensor, by name.
        num_heads: H.
        like: A tensor of the device and type that they have.

    Attributes:
        flat: All of them in one.
        tensors: Views of it, by name.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], num_heads: int, like: Tensor) -> None:
        sizes = [num_heads * shape.numel() for shape in shapes.values()]
        self.flat = like.new_zeros(sum(sizes))
        self.tensors = {
            name: part.view(num_heads, *shape)
            for (name, shape), part in zip(
                shapes.items(), torch.split(self.flat, sizes), strict=True
            )
        }

    def of_head(self, head: int) -> Tensor:
        """A copy of what belongs to one head, flat."""
        return torch.cat([tensor[head].flatten() for tensor in self.tensors.values()])

    def finite(self) -> Tensor:
        """(H,) bool, whether all numbers of a head are finite."""
        by_name = [
            tensor.isfinite().view(len(tensor), -1).all(1) for tensor in self.tensors.values()
        ]
        return torch.stack(by_name).all(0)


class HeadBank:
    """H heads that begin alike, so that nothing but their learning rates and decays makes them differ.

    The loss is the sum of the heads', so that the gradient of each is what it would be alone. Heads are computed in
    groups, one after another, of which one group's activations are in memory at a time.

    Args:
        network: One copy of a head, of modules that take any number of copies; see `trainer.readouts.banks.attentive`.
        num_heads: H.
        device: The device.
        heads_at_once: Heads of a group; None takes all.

    Attributes:
        weights: The parameters of all heads.
        gradients: The sum of what `backward` has found since the last `clear`, and the losses.
        heads_at_once: Heads of a group.
    """

    def __init__(
        self,
        network: nn.Module,
        num_heads: int,
        device: torch.device,
        heads_at_once: int | None = None,
    ) -> None:
        named = dict(network.named_parameters())
        shapes = {name: parameter.shape[1:] for name, parameter in named.items()}
        like = next(iter(named.values())).detach().to(device)

        self.num_heads = num_heads
        self.shapes = shapes
        self.heads_at_once = min(heads_at_once or num_heads, num_heads)
        self.weights = Stack(shapes, num_heads, like)
        for name, parameter in named.items():
            self.weights.tensors[name].copy_(parameter.detach())
        self.gradients = Stack({**shapes, LOSS: torch.Size([])}, num_heads, like)

        # Shapes alone are of use from now on
        self._network = network.to("meta")

    @property
    def parameters_per_head(self) -> int:
        """Parameters of one head."""
        return sum(shape.numel() for shape in self.shapes.values())

    @property
    def losses(self) -> Tensor:
        """(H,), the sum of what `backward` was given since the last `clear`."""
        return self.gradients.tensors[LOSS]

    def clear(self) -> None:
        """Forget gradients and losses."""
        self.gradients.flat.zero_()

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        """Compute all heads; from what they take of B clips to (H, B, C), in single precision at least."""
        found = []
        for group in self._groups():
            weights = {name: tensor[group] for name, tensor in self.weights.tensors.items()}
            found.append(_wide(functional_call(self._network, weights, (inputs,))))
        return torch.cat(found)

    def backward(self, inputs: Tensor, losses_of: Callable[[Tensor], Tensor]) -> None:
        """Add the gradients and losses of B clips.

        Args:
            inputs: What the heads take of them.
            losses_of: From the logits (K, B, C) of K heads to their losses (K,).
        """
        for group in self._groups():
            leaves = {
                name: tensor[group].detach().requires_grad_()
                for name, tensor in self.weights.tensors.items()
            }
            with torch.enable_grad():
                logits = _wide(functional_call(self._network, leaves, (inputs,)))
                losses = losses_of(logits)
                found = torch.autograd.grad(losses.sum(), list(leaves.values()))

            self.losses[group] += losses.detach()
            for name, gradient in zip(leaves, found, strict=True):
                self.gradients.tensors[name][group] += gradient

    def one(self, weights: Tensor) -> dict[str, Tensor]:
        """One head's tensors, each (1, ...), from the flat one that `Stack.of_head` gave."""
        parts = torch.split(weights, [shape.numel() for shape in self.shapes.values()])
        return {
            name: part.view(1, *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    @torch.no_grad()
    def logits_of_one(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Compute a head that `Stack.of_head` gave at some time; (1, B, C)."""
        return _wide(functional_call(self._network, self.one(weights), (inputs,)))

    def _groups(self) -> Iterator[slice]:
        for first in range(0, self.num_heads, self.heads_at_once):
            yield slice(first, min(first + self.heads_at_once, self.num_heads))


def _wide(logits: Tensor) -> Tensor:
    """Logits in single precision at least, for losses."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
