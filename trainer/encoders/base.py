"""What all frozen encoders have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from surgstream.trainer.errors import ModelError
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
        num_layers: Blocks whose tokens `layers` returns; 1 where there is no telling them apart.
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
    num_layers: int = 1

    @abstractmethod
    def tokens(self, clips: Tensor) -> Tensor:
        """Encode clips.

        Args:
            clips: (B, 3, T, H, W), normalised as those of a `ClipBatch`; an encoder that was trained with other means
                and deviations of pixels changes them by itself.

        Returns:
            (B, N, D), the normed tokens of patches in the order of time, row, column.
        """

    def layers(self, clips: Tensor, numbers: Sequence[int]) -> list[Tensor]:
        """Tokens of some blocks, normed as those of the last one are.

        Args:
            clips: (B, 3, T, H, W), see `tokens`.
            numbers: The blocks, from 0 to `num_layers` - 1.

        Returns:
            (B, N, D) of each, in the order in which they are named.
        """
        tokens = self.tokens(clips)
        return [tokens for _ in numbers]

    def slices(self, clips: Tensor) -> Tensor:
        """One vector for each slice of time, by default the mean of its tokens: (B, S, pooled_dim) float32."""
        return means_of_slices(self.tokens(clips), self.grid)

    def pooled(self, clips: Tensor) -> Tensor:
        """One vector for each clip, the mean over its slices: (B, pooled_dim) float32."""
        return self.slices(clips).mean(1)

    def check(self, clips: Tensor) -> None:
        """Make sure that clips are of the length and size that were asked for.

        Raises:
            ModelError: They are not.
        """
        expected = (3, self.num_frames, self.image_size, self.image_size)
        if clips.ndim != 5 or clips.shape[1:] != expected:
            raise ModelError(
                f"{self.name}: expected clips of the shape (B, {', '.join(map(str, expected))}), "
                f"got {(*clips.shape,)}"
            )

    @abstractmethod
    def flops(self) -> int:
        """Floating point operations of a forward pass of one clip."""


def means_of_slices(tokens: Tensor, grid: Grid) -> Tensor:
    """The mean of the tokens of each slice of time.

    Args:
        tokens: (B, N, D), in the order of time, row, column.
        grid: Tokens of a clip along each axis.

    Returns:
        (B, S, D) float32.
    """
    by_slice = tokens.float().reshape(len(tokens), grid.slices, grid.num_tubes, -1)
    return by_slice.mean(2)
