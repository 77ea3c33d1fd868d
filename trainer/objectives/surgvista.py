"""SurgVISTA: masked video reconstruction, joined with distillation of a frozen image teacher.

An independent implementation of "Large-scale Self-supervised Video Foundation Model for Intelligent Surgery" (Yang et
al., 2025). The encoder sees 15 % of a clip's tubes; from its output one decoder predicts the normalised pixels of the
masked tokens and another the teacher's features of them:

    L = w_r mean (p - p')^2 + w_d mean SmoothL1(f - f'), both over masked tokens alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from trainer.batch import IMAGENET_MEAN, IMAGENET_STD, ClipBatch
from trainer.models.config import DecoderConfig, EncoderConfig
from trainer.models.decoder import Decoder
from trainer.models.embed import from_tubelets, take_tokens, to_tubelets
from trainer.models.teacher import Teacher, load_teacher
from trainer.models.vit import Encoder, initialise, num_parameters
from trainer.objectives.base import Objective, ObjectiveOutput
from trainer.objectives.config import SurgVistaConfig
from trainer.objectives.masking import drop_path_keeps, num_masked_tubes, tube_mask

# Numbers of the networks, for their drop-path draws.
_ENCODER, _RECONSTRUCTION, _DISTILLATION = range(3)
_STD_EPS = 1e-6
_GREY = 0.5
_ERROR_GAIN = 4.0


class _Draws(NamedTuple):
    """What (seed, g) decide about a micro-batch, on its device."""

    visible: Tensor
    masked: Tensor
    keeps: list[Tensor | None]


class SurgVista(Objective):
    """The student and its losses. `build` makes one that is ready to train.

    Args:
        config: Its numbers.
        teacher: Held unregistered: moved with this module, but neither optimised nor saved.
        seed: Decides masks and drop paths, together with each clip's g.
    """

    teacher: Teacher
    mean: Tensor
    std: Tensor

    def __init__(self, config: SurgVistaConfig, teacher: Teacher, seed: int) -> None:
        super().__init__()
        object.__setattr__(self, "teacher", teacher)
        self.config, self.seed, self.grid = config, seed, config.encoder.grid
        self.num_tokens = self.grid.num_tokens
        self.num_visible = self.num_tokens - self.grid.slices * num_masked_tubes(self.grid, config.mask_ratio)
        self.tubelet = (config.encoder.tubelet_size, config.encoder.patch_size)
        embed_dim, num_pixels = config.encoder.shape.embed_dim, 3 * self.tubelet[0] * self.tubelet[1] ** 2
        self.encoder = Encoder(config.encoder)
        self.reconstruction_decoder = Decoder(config.reconstruction_decoder, self.grid, embed_dim, num_pixels)
        self.distillation_decoder = Decoder(config.distillation_decoder, self.grid, embed_dim, teacher.embed_dim)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1, 1), persistent=False)
        self._training_features, self._training_losses = self._features, self._losses

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # The one door of `.to()`, `.cuda()` and their like: let the unregistered teacher through as well.
        self.teacher._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def targets(self, batch: ClipBatch) -> Tensor:
        """Run the teacher on the first frame of every tubelet; returns its features (B, N, D)."""
        features = self._training_features if self.training else self._features
        return features(batch.clips)

    def forward(self, batch: ClipBatch, targets: Tensor) -> ObjectiveOutput:
        """Compute both losses.

        Args:
            batch: B clips.
            targets: (B, N, D), the teacher's features of all tokens.

        Returns:
            The weighted loss. Its metrics are `loss/reconstruction` and `loss/distillation`, unweighted, and, as a
            yardstick, what each would be for a mean in place of every prediction: of the tubelet's own normalised
            pixels, that is 0 (`loss/reconstruction_of_mean`), or of the features of the clip's masked tokens
            (`loss/distillation_of_mean`).
        """
        losses = self._training_losses if self.training else self._losses
        return losses(batch.clips, targets, self._draw(batch))

    def after_optimizer_step(self) -> None:
        """Nothing follows: the teacher is frozen."""

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw `original`, `masked` (in grey), `reconstruction` and `error`, each (B, 3, T, H, W) in [0, 1].

        The reconstruction shows visible tokens as they are and masked ones as predicted, brought back to pixels with
        their own true mean and deviation, which the model does not predict. The error is four times the absolute
        difference, averaged over channels.
        """
        draws = self._draw(batch)
        encoded = self.encoder(batch.clips, draws.visible)
        predicted = self.reconstruction_decoder(encoded, draws.visible, draws.masked).float()
        tubelets = self._tubelets(batch.clips).clamp(0.0, 1.0)
        _, mean, std = normalise_pixels(take_tokens(tubelets, draws.masked))
        predicted = rearrange(predicted, "b m (c p) -> b m c p", c=3) * std + mean
        predicted = rearrange(predicted, "b m c p -> b m (c p)").clamp(0.0, 1.0)
        index = draws.masked.unsqueeze(-1).expand_as(predicted)
        original, masked, reconstruction = (
            from_tubelets(tokens, self.grid, *self.tubelet)
            for tokens in (
                tubelets,
                tubelets.scatter(1, index, torch.full_like(predicted, _GREY)),
                tubelets.scatter(1, index, predicted),
            )
        )
        error = (_ERROR_GAIN * (original - reconstruction).abs().mean(1, keepdim=True)).clamp(max=1.0)
        return {
            "original": original,
            "masked": masked,
            "reconstruction": reconstruction,
            "error": error.expand_as(original),
        }

    def compile_parts(self, **options: Any) -> None:
        """Compile the teacher's pass and the student's, losses included, into a graph each, for training alone.

        Evaluation and pictures run as they are: their last batches are smaller, and would be compiled anew.
        """
        self._training_features = torch.compile(self._features, **options)
        self._training_losses = torch.compile(self._losses, **options)

    def flops(self) -> dict[str, int]:
        """Floating point operations a clip: forward and backward of the student's parts, forward of the teacher."""
        num_visible, num_masked = self.num_visible, self.num_tokens - self.num_visible
        return {
            "encoder": self.encoder.flops(num_visible),
            "reconstruction_decoder": self.reconstruction_decoder.flops(num_visible, num_masked),
            "distillation_decoder": self.distillation_decoder.flops(num_visible, num_masked),
            "teacher": self.teacher.flops(),
        }

    def parts(self) -> dict[str, int]:
        """Parameters by part, fixed positions counted but not trainable; `total` is without the teacher."""
        names = ("encoder", "reconstruction_decoder", "distillation_decoder")
        student = {name: num_parameters(self.get_submodule(name)) for name in names}
        return student | {
            "teacher": num_parameters(self.teacher),
            "total": sum(student.values()),
            "trainable": sum(p.numel() for p in self.parameters() if p.requires_grad),
        }

    def _features(self, clips: Tensor) -> Tensor:
        first_frames = clips[:, :, :: self.config.encoder.tubelet_size]
        features: Tensor = self.teacher(first_frames * self.std + self.mean)
        return features

    def _losses(self, clips: Tensor, targets: Tensor, draws: _Draws) -> ObjectiveOutput:
        config, (visible, masked, keeps) = self.config, draws
        encoded = self.encoder(clips, visible, keeps[_ENCODER])
        pixels = self.reconstruction_decoder(encoded, visible, masked, keeps[_RECONSTRUCTION])
        features = self.distillation_decoder(encoded, visible, masked, keeps[_DISTILLATION])

        true_pixels = normalise_pixels(take_tokens(self._tubelets(clips), masked))[0]
        true_features = take_tokens(targets, masked).float()
        reconstruction = F.mse_loss(pixels.float(), true_pixels)
        distillation = F.smooth_l1_loss(features.float(), true_features, beta=config.smooth_l1_beta)
        loss = config.reconstruction_weight * reconstruction + config.distillation_weight * distillation

        mean_feature = true_features.mean(1, keepdim=True).expand_as(true_features)
        metrics = {
            "loss/reconstruction": reconstruction.detach(),
            "loss/distillation": distillation.detach(),
            "loss/reconstruction_of_mean": true_pixels.square().mean(),
            "loss/distillation_of_mean": F.smooth_l1_loss(mean_feature, true_features, beta=config.smooth_l1_beta),
        }
        return ObjectiveOutput(loss, metrics)

    def _tubelets(self, clips: Tensor) -> Tensor:
        """All tokens' pixels in [0, 1], (B, N, C t p p)."""
        return to_tubelets(clips * self.std + self.mean, *self.tubelet)

    def _draw(self, batch: ClipBatch) -> _Draws:
        """Masks, and drop paths while training, as functions of (seed, g)."""
        config = self.config
        visible, masked = tube_mask(self.grid, config.mask_ratio, self.seed, batch.g)
        networks: tuple[EncoderConfig | DecoderConfig, ...] = (
            config.encoder,
            config.reconstruction_decoder,
            config.distillation_decoder,
        )
        keeps = [self._keeps(network, number, batch) for number, network in enumerate(networks)]
        device = batch.clips.device
        return _Draws(_to_device(visible, device), _to_device(masked, device), keeps)

    def _keeps(self, network: EncoderConfig | DecoderConfig, number: int, batch: ClipBatch) -> Tensor | None:
        if not self.training or network.drop_path == 0.0:
            return None
        keeps = drop_path_keeps(network.drop_path, network.shape.depth, self.seed, number, batch.g)
        return _to_device(keeps, batch.clips.device)


