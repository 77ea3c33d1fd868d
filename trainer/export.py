"""`surgstream export`: the pretrained encoder of a checkpoint, for others to use."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save

from configs.errors import ConfigError
from configs.loading import build, to_tree
from trainer.config import TrainConfig
from trainer.engine.checkpoint import tensors
from trainer.engine.saved import damage, read_progress
from trainer.errors import CheckpointError, ModelError
from trainer.models.config import EncoderConfig, PredictorConfig
from trainer.models.layouts import Weights
from trainer.models.published import TRANSFORMERS_VIDEOMAE, TRANSFORMERS_VJEPA2
from trainer.models.vit import MLP_RATIO, NORM_EPS
from trainer.objectives.config import ObjectiveConfig

HELP = """\
Write the encoder of a checkpoint as OUT/model.safetensors, with its numbers in OUT/config.json.

  surgstream export runs/surgrec/checkpoints/step_00060000 exported
  surgstream export runs/surgrec/checkpoints/step_00060000 exported --layout transformers

The layout `surgstream` is what `warm_start: {weights: exported, parts: encoder}` reads. `transformers` is what its
`VideoMAEModel.from_pretrained` reads of encoders with sinusoid positions, and its `VJEPA2Model.from_pretrained` of
those with rotary ones, whose predictor goes with them. It has no model for encoders with `sincos` positions.

Where a moving average of the encoder is kept, it is what is written, unless `--weights trained` is given.
"""

_ENCODER, _NETWORKS = ("encoder.",), ("encoder.", "predictor.")


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="surgstream export", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="a checkpoint's directory, .../checkpoints/step_...")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to make; it must be empty or not exist")
    parser.add_argument("--layout", choices=("surgstream", "transformers"), default="surgstream")
    parser.add_argument("--weights", choices=("average", "trained"), default="average")
    words = parser.parse_args(argv)
    sys.stdout.write(export(words.checkpoint, words.out, words.layout, averaged=words.weights == "average") + "\n")
    return 0


def export(checkpoint: Path, out: Path, layout: str, *, averaged: bool) -> str:
    """Write the encoder.

    Args:
        checkpoint: The checkpoint's directory.
        out: Folder to make.
        layout: `surgstream` or `transformers`.
        averaged: Whether to write the moving average, where there is one.

    Returns:
        What was written, in a sentence.

    Raises:
        CheckpointError: It is damaged, or of a version that kept no configuration.
        ModelError: transformers has no such model, or `out` is not empty.
    """
    if found := damage(checkpoint):
        raise CheckpointError(f"{checkpoint}: not a whole checkpoint: {found}")
    progress = read_progress(checkpoint)
    try:
        objective = build(TrainConfig, progress.state["config"], where=f"{checkpoint}: its configuration").objective
    except (LookupError, ConfigError) as error:
        raise CheckpointError(f"{checkpoint}: expected the configuration it was trained with: {error}") from None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out}: exists and is not empty; choose another folder or delete it")
    trained, average = dict(tensors(checkpoint, "param")), dict(tensors(checkpoint, "average")) if averaged else {}
    state = trained | average
    numbers: dict[str, Any]
    if layout == "transformers":
        weights, numbers = for_transformers(objective, state)
    else:
        weights = {name: tensor for name, tensor in state.items() if name.startswith(_ENCODER)}
        numbers = {"encoder": to_tree(objective.encoder)}
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    (out / "config.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    which = "averaged encoder" if average else "encoder"
    count = sum(tensor.numel() for tensor in weights.values())
    return f"{out}: the {which} of step {progress.step} of {objective.name}, {count:,} weights for {layout}"


def for_transformers(objective: ObjectiveConfig, state: Weights) -> tuple[Weights, dict[str, Any]]:
    """Weights and configuration of the model that transformers has for an encoder.

    Args:
        objective: What it was trained with.
        state: The objective's weights by our names.

    Raises:
        ModelError: It has none.
    """
    encoder = objective.encoder
    kept: tuple[str, ...] = _ENCODER
    predictor = getattr(objective, "predictor", None)
    if encoder.positions == "rope" and predictor is not None:
        layout, numbers, kept = TRANSFORMERS_VJEPA2, _vjepa2_numbers(encoder, predictor), _NETWORKS
    elif encoder.positions == "sinusoid":
        layout, numbers = TRANSFORMERS_VIDEOMAE, _videomae_numbers(encoder)
    else:
        raise ModelError(
            f"objective.encoder.positions: expected sinusoid (VideoMAE) or rope (V-JEPA 2), which transformers has "
            f"models for, got {encoder.positions}; use --layout surgstream"
        )
    return layout.export({name: tensor for name, tensor in state.items() if name.startswith(kept)}, encoder), numbers


def _common_numbers(encoder: EncoderConfig) -> dict[str, Any]:
    shape = encoder.shape
    return {
        "patch_size": encoder.patch_size,
        "tubelet_size": encoder.tubelet_size,
        "hidden_size": shape.embed_dim,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.num_heads,
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": NORM_EPS,
    }


def _videomae_numbers(encoder: EncoderConfig) -> dict[str, Any]:
    return _common_numbers(encoder) | {
        "model_type": "videomae",
        "architectures": ["VideoMAEModel"],
        "image_size": encoder.image_size,
        "num_frames": encoder.num_frames,
        "num_channels": 3,
        "intermediate_size": MLP_RATIO * encoder.shape.embed_dim,
        "use_mean_pooling": False,
    }


def _vjepa2_numbers(encoder: EncoderConfig, predictor: PredictorConfig) -> dict[str, Any]:
    return _common_numbers(encoder) | {
        "model_type": "vjepa2",
        "architectures": ["VJEPA2Model"],
        "crop_size": encoder.image_size,
        "frames_per_clip": encoder.num_frames,
        "in_chans": 3,
        "mlp_ratio": float(MLP_RATIO),
        "pred_hidden_size": predictor.embed_dim,
        "pred_num_attention_heads": predictor.num_heads,
        "pred_num_hidden_layers": predictor.depth,
        "pred_num_mask_tokens": predictor.num_mask_tokens,
        "pred_mlp_ratio": float(MLP_RATIO),
    }
