"""An exported encoder, read back: `load_encoder`."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate

from surgstream.trainer.errors import ModelError
from surgstream.trainer.export.folder.forms import FORMS, Form
from surgstream.trainer.export.folder.record import ExportRecord, read_record
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.layouts import Weights
from surgstream.trainer.models.vit import Encoder


class PretrainedEncoder(nn.Module):
    """An encoder that was exported. `load_encoder` makes one.

    Attributes:
        config: Its numbers, and those of its clips: `config.encoder.num_frames`, `config.encoder.image_size`,
            `config.fps`, `config.stride`, `config.mean`, `config.std`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ExportRecord) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.register_buffer("mean", torch.tensor(config.mean), persistent=False)
        self.register_buffer("std", torch.tensor(config.std), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Encode clips, or still images where the encoder was trained on images as such.

        Args:
            clips: (B, C, T, H, W) float, as `prepare` returns them; images have one frame.

        Returns:
            (B, N, D), the normed tokens in the order of time, row, column.

        Raises:
            ModelError: They are of another size or length than the encoder's.
        """
        numbers = self.config.encoder
        expected = (3, numbers.num_frames, numbers.image_size, numbers.image_size)
        of_image = (3, 1, *expected[2:])
        is_image = numbers.images and clips.shape[1:] == of_image
        if clips.ndim != 5 or not (is_image or clips.shape[1:] == expected):
            or_one = ", of images (B, {}, {}, {}, {})".format(*of_image) if numbers.images else ""
            raise ModelError(
                f"clips: expected the shape (B, {', '.join(map(str, expected))}){or_one}, got "
                f"{(*clips.shape,)}"
            )
        tokens: Tensor = self.encoder(clips)
        return tokens

    def prepare(self, frames: Tensor | npt.NDArray[np.uint8]) -> Tensor:
        """Make clips of frames, as held-out clips are made in training.

        The largest centred square of each frame is resized and normalised.

        Args:
            frames: (T, H, W, 3) or (B, T, H, W, 3) uint8, a tensor or an array: RGB, oldest first, `stride / fps`
                seconds apart. Of an image T is 1.

        Returns:
            (B, C, T, H, W) float32, on the encoder's device.

        Raises:
            ModelError: They are of another shape or type.
        """
        if isinstance(frames, np.ndarray):
            frames = torch.from_numpy(np.ascontiguousarray(frames))
        if frames.ndim not in (4, 5) or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
            shape = (*frames.shape,)
            raise ModelError(
                f"frames: expected (T, H, W, 3) or (B, T, H, W, 3) bytes, got {shape} of "
                f"{frames.dtype}"
            )

        clips = frames.to(self.mean.device).reshape(-1, *frames.shape[-4:])
        height, width = clips.shape[2:4]
        side = min(height, width)
        top = (height - side) // 2
        left = (width - side) // 2
        squares = clips[:, :, top : top + side, left : left + side]
        images = rearrange(squares, "b t h w c -> (b t) c h w").float()

        size = self.config.encoder.image_size
        resized = interpolate(images, (size, size), mode="bilinear", antialias=True)
        # Rounded to bytes, as the loader's resized frames are
        pixels = rearrange(resized.round().clamp(0, 255), "(b t) c h w -> b t h w c", b=len(clips))
        normalised = (pixels / 255 - self.mean) / self.std
        return rearrange(normalised, "b t h w c -> b c t h w").contiguous()


def load_encoder(folder: str | Path) -> PretrainedEncoder:
    """Read a folder that `surgstream export` wrote, in any layout.

    Args:
        folder: The folder.

    Returns:
        The encoder, on the CPU, in eval mode.

    Raises:
        ModelError: It is not such a folder, or its weights are not those of the encoder it speaks of.
    """
    record, state = read_folder(Path(folder))
    loaded = PretrainedEncoder(record)
    try:
        loaded.encoder.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        file = Path(folder) / form_of(record, Path(folder)).file
        raise ModelError(
            f"{file}: expected the encoder that config.json tells of: {reason}"
        ) from None

    return loaded.eval()


def read_folder(folder: Path) -> tuple[ExportRecord, Weights]:
    """Read the content of a folder that `surgstream export` wrote, in any layout.

    Returns:
        The content of its `config.json`, and the weights by the names that they have in an `Encoder`.

    Raises:
        ModelError: It is not such a folder, or its weights are not those of an encoder of the size it speaks of.
    """
    record = read_record(folder)
    form = form_of(record, folder)
    state = form.read(folder, record.encoder)
    _check_size(state, record.encoder, folder / form.file)
    return record, state


def form_of(record: ExportRecord, folder: Path) -> Form:
    """The form in which a folder has its weights.

    Raises:
        ModelError: Its layout has none for such an encoder.
    """
    form = FORMS[record.layout].get(record.encoder.positions)
    if form is None:
        raise ModelError(
            f"{folder}: expected an encoder that {record.layout} has a place for, got "
            f"{record.encoder.positions} positions; export it again"
        )
    return form


def _check_size(state: Weights, encoder: EncoderConfig, file: Path) -> None:
    """Make sure that the file holds about as much as config.json says, before memory for that is taken.

    Raises:
        ModelError: It does not.
    """
    shape = encoder.shape
    per_token = 3 * encoder.tubelet_size * encoder.patch_size**2
    expected = {
        "embedding.projection.weight": (shape.embed_dim, per_token),
        "norm.weight": (shape.embed_dim,),
    }
    got = {name: (*state[name].shape,) if name in state else None for name in expected}
    depth = sum(name.startswith("blocks.") and name.endswith(".norm1.weight") for name in state)

    if got != expected or depth != shape.depth:
        raise ModelError(
            f"{file}: expected the encoder that config.json tells of, {shape.depth} blocks and "
            f"{expected}, got {depth} blocks and {got}"
        )
