"""The files that transformers needs besides the weights: its own numbers, a processor, and a model if it has none."""

import json
from pathlib import Path
from typing import Any

from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.models.vit import NORM_EPS
from surgstream.trainer.objectives.config import ObjectiveConfig, predictor_of

MODELLING = "modeling_surgical_vit.py"
"""The module that is copied next to the weights of an encoder with sincos positions, which transformers lacks."""


def numbers(objective: ObjectiveConfig) -> dict[str, Any]:
    """Its `config.json`; `form_for` has made sure that it has a model for the encoder."""
    encoder = objective.encoder
    predictor = predictor_of(objective)
    if predictor:
        theirs = _vjepa2_numbers(encoder, predictor)
    elif encoder.positions == "sinusoid":
        theirs = _videomae_numbers(encoder)
    else:
        theirs = _surgical_vit_numbers(encoder)
    return _common_numbers(encoder) | theirs


def files(encoder: EncoderConfig) -> dict[str, bytes]:
    """Its processor, which prepares frames as ours are for the held-out loss, and the model it lacks."""
    if encoder.positions == "rope":
        # VJEPA2VideoProcessor would cut an eighth off each side that held-out clips show
        processor = _processor(encoder, video_processor_type="BaseVideoProcessor")
        written = {"video_preprocessor_config.json": processor}
    else:
        processor = _processor(encoder, image_processor_type="VideoMAEImageProcessor")
        written = {"preprocessor_config.json": processor}

    if encoder.positions == "sincos":
        written[MODELLING] = Path(__file__).with_name(MODELLING).read_bytes()
    return written


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
    return _clip_numbers(encoder) | {
        "model_type": "videomae",
        "architectures": ["VideoMAEModel"],
        "num_channels": 3,
        "use_mean_pooling": False,
    }


def _surgical_vit_numbers(encoder: EncoderConfig) -> dict[str, Any]:
    module = MODELLING.removesuffix(".py")
    return _clip_numbers(encoder) | {
        "model_type": "surgical_vit",
        "architectures": ["SurgicalVitModel"],
        "auto_map": {
            "AutoConfig": f"{module}.SurgicalVitConfig",
            "AutoModel": f"{module}.SurgicalVitModel",
        },
    }


def _clip_numbers(encoder: EncoderConfig) -> dict[str, Any]:
    return {
        "image_size": encoder.image_size,
        "num_frames": encoder.num_frames,
        "intermediate_size": encoder.shape.mlp_dim,
    }


def _vjepa2_numbers(encoder: EncoderConfig, predictor: PredictorConfig) -> dict[str, Any]:
    return {
        "model_type": "vjepa2",
        "architectures": ["VJEPA2Model"],
        "crop_size": encoder.image_size,
        "frames_per_clip": encoder.num_frames,
        "in_chans": 3,
        "mlp_ratio": encoder.shape.mlp_ratio,
        "pred_hidden_size": predictor.embed_dim,
        "pred_num_attention_heads": predictor.num_heads,
        "pred_num_hidden_layers": predictor.depth,
        "pred_num_mask_tokens": predictor.num_mask_tokens,
        "pred_mlp_ratio": predictor.shape.mlp_ratio,
    }


def _processor(encoder: EncoderConfig, **kind: str) -> bytes:
    side = encoder.image_size
    settings = {
        **kind,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 2,  # bilinear
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": IMAGENET_MEAN,
        "image_std": IMAGENET_STD,
    }

    return (json.dumps(settings, indent=2) + "\n").encode()
