"""SurgVISTA: masked video reconstruction, joined with distillation of a frozen image teacher.

An independent implementation of "Large-scale Self-supervised Video Foundation Model for Intelligent Surgery" (Yang et
al., 2025). The encoder sees 15 % of a clip's tubes; from its output one decoder predicts the normalised pixels of the
masked tokens and another the teacher's features of them:

    L = w_r mean (p - p')^2 + w_d mean SmoothL1(f - f'), both over masked tokens alone.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Transformer
from surgstream.trainer.models.decoder import Decoder
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.models.teacher import Teacher, load_teacher
from surgstream.trainer.models.vit import Encoder, initialise, num_parameters
from surgstream.trainer.objectives.base import Objective, ObjectiveOutput
from surgstream.trainer.objectives.config import SurgVistaConfig
from surgstream.trainer.objectives.masking import num_masked_tubes
from surgstream.trainer.objectives.pixels import Pixels
from surgstream.trainer.objectives.tube_draws import TubeDraws, draw_tubes


class SurgVista(Objective):
    """The student and its losses. `build` makes one that is ready to train.

    Args:
        config: Its numbers.
        teacher: Held unregistered: moved with this module, but neither optimised nor saved.
        seed: Decides masks and drop paths, together with each clip's g.
    """

    teacher: Teacher
    against_collapse = (
        "Lower optim.base_lr, or lengthen optim.warmup_epochs; a loss/distillation_of_mean near 0 says that the "
        "teacher's features are alike as well"
    )

    def __init__(self, config: SurgVistaConfig, teacher: Teacher, seed: int) -> None:
        super().__init__()
        self.hold("teacher", teacher)
        self.config, self.seed, self.grid = config, seed, config.encoder.grid
        self.num_tokens = self.grid.num_tokens
        self.num_masked = self.grid.slices * num_masked_tubes(self.grid, config.mask_ratio)
        self.num_visible = self.num_tokens - self.num_masked
        embed_dim, self.pixels = config.encoder.shape.embed_dim, Pixels(config.encoder)
        self.encoder = Encoder(config.encoder)
        self.reconstruction_decoder = Decoder(
            config.reconstruction_decoder, self.grid, embed_dim, self.pixels.per_token
        )
        self.distillation_decoder = Decoder(config.distillation_decoder, self.grid, embed_dim, teacher.embed_dim)
        self._training_features, self._training_losses = self._features, self._losses

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
        """Draw the reconstruction; see `Pixels.pictures`."""
        visible, masked, _ = self._draw(batch)
        predicted = self.reconstruction_decoder(self.encoder(batch.clips, visible), visible, masked)
        return self.pixels.pictures(predicted, batch.clips, visible, masked)

    def compile_parts(self, **options: Any) -> None:
        """Compile the teacher's pass and the student's, losses included, into a graph each, for training alone.

        Evaluation and pictures run as they are: their last batches are smaller, and would be compiled anew.
        """
        self._training_features = torch.compile(self._features, **options)
        self._training_losses = torch.compile(self._losses, **options)

    def trained(self) -> list[tuple[Transformer, int]]:
        """The encoder, and the decoders, which see all tokens."""
        return [(self.config.encoder, self.num_visible), *((d, self.num_tokens) for d in self.config.decoders)]

    def flops(self) -> dict[str, int]:
        """Floating point operations a clip: forward and backward of the student's parts, forward of the teacher."""
        return {
            "encoder": self.encoder.flops(self.num_visible),
            "reconstruction_decoder": self.reconstruction_decoder.flops(self.num_visible, self.num_masked),
            "distillation_decoder": self.distillation_decoder.flops(self.num_visible, self.num_masked),
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
        features: Tensor = self.teacher(self.pixels.plain(first_frames))
        return features

    def _losses(self, clips: Tensor, targets: Tensor, draws: TubeDraws) -> ObjectiveOutput:
        config, (visible, masked, keeps) = self.config, draws
        # `keeps` has one entry a network: the encoder, then both decoders.
        encoded = self.encoder(clips, visible, keeps[0])
        pixels = self.reconstruction_decoder(encoded, visible, masked, keeps[1])
        features = self.distillation_decoder(encoded, visible, masked, keeps[2])

        reconstruction, reconstruction_of_mean = self.pixels.losses(pixels, clips, masked)
        true_features = take_tokens(targets, masked).float()
        mean_feature = true_features.mean(1, keepdim=True).expand_as(true_features)
        distillation, distillation_of_mean = (
            F.smooth_l1_loss(guess, true_features, beta=config.smooth_l1_beta)
            for guess in (features.float(), mean_feature)
        )

        loss = config.reconstruction_weight * reconstruction + config.distillation_weight * distillation
        metrics = {
            "loss/reconstruction": reconstruction.detach(),
            "loss/distillation": distillation.detach(),
            "loss/reconstruction_of_mean": reconstruction_of_mean,
            "loss/distillation_of_mean": distillation_of_mean,
        }
        return ObjectiveOutput(loss, metrics)

    def _draw(self, batch: ClipBatch) -> TubeDraws:
        config = self.config
        return draw_tubes(config.encoder, config.decoders, config.mask_ratio, self.seed, batch, training=self.training)


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
    # Modules draw default weights when they are made, from the global generator.
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
