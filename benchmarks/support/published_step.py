"""A training step as the code published with SurgVISTA takes it, restated in plain torch.

Written from a description of what that code does, with none of its code. Taken as published: the networks and losses;
fp16 autocast with a `GradScaler` (fp32 on a CPU); AdamW as torch does it by default; crops doubled for the teacher;
accumulation; three `.item()` a micro-step, of the loss and of its two parts; nothing compiled. Our reading, where the
description is silent:

- Doubled crops are a second copy of each crop in the batch, since student and teacher prepare their own. The teacher
  runs on the first frame of each tubelet alone: all frames would cost it twice as much.
- The teacher is timm's, with timm's fused attention. The student's attention is written out, scores and softmax.
- Masks are boolean and come from the host. Everything is computed for all tokens before they pick some: embedding,
  targets, features.
- The norm of the gradient is computed at each step, for the log.

The student's state has the names that it has in `trainer.objectives.surgvista`, so either loads the other's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from surgstream.benchmarks.support.published_networks import EPS, PlainDecoder, PlainEncoder, pick
from surgstream.benchmarks.support.training import surgvista_of
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD, ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.parameter_groups import parameter_groups
from surgstream.trainer.models.images.teacher import Teacher, load_teacher
from surgstream.trainer.objectives.config import SurgVistaConfig
from surgstream.trainer.objectives.masks.masking import tube_mask


class PublishedStudent(nn.Module):
    """The encoder, both decoders and the losses.

    Args:
        config: Their numbers.
        feature_dim: Width of the teacher's tokens.
    """

    def __init__(self, config: SurgVistaConfig, feature_dim: int) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder
        self.encoder = PlainEncoder(encoder)

        num_pixels = int(np.prod(self.encoder.embedding.kernel))
        self.reconstruction_decoder = PlainDecoder(
            config.reconstruction_decoder, encoder, num_pixels
        )
        self.distillation_decoder = PlainDecoder(config.distillation_decoder, encoder, feature_dim)

    def forward(
        self, clips: Tensor, mask: Tensor, pixels: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and its parts, of reconstruction and of distillation."""
        config = self.config
        encoded = self.encoder(clips, mask)
        predicted_pixels = self.reconstruction_decoder(encoded, mask)
        predicted_features = self.distillation_decoder(encoded, mask)

        reconstruction = F.mse_loss(predicted_pixels, pixels)
        distillation = F.smooth_l1_loss(predicted_features, features, beta=config.smooth_l1_beta)
        weighted_reconstruction = config.reconstruction_weight * reconstruction
        weighted_distillation = config.distillation_weight * distillation
        return weighted_reconstruction + weighted_distillation, reconstruction, distillation


class PublishedBatch(NamedTuple):
    """A micro-batch as the published loader returns it.

    Attributes:
        clips: (B, C, T, H, W), the student's crops, on the device.
        crops: (B, C, T, H, W), the teacher's.
        mask: (B, N) bool on the host, True where a token is hidden.
    """

    clips: Tensor
    crops: Tensor
    mask: Tensor


class PublishedLoop:
    """Training steps as published, on one device.

    Args:
        config: The recipe.
        device: The device to train on; fp16 on a GPU.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.objective = surgvista_of(config)
        grid = self.objective.encoder.grid
        assert self.objective.teacher
        self.teacher = load_teacher(self.objective.teacher, grid, config.seed).to(device)
        self.student = PublishedStudent(self.objective, self.teacher.embed_dim).to(device)

        optim = config.optim
        half = device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.student, optim.weight_decay),
            lr=optim.min_lr,
            betas=optim.betas,
            eps=optim.eps,
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self.autocast = torch.autocast(device.type, torch.float16, enabled=half)

    def batch(self, batch: ClipBatch) -> PublishedBatch:
        """A micro-batch as this step takes it, with the masks that ours would have."""
        objective = self.objective
        grid = objective.encoder.grid
        _, masked = tube_mask(grid, objective.mask_ratio, self.config.seed, batch.draws)
        mask = torch.zeros(len(masked), grid.num_tokens, dtype=torch.bool).scatter(
            1, torch.from_numpy(masked), True
        )
        return PublishedBatch(batch.clips, batch.clips.clone(), mask)

    def step(self, batches: Sequence[PublishedBatch]) -> list[float]:
        """One update; returns each micro-batch's loss."""
        losses = []
        for batch in batches:
            loss, *parts = self.losses(batch)
            self.scaler.scale(loss / len(batches)).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
            for part in parts:
                # Waits for the device once more, as published
                part.item()

        self.scaler.unscale_(self.optimizer)
        # For the published log alone; nothing is clipped
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]
        torch.nn.utils.get_total_norm(gradients)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

        return losses

    def losses(self, batch: PublishedBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The mean loss of B clips, and its parts."""
        encoder = self.config.objective.encoder
        mask = batch.mask.to(self.device)
        with torch.no_grad():
            pixels = pick(
                normalised_tubelets(batch.clips, encoder.tubelet_size, encoder.patch_size), mask
            )
            with self.autocast:
                frames = unnormalised(batch.crops)[:, :, :: encoder.tubelet_size]
                features = pick(plain_features(self.teacher, frames), mask)
        with self.autocast:
            out: tuple[Tensor, Tensor, Tensor] = self.student(batch.clips, mask, pixels, features)
        return out


def plain_features(teacher: Teacher, frames: Tensor) -> Tensor:
    """The teacher's features (B, N, D) of frames (B, C, S, H, W) with values in [0, 1]."""
    images = rearrange(frames, "b c s h w -> (b s) c h w")
    if images.shape[-2:] != teacher.image_size:
        images = F.interpolate(images, teacher.image_size, mode="bilinear", antialias=True)

    tokens = teacher.model.forward_features((images - teacher.mean) / teacher.std)
    tokens = tokens[:, teacher.model.num_prefix_tokens :]
    features: Tensor = rearrange(tokens, "(b s) n d -> b (s n) d", b=len(frames))
    if not teacher.normalise:
        return features
    return F.layer_norm(features, features.shape[-1:])


def unnormalised(clips: Tensor) -> Tensor:
    """Clips with values in [0, 1]."""
    mean = torch.tensor(IMAGENET_MEAN, device=clips.device).view(3, 1, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=clips.device).view(3, 1, 1, 1)
    return clips * std + mean


def normalised_tubelets(clips: Tensor, tubelet_size: int, patch_size: int) -> Tensor:
    """Every tubelet, each channel with mean 0 and deviation 1: (B, N, C t p p)."""
    pattern = "b c (s t) (h p) (w q) -> b (s h w) c (t p q)"
    tubelets = rearrange(unnormalised(clips), pattern, t=tubelet_size, p=patch_size, q=patch_size)
    deviation = tubelets.var(-1, unbiased=True, keepdim=True).sqrt() + EPS
    return ((tubelets - tubelets.mean(-1, keepdim=True)) / deviation).flatten(2)
