"""SurgVISTA: masked video reconstruction, joined with distillation of a frozen image teacher.

An independent implementation of "Large-scale Self-supervised Video Foundation Model for Intelligent Surgery" (Yang et
al., 2025). The encoder sees 15 % of a clip's tubes; from its output one decoder predicts the normalised pixels of the
masked tokens and another the teacher's features of them:

    L = w_r mean (p - p')^2 + w_d mean SmoothL1(f - f'), both over masked tokens alone.

With `teacher: null` and `distillation_weight: 0` the second term is gone, and with it the teacher and its decoder.
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
        teacher: Held unregistered: moved with this module, but neither optimised nor saved. None where the recipe has
            none.
        seed: Decides masks and drop paths, together with each clip's g.
    """

    teacher: Teacher | None
    against_collapse = (
        "Lower optim.base_lr, or lengthen optim.warmup_epochs; with a teacher, a "
        "loss/distillation_of_mean near 0 says that its features are alike as well"
    )

    def __init__(self, config: SurgVistaConfig, teacher: Teacher | None, seed: int) -> None:
        super().__init__()
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
        self.teacher = None
        if teacher:
            self.attach_frozen("teacher", teacher)
            self.distillation_decoder = Decoder(
                config.distillation_decoder, self.grid, embed_dim, teacher.embed_dim
            )

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder, which sees some tokens, its decoders, which see all, and the teacher, if there is one."""
        visible = self.num_visible
        masked = self.num_masked
        encoding = Pass(self.config.encoder, visible)
        uses = {"encoder": NetworkUse(self.encoder, self.encoder.flops(visible), (encoding,))}

        decoders = {"reconstruction_decoder": self.reconstruction_decoder}
        if self.teacher:
            decoders["distillation_decoder"] = self.distillation_decoder
        for (name, decoder), numbers in zip(decoders.items(), self.config.decoders, strict=True):
            decoding = Pass(numbers, self.num_tokens)
            uses[name] = NetworkUse(decoder, decoder.flops(visible, masked), (decoding,))

        if self.teacher:
            uses["teacher"] = NetworkUse(self.teacher, self.teacher.flops())
        return uses

    def features(self, clips: Tensor) -> Tensor | None:
        """Run the teacher on the first frame of every tubelet; returns its features (B, N, D), if there is one."""
        if self.teacher is None:
            return None
        first_frames = clips[:, :, :: self.config.encoder.tubelet_size]
        features: Tensor = self.teacher(self.pixels.plain(first_frames))
        return features

    def draw(self, batch: ClipBatch) -> TubeDraws:
        """Draw the tubes to hide and, in training, drop paths."""
        return draw_tubes(self.config, self.seed, batch, training=self.training)

    def losses(self, clips: Tensor, targets: Tensor | None, draws: TubeDraws) -> ObjectiveOutput:
        """Compute both losses, or, without a teacher, that of pixels alone.

        Args:
            clips: (B, C, T, H, W).
            targets: (B, N, D), the teacher's features of all tokens; None without a teacher.
            draws: The draws of these clips.

        Returns:
            The weighted loss. Its metrics are `loss/reconstruction` and `loss/distillation`, unweighted. As a yardstick
            come the losses of a mean in place of every prediction: the tubelet's own normalised mean, which is 0
            (`loss/reconstruction_of_mean`), and the mean feature of the clip's masked tokens
            (`loss/distillation_of_mean`).
        """
        visible, masked, drop_path_scales = draws
        # `drop_path_scales` has one entry for each network: the encoder, then its decoders
        encoded = self.encoder(clips, visible, drop_path_scales[0])
        pixels = self.reconstruction_decoder(encoded, visible, masked, drop_path_scales[1])
        reconstruction, reconstruction_of_mean = self.pixels.losses(pixels, clips, masked)

        loss = self.config.reconstruction_weight * reconstruction
        metrics = {
            "loss/reconstruction": reconstruction.detach(),
            "loss/reconstruction_of_mean": reconstruction_of_mean,
        }
        if targets is not None:
            features = self.distillation_decoder(encoded, visible, masked, drop_path_scales[2])
            distillation, distillation_of_mean = self._distillation(features, targets, masked)
            loss = loss + self.config.distillation_weight * distillation
            metrics["loss/distillation"] = distillation.detach()
            metrics["loss/distillation_of_mean"] = distillation_of_mean
        return ObjectiveOutput(loss, metrics)

    def _distillation(
        self, features: Tensor, targets: Tensor, masked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The SmoothL1 loss of predicted features (B, M, D), and that of the clip's mean as a prediction."""
        true_features = take_tokens(targets, masked).float()
        mean_feature = true_features.mean(1, keepdim=True).expand_as(true_features)
        beta = self.config.smooth_l1_beta
        distillation = F.smooth_l1_loss(features.float(), true_features, beta=beta)
        distillation_of_mean = F.smooth_l1_loss(mean_feature, true_features, beta=beta)
        return distillation, distillation_of_mean

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
    if config.teacher is None:
        return SurgVista(config, None, seed)
    if not with_weights:
        return SurgVista(config, Teacher(config.teacher, grid), seed)
    return SurgVista(config, load_teacher(config.teacher, grid, seed), seed)
