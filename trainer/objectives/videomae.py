"""VideoMAE: masked video reconstruction, the recipe of SurgRec-MAE.

"VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training" (Tong et al., 2022).
The encoder sees a tenth of a clip's tubes, and a decoder predicts the normalised pixels of the others:

    L = mean (p - p')^2 over masked tokens alone.
"""

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.decoder import Decoder
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.base import NetworkUse, Objective, ObjectiveOutput, Pass
from surgstream.trainer.objectives.config import VideoMaeConfig
from surgstream.trainer.objectives.masks.masking import num_masked_tubes
from surgstream.trainer.objectives.masks.tube_draws import TubeDraws, draw_tubes
from surgstream.trainer.objectives.pixels import Pixels


class VideoMae(Objective):
    """The autoencoder and its loss.

    Args:
        config: Its numbers.
        seed: Decides masks and drop paths, together with each clip's g.
    """

    def __init__(self, config: VideoMaeConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.grid = config.encoder.grid
        self.num_tokens = self.grid.num_tokens
        self.num_masked = self.grid.slices * num_masked_tubes(self.grid, config.mask_ratio)
        self.num_visible = self.num_tokens - self.num_masked

        self.pixels = Pixels(config.encoder)
        self.encoder = Encoder(config.encoder)
        self.decoder = Decoder(
            config.decoder, self.grid, config.encoder.shape.embed_dim, self.pixels.per_token
        )

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder, which sees some tokens, and the decoder, which sees all."""
        visible = self.num_visible
        masked = self.num_masked
        encoding = Pass(self.config.encoder, visible)
        decoding = Pass(self.config.decoder, self.num_tokens)
        return {
            "encoder": NetworkUse(self.encoder, self.encoder.flops(visible), (encoding,)),
            "decoder": NetworkUse(self.decoder, self.decoder.flops(visible, masked), (decoding,)),
        }

    def draw(self, batch: ClipBatch) -> TubeDraws:
        """Draw the tubes to hide and, in training, drop paths."""
        return draw_tubes(self.config, self.seed, batch, training=self.training)

    def losses(self, clips: Tensor, targets: None, draws: TubeDraws) -> ObjectiveOutput:
        """Compute the loss; `loss/reconstruction_of_mean` is the loss of the tubelets' own means."""
        visible, masked, drop_path_scales = draws
        encoded = self.encoder(clips, visible, drop_path_scales[0])
        predicted = self.decoder(encoded, visible, masked, drop_path_scales[1])
        loss, of_mean = self.pixels.losses(predicted, clips, masked)

        metrics = {"loss/reconstruction": loss.detach(), "loss/reconstruction_of_mean": of_mean}
        return ObjectiveOutput(loss, metrics)

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw the reconstruction; see `Pixels.pictures`."""
        visible, masked, _ = self.draw(batch)
        predicted = self.decoder(self.encoder(batch.clips, visible), visible, masked)
        return self.pixels.pictures(predicted, batch.clips, visible, masked)


def make(config: VideoMaeConfig, seed: int, *, with_weights: bool) -> VideoMae:
    """Make the objective; see `choice.build`."""
    return VideoMae(config, seed)
