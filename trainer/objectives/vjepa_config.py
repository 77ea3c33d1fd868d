"""What V-JEPA 2.1 adds to V-JEPA; see `docs/recipes_next.md`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from surgstream.configs.ranges import Range
from surgstream.trainer.objectives.masks.masking import BlockMask


@dataclass(frozen=True, kw_only=True)
class ContextConfig:
    """The loss of visible tokens, [J8] and [J9].

    Attributes:
        weight: Its weight for videos, lambda.
        image_weight: Its weight for images.
        by_distance: Whether a token at distance d from the nearest masked one weighs 1 / sqrt(d); false weighs all
            alike.
        from_clips: Clips of the run after which the weight begins to grow from 0.
        full_at_clips: Clips after which it is whole; at `from_clips` it is whole at once.
    """

    weight: Annotated[float, Range(0, 1e6)] = 0.5
    image_weight: Annotated[float, Range(0, 1e6)] = 0.5
    by_distance: bool = True
    from_clips: Annotated[int, Range(0, 10**15)] = 0
    full_at_clips: Annotated[int, Range(0, 10**15)] = 0

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        if self.full_at_clips < self.from_clips:
            yield (
                f"full_at_clips: expected from_clips ({self.from_clips}) or more, got "
                f"{self.full_at_clips}"
            )

    def ramp(self, clips_seen: int) -> float:
        """The share of the weight that holds after so many clips: 0, then a line, then 1."""
        if clips_seen >= self.full_at_clips:
            return 1.0
        if clips_seen <= self.from_clips:
            return 0.0
        return (clips_seen - self.from_clips) / (self.full_at_clips - self.from_clips)


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """Still images beside videos, [J11]: datasets of the corpus that were packed as `stills`.

    Attributes:
        masks: The kinds of masks of images. Every image is encoded once with each.
        share: Share of the clips that are images, as `data.order.weights` draws them.
        loss_share: Share of the loss that they have, r; null is that of the clips.
    """

    masks: tuple[BlockMask, ...] = (BlockMask(num_blocks=10, scale=0.15),)
    share: Annotated[float, Range(0.001, 0.999)]
    loss_share: Annotated[float, Range(0.001, 0.999)] | None = None

    def problems(self) -> Iterator[str]:
        """Fields that do not fit together, one sentence each."""
        if not self.masks:
            yield "masks: expected at least one kind, got none"

    @property
    def weights(self) -> tuple[float, float]:
        """The weights of a video's and of an image's loss: (1 - r) / (1 - share), and r / share."""
        loss_share = self.share if self.loss_share is None else self.loss_share
        return (1 - loss_share) / (1 - self.share), loss_share / self.share
