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

from surgstream.benchmarks.support.training import surgvista_of
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD, ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.optim import parameter_groups
from surgstream.trainer.models.config import DecoderConfig, EncoderConfig
from surgstream.trainer.models.embed import sincos_positions
from surgstream.trainer.models.teacher import Teacher, load_teacher
from surgstream.trainer.objectives.config import SurgVistaConfig
from surgstream.trainer.objectives.masking import tube_mask

_EPS = 1e-6


class PlainAttention(nn.Module):
    """Attention with its scores in memory."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=False)
        self.q_bias, self.v_bias = (
            nn.Parameter(torch.zeros(embed_dim)),
            nn.Parameter(torch.zeros(embed_dim)),
        )
        self.projection = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over all N tokens; (B, N, D) to (B, N, D)."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias)
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        attention = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1)
        out: Tensor = self.projection(rearrange(attention @ v, "b h n d -> b n (h d)"))
        return out


class PlainBlock(nn.Module):
    """A pre-norm block that drops its branches at random, clip by clip."""

    def __init__(self, embed_dim: int, num_heads: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(embed_dim, eps=_EPS)
        self.norm2 = nn.LayerNorm(embed_dim, eps=_EPS)
        self.attention = PlainAttention(embed_dim, num_heads)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dim, 4 * embed_dim), nn.GELU(), nn.Linear(4 * embed_dim, embed_dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        x = x + self._drop(self.attention(self.norm1(x)))
        return x + self._drop(self.mlp(self.norm2(x)))

    def _drop(self, x: Tensor) -> Tensor:
        if not self.drop_path or not self.training:
            return x
        kept = 1 - self.drop_path
        return x * (x.new_empty(len(x), 1, 1).bernoulli_(kept) / kept)


def plain_blocks(config: EncoderConfig | DecoderConfig) -> nn.ModuleList:
    """The stack of a network."""
    width, depth, heads, _ = config.shape
    return nn.ModuleList(
        PlainBlock(width, heads, rate) for rate in np.linspace(0, config.drop_path, depth).tolist()
    )


class PlainEmbedding(nn.Module):
    """Every tubelet of a clip, by a convolution, and its position."""

    positions: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.kernel = (3, config.tubelet_size, config.patch_size, config.patch_size)
        width = config.shape.embed_dim
        self.projection = nn.Linear(int(np.prod(self.kernel)), width)
        self.register_buffer("positions", sincos_positions(width, config.grid), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, N, D)."""
        weight = self.projection.weight.view(-1, *self.kernel)
        embedded = F.conv3d(clips, weight, self.projection.bias, stride=self.kernel[1:])
        return embedded.flatten(2).transpose(1, 2) + self.positions


class PlainEncoder(nn.Module):
    """Embeds everything, then goes on with what is not masked."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embedding = PlainEmbedding(config)
        self.blocks = plain_blocks(config)
        self.norm = nn.LayerNorm(config.shape.embed_dim, eps=_EPS)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """Clips, and the mask (B, N), to the visible tokens (B, V, D)."""
        x = pick(self.embedding(clips), ~mask)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


class PlainDecoder(nn.Module):
    """Predicts the masked tokens."""

    positions: Tensor

    def __init__(self, config: DecoderConfig, encoder: EncoderConfig, output_dim: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.projection = nn.Linear(encoder.shape.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.register_buffer("positions", sincos_positions(width, encoder.grid), persistent=False)
        self.blocks = plain_blocks(config)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.head = nn.Linear(width, output_dim)

    def forward(self, encoded: Tensor, mask: Tensor) -> Tensor:
        """Visible tokens (B, V, D), and the mask (B, N), to predictions (B, M, output_dim)."""
        positions = self.positions.expand(len(mask), -1, -1)
        shown = pick(positions, ~mask)
        hidden = pick(positions, mask)
        x = torch.cat([self.projection(encoded) + shown, self.mask_token + hidden], dim=1)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x[:, -hidden.shape[1] :]))
        return out


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
        self.reconstruction_decoder = PlainDecoder(
            config.reconstruction_decoder, encoder, int(np.prod(self.encoder.embedding.kernel))
        )
        self.distillation_decoder = PlainDecoder(config.distillation_decoder, encoder, feature_dim)

    def forward(
        self, clips: Tensor, mask: Tensor, pixels: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and its parts, of reconstruction and of distillation."""
        encoded = self.encoder(clips, mask)
        config = self.config
        reconstruction = F.mse_loss(self.reconstruction_decoder(encoded, mask), pixels)
        distillation = F.smooth_l1_loss(
            self.distillation_decoder(encoded, mask), features, beta=config.smooth_l1_beta
        )
        loss = (
            config.reconstruction_weight * reconstruction
            + config.distillation_weight * distillation
        )
        return loss, reconstruction, distillation


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
        device: Where to train; fp16 on a GPU.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.objective = surgvista_of(config)
        self.teacher = load_teacher(
            self.objective.teacher, self.objective.encoder.grid, config.seed
        ).to(device)
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
        """A micro-batch as this step wants it: with the masks that ours would have."""
        objective = self.objective
        grid = objective.encoder.grid
        _, masked = tube_mask(grid, objective.mask_ratio, self.config.seed, batch.g)
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
        torch.nn.utils.get_total_norm(
            [p.grad for p in self.student.parameters() if p.grad is not None]
        )
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
    tokens = teacher.model.forward_features((images - teacher.mean) / teacher.std)[
        :, teacher.model.num_prefix_tokens :
    ]
    features: Tensor = rearrange(tokens, "(b s) n d -> b (s n) d", b=len(frames))
    return F.layer_norm(features, features.shape[-1:]) if teacher.normalise else features


def pick(tokens: Tensor, mask: Tensor) -> Tensor:
    """The tokens (B, N, D) where the mask (B, N) is True, equally many in each clip, as (B, M, D)."""
    return tokens[mask].reshape(len(tokens), -1, tokens.shape[-1])


def unnormalised(clips: Tensor) -> Tensor:
    """Clips with values in [0, 1]."""
    mean, std = (
        torch.tensor(values, device=clips.device).view(3, 1, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return clips * std + mean


def normalised_tubelets(clips: Tensor, tubelet_size: int, patch_size: int) -> Tensor:
    """Every tubelet, each channel with mean 0 and deviation 1: (B, N, C t p p)."""
    pattern = "b c (s t) (h p) (w q) -> b (s h w) c (t p q)"
    tubelets = rearrange(unnormalised(clips), pattern, t=tubelet_size, p=patch_size, q=patch_size)
    deviation = tubelets.var(-1, unbiased=True, keepdim=True).sqrt() + _EPS
    return ((tubelets - tubelets.mean(-1, keepdim=True)) / deviation).flatten(2)
