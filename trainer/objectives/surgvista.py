"""SurgVISTA: masked video reconstruction, joined with distillation of a frozen image teacher.

An independent implementation of "Large-scale Self-supervised Video Foundation Model for Intelligent Surgery" (Yang et
al., 2025). The encoder sees 15 % of a clip's tubes; from its output one decoder predicts the normalised pixels of the
masked tokens and another the teacher's features of them:

    L = w_r mean (p - p')^2 + w_d mean SmoothL1(f - f'), both over masked tokens alone.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.decoder import Decoder
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.models.images.teacher import Teacher, load_teacher
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.base import NetworkUse, Objective, ObjectiveOutput, Pass
from surgstream.trainer.objectives.config import SurgVistaConfig
from surgstream.trainer.objectives.masks.masking import num_masked_tubes
from surgstream.trainer.objectives.masks.tube_draws import TubeDraws, draw_tubes
from surgstream.trainer.objectives.pixels import Pixels


class SurgVista(Objective):
    """The student and its losses.

    Args:
        config: Its numbers.
        teacher: Held unregistered: moved with this module, but neither optimised nor saved.
        seed: Decides masks and drop paths, together with each clip's g.
    """

    teacher: Teacher
    against_collapse = (
        "Lower optim.base_lr, or lengthen optim.warmup_epochs; a loss/distillation_of_mean near 0 "
        "says that the teacher's features are alike as well"
    )

    def __init__(self, config: SurgVistaConfig, teacher: Teacher, seed: int) -> None:
        super().__init__()
        self.attach_frozen("teacher", teacher)
        self.config = config
        self.seed = seed
        self.grid = config.encoder.grid
        self.num_tokens = self.grid.num_tokens
        self.num_masked = self.grid.slices * num_masked_tubes(self.grid, config.mask_ratio)
        self.num_visible = self.num_tokens - self.num_masked
        embed_dim = config.encoder.shape.embed_dim
        self.pixels = Pixels(config.encoder)

        self.encoder = Encoder(config.encoder)
        self.reconstruction_decoder = Decoder(
            config.reconstruction_decoder, self.grid, embed_dim, self.pixels.per_token
        )
        self.distillation_decoder = Decoder(
            config.distillation_decoder, self.grid, embed_dim, teacher.embed_dim
        )

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder, which sees some tokens, two decoders, which see all, and the teacher."""
        visible = self.num_visible
        masked = self.num_masked
        encoding = Pass(self.config.encoder, visible)
        uses = {"encoder": NetworkUse(self.encoder, self.encoder.flops(visible), (encoding,))}

        decoders = {
            "reconstruction_decoder": self.reconstruction_decoder,
            "distillation_decoder": self.distillation_decoder,
        }
        for (name, decoder), numbers in zip(decoders.items(), self.config.decoders, strict=True):
            decoding = Pass(numbers, self.num_tokens)
            uses[name] = NetworkUse(decoder, decoder.flops(visible, masked), (decoding,))

        uses["teacher"] = NetworkUse(self.teacher, self.teacher.flops())
        return uses

    def features(self, clips: Tensor) -> Tensor:
        """Run the teacher on the first frame of every tubelet; returns its features (B, N, D)."""
        first_frames = clips[:, :, :: self.config.encoder.tubelet_size]
        features: Tensor = self.teacher(self.pixels.plain(first_frames))
        return features

    def draw(self, batch: ClipBatch) -> TubeDraws:
        """Draw the tubes to hide and, in training, drop paths."""
        return draw_tubes(self.config, self.seed, batch, training=self.training)

    def losses(self, clips: Tensor, targets: Tensor, draws: TubeDraws) -> ObjectiveOutput:
        """Compute both losses.

        Args:
            clips: (B, C, T, H, W).
            targets: (B, N, D), the teacher's features of all tokens.
            draws: The draws of these clips.

        Returns:
            The weighted loss. Its metrics are `loss/reconstruction` and `loss/distillation`, unweighted. As a yardstick
            come the losses of a mean in place of every prediction: the tubelet's own normalised mean, which is 0
            (`loss/reconstruction_of_mean`), and the mean feature of the clip's masked tokens
            (`loss/distillation_of_mean`).
        """
        config = self.config
        visible, masked, drop_path_scales = draws
        # `drop_path_scales` has one entry for each network: the encoder, then both decoders
        encoded = self.encoder(clips, visible, drop_path_scales[0])
        pixels = self.reconstruction_decoder(encoded, visible, masked, drop_path_scales[1])
        features = self.distillation_decoder(encoded, visible, masked, drop_path_scales[2])

        reconstruction, reconstruction_of_mean = self.pixels.losses(pixels, clips, masked)
        true_features = take_tokens(targets, masked).float()
        mean_feature = true_features.mean(1, keepdim=True).expand_as(true_features)
        beta = config.smooth_l1_beta
        distillation = F.smooth_l1_loss(features.float(), true_features, beta=beta)
        distillation_of_mean = F.smooth_l1_loss(mean_feature, true_features, beta=beta)

        weighted_reconstruction = config.reconstruction_weight * reconstruction
        weighted_distillation = config.distillation_weight * distillation
        loss = weighted_reconstruction + weighted_distillation
        metrics = {
            "loss/reconstruction": reconstruction.detach(),
            "loss/distillation": distillation.detach(),
            "loss/reconstruction_of_mean": reconstruction_of_mean,
            "loss/distillation_of_mean": distillation_of_mean,
        }
        return ObjectiveOutput(loss, metrics)

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw the reconstruction; see `Pixels.pictures`."""
        visible, masked, _ = self.draw(batch)
        encoded = self.encoder(batch.clips, visible)
        predicted = self.reconstruction_decoder(encoded, visible, masked)
        return self.pixels.pictures(predicted, batch.clips, visible, masked)


def make(config: SurgVistaConfig, seed: int, *, with_weights: bool) -> SurgVista:
    """Make the objective, with its teacher's weights or without; see `choice.build`.

    Raises:
        ModelError: See `load_teacher`.
    """
    grid = config.encoder.grid
    if not with_weights:
        return SurgVista(config, Teacher(config.teacher, grid), seed)
    return SurgVista(config, load_teacher(config.teacher, grid, seed), seed)
