"""VideoMAE: masked video reconstruction, the recipe of SurgRec-MAE.

"VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training" (Tong et al., 2022).
The encoder sees a tenth of a clip's tubes, and a decoder predicts the normalised pixels of the others:

    L = mean (p - p')^2 over masked tokens alone.

With `masks`, blocks are hidden instead, as V-JEPA hides them, and a clip is encoded once for each kind of mask. With
rotary positions this is the first stage of SALT (arXiv 2509.24317), by the lines of `docs/recipes_next.md`:

    [F1] t = the tubelet's pixels, normalised as VideoMAE's
    [F2] L = mean over kinds of masks of mean over masked tokens of (decoder(F(clip, visible)) - t)^2
"""

from statistics import fmean

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.decoder import Decoder
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.base import NetworkUse, Objective, ObjectiveOutput, Pass
from surgstream.trainer.objectives.config import VideoMaeConfig
from surgstream.trainer.objectives.masks.block_draws import (
    draw_blocks,
    most_visible,
    typical_counts,
)
from surgstream.trainer.objectives.masks.mask import TokenCount
from surgstream.trainer.objectives.masks.masking import num_masked_tubes
from surgstream.trainer.objectives.masks.tube_draws import (
    TubeDraws,
    draw_drop_paths,
    draw_tubes,
)
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
        self.masks_change_size = bool(config.masks)
        self.counts = tuple(self._counts())
        self.num_visible, self.num_masked = (
            round(fmean(kinds)) for kinds in zip(*self.counts, strict=True)
        )

        self.pixels = Pixels(config.encoder)
        self.encoder = Encoder(config.encoder)
        self.decoder = Decoder(
            config.decoder, self.grid, config.encoder.shape.embed_dim, self.pixels.per_token
        )

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder, which sees some tokens, and the decoder, which predicts others from them."""
        encodings = tuple(Pass(self.config.encoder, visible) for visible, _ in self.counts)
        decodings = tuple(Pass(self.config.decoder, sum(count)) for count in self.counts)

        encoding_flops = sum(self.encoder.flops(visible) for visible, _ in self.counts)
        decoding_flops = sum(self.decoder.flops(*count) for count in self.counts)
        return {
            "encoder": NetworkUse(self.encoder, encoding_flops, encodings),
            "decoder": NetworkUse(self.decoder, decoding_flops, decodings),
        }

    def draw(self, batch: ClipBatch) -> list[TubeDraws]:
        """Draw what to hide, the tubes or each kind of blocks, and, in training, drop paths."""
        if not self.config.masks:
            return [draw_tubes(self.config, self.seed, batch, training=self.training)]

        device = batch.clips.device
        masks = draw_blocks(self.grid, self.config.masks, self.seed, batch.draws, device)
        scales = draw_drop_paths(self.config, self.seed, batch, training=self.training)
        return [TubeDraws(*mask, scales) for mask in masks]

    def losses(self, clips: Tensor, targets: None, draws: list[TubeDraws]) -> ObjectiveOutput:
        """Compute the loss; `loss/reconstruction_of_mean` is the loss of the tubelets' own means."""
        losses = []
        of_mean = []
        for visible, masked, drop_path_scales in draws:
            encoded = self.encoder(clips, visible, drop_path_scales[0])
            predicted = self.decoder(encoded, visible, masked, drop_path_scales[1])
            loss, yardstick = self.pixels.losses(predicted, clips, masked)
            losses.append(loss)
            of_mean.append(yardstick)

        loss = torch.stack(losses).mean()
        metrics = {
            "loss/reconstruction": loss.detach(),
            "loss/reconstruction_of_mean": torch.stack(of_mean).mean(),
        }
        return ObjectiveOutput(loss, metrics)

    def worst_case(self, batch: ClipBatch) -> ClipBatch:
        """The draws, among some steps', with the most visible tokens: the worst case for memory."""
        return most_visible(
            batch, lambda tried: sum(draws.visible.numel() for draws in self.draw(tried))
        )

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw the reconstruction; see `Pixels.pictures`."""
        visible, masked, _ = self.draw(batch)[0]
        predicted = self.decoder(self.encoder(batch.clips, visible), visible, masked)
        return self.pixels.pictures(predicted, batch.clips, visible, masked)

    def _counts(self) -> list[TokenCount]:
        """The tokens that each kind of mask shows and hides; about, of blocks."""
        if self.config.masks:
            return typical_counts(self.grid, self.config.masks)
        num_masked = self.grid.slices * num_masked_tubes(self.grid, self.config.mask_ratio)
        return [TokenCount(self.num_tokens - num_masked, num_masked)]


def make(config: VideoMaeConfig, seed: int, *, with_weights: bool) -> VideoMae:
    """Make the objective; see `choice.build`."""
    return VideoMae(config, seed)