def build(config: SurgVistaConfig, seed: int) -> SurgVista:
    """Make the objective of a run, with its initial weights and its teacher's, on the CPU.

    Args:
        config: Its numbers.
        seed: Decides initial weights, masks and drop paths; the global generators are left as they were.

    Returns:
        The same weights for the same config and seed.

    Raises:
        ModelError: See `load_teacher`.
    """
    encoder = config.encoder
    teacher = load_teacher(config.teacher, encoder.grid, seed)
    with torch.random.fork_rng(devices=[]):
        objective = SurgVista(config, teacher, seed)
    initialise(objective, torch.Generator().manual_seed(seed))
    return objective


def outline(config: SurgVistaConfig) -> SurgVista:
    """Make the objective on the meta device: shapes to count with, no values, no file of weights needed.

    Raises:
        ModelError: timm has no such teacher, or it does not fit the student.
    """
    encoder = config.encoder
    with torch.device("meta"):
        return SurgVista(config, Teacher(config.teacher, encoder.grid), seed=0)


def normalise_pixels(tubelets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give every tubelet's channels zero mean and unit deviation over their pixels.

    Args:
        tubelets: (B, M, C t p p) in [0, 1].

    Returns:
        (B, M, C t p p) normalised; the means, and the deviations (unbiased, with 1e-6 added), each (B, M, C, 1).
    """
    channels = rearrange(tubelets, "b m (c p) -> b m c p", c=3)
    std, mean = torch.std_mean(channels, dim=-1, keepdim=True)
    std = std + _STD_EPS
    return rearrange((channels - mean) / std, "b m c p -> b m (c p)"), mean, std


def _to_device(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
