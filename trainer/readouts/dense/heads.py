"""The networks of dense heads: from tokens of one slice of time to a map of numbers a pixel.

- `DenseLinear`: one product a token (DINOv2). What goes in is batch-normalised, by whoever feeds it.
- `DensePyramid`: DPT, on four layers. Tokens of each are brought to a size of their own (4, 2, 1 and 1/2 places a
  token), and added from the smallest to the largest by residual convolutions.
- `CopiedNetwork`: any of them as a module of copies, which a bank takes.

Of depth a map has `NUM_BINS` numbers a place, which become one distance:

    depth = sum_i w_i b_i / sum_i w_i,   w_i = max(0, number_i) + 0.1,   b_i evenly from near to far
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

NUM_BINS = 256
_BIN_FLOOR = 0.1
_LINEAR_STD = 0.01


class DenseLinear(nn.Module):
    """A linear layer on each token.

    Args:
        embed_dim: D.
        num_outputs: C.
    """

    def __init__(self, embed_dim: int, num_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(embed_dim, num_outputs, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens (1, B, D, h, w) to maps (B, C, h, w)."""
        maps: Tensor = self.linear(tokens[0])
        return maps

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights from a normal distribution of deviation 0.01, as DINOv2 does; biases are zero."""
        nn.init.normal_(self.linear.weight, std=_LINEAR_STD, generator=generator)
        assert self.linear.bias is not None
        nn.init.zeros_(self.linear.bias)


class _Residual(nn.Module):
    """Two convolutions, whose outcome is added to what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return x + changed


class DensePyramid(nn.Module):
    """DPT (arXiv 2103.13413).

    Args:
        embed_dim: D.
        num_outputs: C.
        layer_widths: Maps of each layer when it is brought to its size.
        width: Maps of all of them when they are added.
    """

    def __init__(
        self,
        embed_dim: int,
        num_outputs: int,
        layer_widths: tuple[int, int, int, int],
        width: int,
    ) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(embed_dim, maps, 1) for maps in layer_widths)
        first, second, _, fourth = layer_widths
        self.resize = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, stride=4),
                nn.ConvTranspose2d(second, second, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, stride=2, padding=1),
            ]
        )
        self.widen = nn.ModuleList(
            nn.Conv2d(maps, width, 3, padding=1, bias=False) for maps in layer_widths
        )
        self.of_layer = nn.ModuleList(_Residual(width) for _ in layer_widths[:-1])
        self.of_sum = nn.ModuleList(_Residual(width) for _ in layer_widths)
        self.mix = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in layer_widths)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        self.score = nn.Conv2d(width, num_outputs, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens (4, B, D, h, w), of the first layer to the last, to maps (B, C, 8 h, 8 w)."""
        maps = [
            widen(resize(narrow(of_layer)))
            for of_layer, narrow, resize, widen in zip(
                tokens, self.narrow, self.resize, self.widen, strict=True
            )
        ]
        x = self.of_sum[-1](maps[-1])
        for number in (2, 1, 0):
            x = self.mix[number + 1](_resized(x, maps[number].shape[-2:]))
            x = self.of_sum[number](x + self.of_layer[number](maps[number]))

        rows, columns = x.shape[-2:]
        x = self.mix[0](_resized(x, torch.Size((2 * rows, 2 * columns))))
        scored: Tensor = self.score(F.relu(self.smooth(x)))
        return scored

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights by He's rule; biases are zero."""
        for parameter in self.parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)


class DepthOfBins(nn.Module):
    """A network whose maps of bins become distances.

    Args:
        network: From tokens to `NUM_BINS` numbers a place.
        near_mm: The distance of the first bin.
        far_mm: That of the last one.
    """

    def __init__(self, network: DenseLinear | DensePyramid, near_mm: float, far_mm: float) -> None:
        super().__init__()
        self.network = network
        self._ends = (near_mm, far_mm)

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens, as the network takes them, to millimetres (B, 1, h', w')."""
        numbers = self.network(tokens).float()
        weights = numbers.relu() + _BIN_FLOOR
        bins = torch.linspace(*self._ends, NUM_BINS, device=numbers.device)
        summed = torch.einsum("bnhw,n->bhw", weights, bins)
        depth: Tensor = (summed / weights.sum(1))[:, None]
        return depth

    def initialise(self, generator: torch.Generator) -> None:
        """Initialise the network."""
        self.network.initialise(generator)


DenseNetwork = DenseLinear | DensePyramid | DepthOfBins


class CopiedNetwork(nn.Module):
    """Copies of a network, computed one after another: its parameters with a leading axis.

    Args:
        network: The network, with the weights that all copies begin with.
        tokens: The shape of what it takes of one clip, (L, 1, D, h, w).
    """

    def __init__(self, network: DenseNetwork, tokens: tuple[int, ...]) -> None:
        super().__init__()
        self._names = {name.replace(".", "/"): name for name, _ in network.named_parameters()}
        for own, name in self._names.items():
            first = network.get_parameter(name).detach().clone()
            self.register_parameter(own, nn.Parameter(first[None]))

        # Not a module of this one, whose parameters are the copies alone
        self._shapes = (network.to("meta"),)
        self._flops = self._count(tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens (L, B, D, h, w) to maps (copies, B, C, h', w')."""
        # A bank puts plain tensors in the place of parameters
        copies: dict[str, Tensor] = {name: getattr(self, own) for own, name in self._names.items()}
        num_copies = len(next(iter(copies.values())))
        return torch.stack(
            [
                functional_call(
                    self._shapes[0], {name: value[i] for name, value in copies.items()}, (tokens,)
                )
                for i in range(num_copies)
            ]
        )

    def flops(self, num_tokens: int) -> int:
        """Floating point operations of one copy's forward pass of one clip, whose tokens are known."""
        return self._flops

    def _count(self, tokens: tuple[int, ...]) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self._shapes[0](torch.empty(tokens, device="meta"))
        return int(counter.get_total_flops())


def _resized(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
