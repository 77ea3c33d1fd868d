"""What a frozen encoder is read from, and how it is run."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from surgstream.configs.ranges import Range
from surgstream.trainer.models.config import MAX_PIXELS, EncoderConfig

RANDOM = "random"
PIXELS = "pixels"
TIMM = "timm:"
"""Weights that are no file: random ones, none, and those that timm downloads by the name of a model behind this.

`random:WEIGHTS` has the architecture, clips and pixels of any other weights, `random:timm:MODEL` among them.
"""


@dataclass(frozen=True, kw_only=True)
class FrozenConfig:
    """A frozen encoder, beside its `weights`: a file or folder, `timm:MODEL`, `random`, `random:WEIGHTS`, or `pixels`.

    Attributes:
        layout: The naming of the weights; `auto` knows our checkpoints and exports, and transformers' folders. See
            `warm_start.layout`; `timm` is any image model of timm, whose name is `model`.
        model: The model of timm that a file of weights is of.
        prefix: The prefix of the weights' names; see `warm_start.prefix`.
        averaged: Take the moving average of the weights where there is one.
        shape: The encoder's numbers, where the weights do not tell them, and of `random`; null finds them. A layout
            tells positions itself.
        num_frames: Frames of a clip; null is as many as it was trained with, 1 of image models. With 1 an encoder that
            has a tokenizer of images (V-JEPA 2.1) takes each frame for an image.
        image_size: Height and width of a clip in pixels; null is what it was trained with.
        interpolate: Of clips of another length or size than that of the training, take positions between those of the
            training, as pixels of dense tasks want it; otherwise they go on beyond them. timm's models do so anyhow.
        known_as: Whose published weights these are, a family of `configs/evaluate/known_weights.yaml`: tells what they
            were trained on, where they do not tell it themselves.
        autocast: `bf16` computes in bf16 where it is safe; `auto` does so on GPUs only; `none` is fp32 throughout.
    """

    free_to_change: ClassVar[tuple[str, ...]] = ("known_as",)

    layout: Literal[
        "auto",
        "surgstream",
        "videomae",
        "surgvista",
        "vjepa2",
        "vjepa2_1",
        "transformers_videomae",
        "transformers_vjepa2",
        "timm",
    ] = "auto"
    model: str | None = None
    prefix: str | None = None
    averaged: bool = True
    shape: EncoderConfig | None = None
    num_frames: Annotated[int, Range(1, 4096)] | None = None
    image_size: Annotated[int, Range(1, MAX_PIXELS)] | None = None
    known_as: str | None = None
    interpolate: bool = False
    autocast: Literal["auto", "bf16", "none"] = "auto"

    def computes_in_bf16(self, *, on_gpu: bool) -> bool:
        """Whether autocast is on."""
        return self.autocast == "bf16" or (self.autocast == "auto" and on_gpu)
