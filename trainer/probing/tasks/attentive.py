"""Attentive readouts of tokens that lie in the ranks' memory, trained together and chosen on videos that are left out.

Each step's clips are drawn for all ranks together, and each rank computes those that it has: the sum of their gradients
is that of the whole batch, so the ranks decide nothing.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from surgstream.shards.keyed_random import Purpose, choice, hash64
from surgstream.trainer.probing.config import ProbeConfig
from surgstream.trainer.probing.linear_probe import folds_of
from surgstream.trainer.probing.tasks.clips import PollStop
from surgstream.trainer.readouts.bank_config import AttentiveConfig
from surgstream.trainer.readouts.banks.adamw import StackedAdamW
from surgstream.trainer.readouts.banks.bank import HeadBank
from surgstream.trainer.readouts.banks.heads import AttentiveHeads
from surgstream.trainer.readouts.banks.targets import Target

log = logging.getLogger(__name__)

_BATCH = 32
_WEIGHT_DECAY = 0.01

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """The clips that readouts are fitted to; tokens and labels are those of this rank.

    Attributes:
        tokens: (m, N, D) on the CPU.
        labels: (m,) or (m, C) on the CPU, as `ClipBatch.labels`.
        first: How many clips are on the ranks before.
        videos: The videos of all n clips, those of rank 0 first.
    """

    tokens: Tensor
    labels: Tensor
    first: int
    videos: Sequence[str]

    def own(self, members: Int64) -> Int64:
        """Which of some clips are on this rank, by their numbers here."""
        numbers = members - self.first
        return numbers[(numbers >= 0) & (numbers < len(self.tokens))]


class AttentiveReadouts:
    """A bank of attentive readouts, one for each learning rate, that begin alike.

    Args:
        settings: The probe.
        target: What they learn.
        width: Width of a token, D.
        seed: Decides their initial weights, and the order of clips.
        micro_batch_size: Clips that a rank computes at once.
        device: Where they are computed.
    """

    def __init__(
        self,
        settings: ProbeConfig,
        target: Target,
        *,
        width: int,
        seed: int,
        micro_batch_size: int,
        device: torch.device,
    ) -> None:
        self._settings = settings
        self._target = target
        self._seed = seed
        self._micro_batch_size = micro_batch_size
        self._device = device

        config = AttentiveConfig(num_heads=settings.num_heads, self_blocks=settings.self_blocks)
        network = AttentiveHeads(config, width, target.num_outputs)
        key = int(hash64(seed, Purpose.HEAD_INIT)) % 2**63
        network.initialise(torch.Generator().manual_seed(key))

        lrs = settings.lrs
        self._bank = HeadBank(network, len(lrs), device)
        self._optimizer = StackedAdamW(self._bank, lrs, [_WEIGHT_DECAY] * len(lrs))
        self._alive = torch.ones(len(lrs), dtype=torch.bool, device=device)
        self._chosen: Tensor | None = None

    def fit(self, clips: Tokens, poll_stop: PollStop) -> bool:
        """Train all, and choose one; collective.

        Args:
            clips: The clips.
            poll_stop: Whether all ranks are to stop; called after every step.

        Returns:
            Whether there is one to predict with: false when told to stop, and, with a warning, where all diverged.
        """
        left_out = left_out_clips(clips.videos, len(self._settings.lrs))
        for step_share, members in self._steps(np.flatnonzero(~left_out)):
            self._step(clips, members, step_share)
            if poll_stop():
                return False

        losses = self._losses(clips, np.flatnonzero(left_out if left_out.any() else ~left_out))
        losses = torch.where(self._alive & losses.isfinite(), losses, math.inf)
        best = int(losses.argmin())
        if losses[best].isinf():
            log.warning("probe: all readouts diverged; set lower probe.lrs")
            return False
        self._chosen = self._bank.weights.of_head(best)
        return True

    def scores(self, tokens: Tensor) -> Tensor:
        """What the chosen one predicts: (B, N, D) on the device to (B, C); see `Target.scores`."""
        assert self._chosen is not None
        return self._target.scores(self._bank.logits_of_one(self._chosen, tokens))[0]

    def _steps(self, fitted: Int64) -> Iterator[tuple[float, Int64]]:
        """For each step the learning rate, as a share of its peak, and the clips."""
        epochs = self._settings.epochs
        num_steps = epochs * -(-len(fitted) // _BATCH)
        step = 0
        for epoch in range(epochs):
            key = hash64(self._seed, Purpose.ONLINE_PROBE, epoch)
            order = fitted[choice(key, len(fitted))]
            for start in range(0, len(order), _BATCH):
                yield (
                    0.5 * (1 + math.cos(math.pi * step / num_steps)),
                    order[start : start + _BATCH],
                )
                step += 1

    def _step(self, clips: Tokens, members: Int64, share_of_peak: float) -> None:
        bank = self._bank
        bank.clear()
        for tokens, labels in self._pieces(clips, members):
            bank.backward(tokens, self._target.losses_for(labels, len(labels) / len(members)))

        dist.all_reduce(bank.gradients.flat)
        self._alive &= bank.gradients.finite()
        self._optimizer.step(share_of_peak, self._alive)

    def _losses(self, clips: Tokens, members: Int64) -> Tensor:
        """The mean loss over some clips of each readout."""
        total = torch.zeros(self._bank.num_heads, device=self._device)
        for tokens, labels in self._pieces(clips, members):
            total += len(labels) * self._target.losses(self._bank.logits(tokens), labels)
        dist.all_reduce(total)
        return total / len(members)

    def _pieces(self, clips: Tokens, members: Int64) -> Iterator[tuple[Tensor, Tensor]]:
        """Those of some clips that are on this rank, some at a time, on the device."""
        own = torch.from_numpy(clips.own(members))
        for some in torch.split(own, self._micro_batch_size) if len(own) else ():
            yield clips.tokens[some].to(self._device), clips.labels[some].to(self._device)


def left_out_clips(videos: Sequence[str], num_readouts: int) -> npt.NDArray[np.bool_]:
    """Which clips a choice is made by: those of a fifth of the videos; none of one readout, or of one video."""
    left_out = (folds_of(videos) == 0).numpy()
    if num_readouts == 1 or left_out.all():
        return np.zeros(len(videos), np.bool_)
    return np.asarray(left_out)
