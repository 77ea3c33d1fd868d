"""The forms in which an encoder is written: whose names its weights have, in which file, under which keys."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from safetensors.torch import save

from surgstream.trainer.errors import ModelError
from surgstream.trainer.export.folder.record import LayoutName
from surgstream.trainer.models.config import EncoderConfig, Positions
from surgstream.trainer.models.layouts import Layout, Weights
from surgstream.trainer.models.networks import WeightsFile
from surgstream.trainer.models.published import LAYOUTS
from surgstream.trainer.objectives.config import ObjectiveConfig, predictor_of

ENCODER = "encoder."
PREDICTOR = "predictor."
_OURS = "embedding.projection.weight"


@dataclass(frozen=True)
class Form:
    """The form that one reader expects.

    Attributes:
        layout: The names of its weights; None is ours.
        file: The file that holds them.
        has_predictor: Whether it reads a predictor with the encoder, as V-JEPA 2's readers do.
    """

    layout: Layout | None
    file: str
    has_predictor: bool = False

    @property
    def networks(self) -> tuple[str, ...]:
        """The prefix of our names of those weights that are written."""
        return (ENCODER, PREDICTOR) if self.has_predictor else (ENCODER,)

    def to_bytes(self, state: Weights, encoder: EncoderConfig) -> bytes:
        """The content of the file.

        Args:
            state: The weights of `networks`, by our names.
            encoder: The encoder that they belong to.
        """
        state = {name: tensor for name, tensor in state.items() if name.startswith(self.networks)}
        weights = self.layout.export(state, encoder) if self.layout else state
        if self.file.endswith(".safetensors"):
            return save(weights, metadata={"format": "pt"})
        content = io.BytesIO()
        torch.save(_by_network(weights) if self.has_predictor else {"model": weights}, content)
        return content.getvalue()

    def read(self, folder: Path, encoder: EncoderConfig) -> Weights:
        """The encoder's weights by the names that they have in an `Encoder`.

        Raises:
            ModelError: The file cannot be read, or a weight has no place in the layout.
        """
        file = WeightsFile(folder / self.file, setting=None)
        try:
            if self.layout is None:
                return file.network(_OURS, "an exported encoder").weights
            state = self.layout.read(file, encoder, only_encoder=True)
        except ModelError as error:
            raise ModelError(f"{folder / self.file}: {error}") from None
        return {name.removeprefix(ENCODER): tensor for name, tensor in state.items()}


def _by_network(weights: Weights) -> dict[str, Weights]:
    """V-JEPA 2's file: a state for each network, under the names that its wrappers give.

    Some of its readers take `encoder`, others `target_encoder`: they get the same one.
    """
    encoder, predictor = (
        {
            f"module.backbone.{key.removeprefix(network)}": t
            for key, t in weights.items()
            if key.startswith(network)
        }
        for network in (ENCODER, PREDICTOR)
    )
    return {"encoder": encoder, "target_encoder": encoder, "predictor": predictor}


FORMS: Mapping[LayoutName, Mapping[Positions, Form]] = {
    "surgstream": dict.fromkeys(get_args(Positions), Form(None, "model.safetensors")),
    "transformers": {
        "sinusoid": Form(LAYOUTS["transformers_videomae"], "model.safetensors"),
        "sincos": Form(
            LAYOUTS["surgvista"], "model.safetensors"
        ),  # for the model that is copied next to it
        "rope": Form(LAYOUTS["transformers_vjepa2"], "model.safetensors", has_predictor=True),
    },
    "videomae": {"sinusoid": Form(LAYOUTS["videomae"], "model.pth")},
    "surgvista": {"sincos": Form(LAYOUTS["surgvista"], "model.pth")},
    "vjepa2": {"rope": Form(LAYOUTS["vjepa2"], "model.pt", has_predictor=True)},
}


def form_for(name: LayoutName, objective: ObjectiveConfig) -> Form:
    """The form in which a layout has an objective's encoder.

    Raises:
        ModelError: It has none; says which have.
    """
    positions = objective.encoder.positions
    predictor = predictor_of(objective)
    fitting = {
        layout: forms[positions]
        for layout, forms in FORMS.items()
        if positions in forms and (predictor or not forms[positions].has_predictor)
    }

    if name not in fitting:
        without = "" if predictor else " and no predictor"
        raise ModelError(
            f"--layout: expected {' or '.join(fitting)}, which have a place for an encoder with "
            f"{positions} positions{without}, got {name}"
        )

    return fitting[name]
