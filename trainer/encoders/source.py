"""A video encoder of ours or of others, as it is read: its numbers, its weights, and what its clips were like."""

from dataclasses import dataclass

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.layouts import Weights
from surgstream.trainer.models.vit import NORM_EPS


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoSource:
    """An encoder of clips before it is built.

    Attributes:
        name: What it is called in tables.
        numbers: Its network; `image_size` and `num_frames` are those of the clips that it was trained on.
        weights: By the names that they have in an `Encoder`.
        fps: Frames a second that its clips were cut at; None where that is not known.
        stride: Frames of that rate from one frame of a clip to the next; None where that is not known.
        mean: Per channel, what was subtracted from pixels in [0, 1].
        std: Per channel, what they were then divided by.
        norm_eps: Epsilon of its LayerNorms.
        last_norm_eps: That of the last one, where it has another; None is `norm_eps`.
        pools_first: Whether its last norm comes after the mean over its tokens, as in VideoMAE's fine-tuning.
    """

    name: str
    numbers: EncoderConfig
    weights: Weights
    fps: float | None = None
    stride: int | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    norm_eps: float = NORM_EPS
    last_norm_eps: float | None = None
    pools_first: bool = False
