"""VideoMAE: masked video reconstruction, the recipe of SurgRec-MAE.

"VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training" (Tong et al., 2022).
The encoder sees a tenth of a clip's tubes, and a decoder predicts the normalised pixels of the others:

    L = mean (p - p')^2 over masked tokens alone.
"""

from typing import Any

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import Transformer
from surgstream.trainer.models.decoder import Decoder
from surgstream.trainer.models.vit import Encoder, initialise, num_parameters
from surgstream.trainer.objectives.base import Objective, ObjectiveOutput
from surgstream.trainer.objectives.config import VideoMaeConfig
from surgstream.trainer.objectives.masking import num_masked_tubes
from surgstream.trainer.objectives.pixels import Pixels
from surgstream.trainer.objectives.tube_draws import TubeDraws, draw_tubes


class VideoMae(Objective):
    """The autoencoder and its loss. `build` makes one that is ready to train.

    Args:
        config: Its numbers.
        seed: Decides masks and drop paths, together with each clip's g.
    """

    def __init__(self, config: VideoMaeConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed, self.grid = config, seed, config.encoder.grid
        self.num_tokens = self.grid.num_tokens
        self.num_masked = self.grid.slices * num_masked_tubes(self.grid, config.mask_ratio)
        self.num_visible = self.num_tokens - self.num_masked
        self.pixels, self.encoder = Pixels(config.encoder), Encoder(config.encoder)
        self.decoder = Decoder(config.decoder, self.grid, config.encoder.shape.embed_dim, self.pixels.per_token)
        self._training_losses = self._losses

    def targets(self, batch: ClipBatch) -> None:
        """Nothing: the pixels are the targets."""

    def forward(self, batch: ClipBatch, targets: None = None) -> ObjectiveOutput:
        """Compute the loss; `loss/reconstruction_of_mean` is what the tubelets' own means would score."""
        losses = self._training_losses if self.training else self._losses
        return losses(batch.clips, self._draw(batch))

    def after_optimizer_step(self) -> None:
        """Nothing follows: no network is averaged."""

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw the reconstruction; see `Pixels.pictures`."""
        visible, masked, _ = self._draw(batch)
        predicted = self.decoder(self.encoder(batch.clips, visible), visible, masked)
        return self.pixels.pictures(predicted, batch.clips, visible, masked)

    def compile_parts(self, **options: Any) -> None:
        """Compile the pass and its loss into one graph, for training alone."""
        self._training_losses = torch.compile(self._losses, **options)

    def trained(self) -> list[tuple[Transformer, int]]:
        """The encoder, and the decoder, which sees all tokens."""
        return [(self.config.encoder, self.num_visible), (self.config.decoder, self.num_tokens)]

    def flops(self) -> dict[str, int]:
        """Floating point operations of a forward and a backward pass of a clip, by network."""
        return {
            "encoder": self.encoder.flops(self.num_visible),
            "decoder": self.decoder.flops(self.num_visible, self.num_masked),
        }

    def parts(self) -> dict[str, int]:
        """Parameters by network, fixed positions counted but not trainable."""
        parts = {name: num_parameters(self.get_submodule(name)) for name in ("encoder", "decoder")}
        trainable = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return parts | {"total": sum(parts.values()), "trainable": trainable}

    def _losses(self, clips: Tensor, draws: TubeDraws) -> ObjectiveOutput:
        visible, masked, keeps = draws
        predicted = self.decoder(self.encoder(clips, visible, keeps[0]), visible, masked, keeps[1])
        loss, of_mean = self.pixels.losses(predicted, clips, masked)
        return ObjectiveOutput(loss, {"loss/reconstruction": loss.detach(), "loss/reconstruction_of_mean": of_mean})

    def _draw(self, batch: ClipBatch) -> TubeDraws:
        config = self.config
        return draw_tubes(config.encoder, config.decoders, config.mask_ratio, self.seed, batch, training=self.training)


def build(config: VideoMaeConfig, seed: int) -> VideoMae:
    """Make the objective of a run, with its initial weights, on the CPU.

    Args:
        config: Its numbers.
        seed: Decides initial weights, masks and drop paths; the global generators are left as they were.

    Returns:
        The same weights for the same config and seed.
    """
    with torch.random.fork_rng(devices=[]):
        objective = VideoMae(config, seed)
    initialise(objective, torch.Generator().manual_seed(seed))
    return objective


def outline(config: VideoMaeConfig) -> VideoMae:
    """Make the objective on the meta device: shapes to count with, no values."""
    with torch.device("meta"):
        return VideoMae(config, seed=0)
