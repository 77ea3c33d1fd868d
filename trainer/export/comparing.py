"""The check that an exported folder, read as a user will read it, gives the features of the training encoder."""

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surgstream.trainer.errors import ModelError
from surgstream.trainer.export.folder.forms import ENCODER
from surgstream.trainer.export.folder.reading import load_encoder
from surgstream.trainer.export.folder.record import Check
from surgstream.trainer.export.source import TrainedEncoder
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.vit import Encoder

log = logging.getLogger(__name__)

MAX_DIFFERENCE = 1e-4
"""The tolerance for float32 features of about unit size; other code's kernels stay below a tenth of it."""


def check(folder: Path, source: TrainedEncoder) -> Check:
    """Read the folder by all code that can, and compare the features of one clip with the training encoder's.

    transformers reads what is written for it where it is installed.

    Args:
        folder: The folder that was written.
        source: The checkpoint that was trained.

    Raises:
        ModelError: They differ by more than `MAX_DIFFERENCE`, or one of them cannot read it.
    """
    clip = fixed_clip(source.recipe.objective.encoder)
    expected = trained_features(source, clip)
    written = load_encoder(folder)

    found = {"surgstream": _features(written, clip)}
    if written.config.layout == "transformers" and _has_transformers():
        found |= {"transformers": _transformers_features(folder, clip, written.config.encoder)}
    differences = {}
    for reader, features in found.items():
        differences[reader] = float((features - expected).abs().max())

    for reader, difference in differences.items():
        # Not `>`, which would let NaN pass
        if not difference <= MAX_DIFFERENCE:
            raise ModelError(
                f"--layout {written.config.layout}: expected {reader} to read the features of the "
                f"training encoder, got others, by up to {difference:.2g}; nothing was exported"
            )

    return Check(largest_difference=max(differences.values()), read_by=tuple(differences))


def _has_transformers() -> bool:
    """Whether transformers is there, and works; it is no dependency."""
    if importlib.util.find_spec("transformers") is None:
        return False
    try:
        # The teacher's module declares what torchvision, which transformers imports, lacks with a CPU-only torch.
        for module in ("surgstream.trainer.models.images.teacher", "transformers.modeling_utils"):
            importlib.import_module(module)
    except ImportError as error:
        log.warning(
            "transformers is installed and does not work here, so it reads nothing again: %s", error
        )
        return False
    return True


def fixed_clip(encoder: EncoderConfig) -> Tensor:
    """A clip of noise, always the same: (1, C, T, H, W)."""
    shape = (1, 3, encoder.num_frames, encoder.image_size, encoder.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def trained_features(source: TrainedEncoder, clips: Tensor) -> Tensor:
    """The tokens (B, N, D) of the encoder as it was trained."""
    encoder = Encoder(source.recipe.objective.encoder)
    state = {}
    for name, tensor in source.state.items():
        if name.startswith(ENCODER):
            state[name.removeprefix(ENCODER)] = tensor
    encoder.load_state_dict(state)
    return _features(encoder.eval(), clips)


@torch.no_grad()
def _features(encoder: torch.nn.Module, clips: Tensor) -> Tensor:
    tokens: Tensor = encoder(clips)
    return tokens


@torch.no_grad()
def _transformers_features(folder: Path, clips: Tensor, encoder: EncoderConfig) -> Tensor:
    """Features of the clips by transformers' own model, or by the model that is copied next to the weights."""
    import transformers

    from surgstream.trainer.export.modeling_surgical_vit import SurgicalVitModel

    options: dict[str, Any] = {}
    kind: Any = SurgicalVitModel if encoder.positions == "sincos" else transformers.VideoMAEModel
    if encoder.positions == "rope":
        kind = transformers.VJEPA2Model
        options = {"skip_predictor": True}

    theirs, loaded = kind.from_pretrained(folder, output_loading_info=True)
    wrong = {key: names for key, names in loaded.items() if names}
    if wrong:
        raise ModelError(
            f"--layout transformers: expected it to take every weight, got {wrong}; nothing was "
            "exported"
        )
    # Theirs takes (B, T, C, H, W)
    output = theirs.eval()(clips.transpose(1, 2), **options)
    tokens: Tensor = output.last_hidden_state
    return tokens
