"""Pixels of masked tokens as targets, and pictures of a model's predictions of them."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.embed import from_tubelets, take_tokens, to_tubelets
from surgstream.trainer.objectives.colours import only

_STD_EPS = 1e-6
_GREY = 0.5
_ERROR_GAIN = 4.0


class Pixels(nn.Module):
    """The pixels of a clip's tokens, and the losses of their predictions.

    Args:
        config: The encoder, whose tubelets these are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.grid = config.grid
        self.tubelet = (config.tubelet_size, config.patch_size)
        self.per_token = 3 * config.tubelet_size * config.patch_size**2
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1, 1), persistent=False)

    def plain(self, clips: Tensor) -> Tensor:
        """Clips as loaded, (B, C, T, H, W), with values in [0, 1] again."""
        return clips * self.std + self.mean

    def losses(self, predicted: Tensor, clips: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """The mean squared error over the masked tokens' normalised pixels.

        Args:
            predicted: (B, M, C t p p).
            clips: (B, C, T, H, W).
            masked: (B, M) int64, the predicted tokens.

        Returns:
            The loss, and the loss of every tubelet's own mean, 0, in place of a prediction.
        """
        true_pixels = normalise_pixels(take_tokens(self._tubelets(clips), masked))[0]
        return F.mse_loss(predicted.float(), true_pixels), true_pixels.square().mean()

    def pictures(
        self, predicted: Tensor, clips: Tensor, visible: Tensor, masked: Tensor
    ) -> dict[str, Tensor]:
        """Draw `original`, `masked` (in grey), `reconstruction` and `error`, each (B, 3, T, H, W) in [0, 1].

        The reconstruction shows visible tokens as they are and masked ones as predicted, brought back to pixels with
        their own true mean and deviation, which the model does not predict. The error is four times the absolute
        difference, averaged over channels. For the arguments see `losses` and `hidden`.
        """
        original, hidden = self.hidden(clips, visible, masked)
        tubelets = self._tubelets(clips).clamp(0.0, 1.0)

        _, mean, std = normalise_pixels(take_tokens(tubelets, masked))
        painted = rearrange(predicted.float(), "b m (c p) -> b m c p", c=3) * std + mean
        painted = rearrange(painted, "b m c p -> b m (c p)").clamp(0.0, 1.0)
        index = masked.unsqueeze(-1).expand_as(painted)
        with_predictions = tubelets.scatter(1, index, painted)
        reconstruction = from_tubelets(with_predictions, self.grid, *self.tubelet)
        difference = (original - reconstruction).abs().mean(1, keepdim=True)
        error = (_ERROR_GAIN * difference).clamp(max=1.0)

        return {
            "original": original,
            "masked": hidden,
            "reconstruction": reconstruction,
            "error": error.expand_as(original),
        }

    def hidden(self, clips: Tensor, visible: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Draw clips as they are, and as a mask leaves them.

        Args:
            clips: (B, C, T, H, W).
            visible: (B, V) int64, the tokens that the encoder sees.
            masked: (B, M) int64, the tokens to predict, in grey; what is neither is black.

        Returns:
            Two of (B, 3, T, H, W) in [0, 1].
        """
        tubelets = self._tubelets(clips).clamp(0.0, 1.0)
        in_grey = masked.unsqueeze(-1).expand(-1, -1, tubelets.shape[-1])
        shown = only(tubelets, visible).scatter(1, in_grey, _GREY)

        original = from_tubelets(tubelets, self.grid, *self.tubelet)
        hidden = from_tubelets(shown, self.grid, *self.tubelet)
        return original, hidden

    def _tubelets(self, clips: Tensor) -> Tensor:
        """All tokens' pixels in [0, 1], (B, N, C t p p)."""
        return to_tubelets(self.plain(clips), *self.tubelet)


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
