"""What all frozen encoders have in common."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from surgstream.trainer.models.config import Grid


class FrozenEncoder(nn.Module, ABC):
    """An encoder that is not trained; in evaluation mode, and without gradients.

    Attributes:
        name: What it is called in tables, such as `surgvista step_00060000`.
        identity: SHA-256 of its weights and of what else decides its features, in hexadecimal.
        num_frames: Frames of a clip, T.
        image_size: Height and width of a clip in pixels.
        grid: Tokens of a clip along each axis: slices S, rows, columns; N in all.
        embed_dim: Width of a token, D.
        pooled_dim: Width of what `pooled` and `slices` return; D of most.
        fps: Frames a second that it was trained at, times `stride` apart; None where that is not known.
        stride: Frames of that rate from one frame of a clip to the next; None where that is not known.
    """

    name: str
    identity: str
    num_frames: int
    image_size: int
    grid: Grid
    embed_dim: int
    pooled_dim: int
    fps: float | None = None
    stride: int | None = None

    @abstractmethod
    def tokens(self, clips: Tensor) -> Tensor:
        """Encode clips.

        Args:
            clips: (B, 3, T, H, W), normalised as those of a `ClipBatch`; an encoder that was trained with other means
                and deviations of pixels changes them by itself.

        Returns:
            (B, N, D), the normed tokens of patches in the order of time, row, column.
        """

    def slices(self, clips: Tensor) -> Tensor:
        """One vector for each slice of time, by default the mean of its tokens: (B, S, pooled_dim) float32."""
        tokens = self.tokens(clips).float()
        by_slice = tokens.reshape(len(tokens), self.grid.slices, self.grid.num_tubes, -1)
        return by_slice.mean(2)

    def pooled(self, clips: Tensor) -> Tensor:
        """One vector for each clip, the mean over its slices: (B, pooled_dim) float32."""
        return self.slices(clips).mean(1)

    @abstractmethod
    def flops(self) -> int:
        """Floating point operations of a forward pass of one clip."""
