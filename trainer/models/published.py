"""The layouts of published weights: VideoMAE, SurgVISTA, V-JEPA 2 and 2.1 as released, transformers' of two of them.

VideoMAE V2, SurgRec-MAE and fine-tuned models have VideoMAE's, SurgRec-JEPA and SurgMotion V-JEPA 2's. A fine-tuned
model's norm comes after its pooling and is called `fc_norm`; it is the nearest thing to the encoder's own.
"""

from collections.abc import Mapping

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.models.layouts import (
    TIMM_BLOCKS,
    TUBELETS,
    Layout,
    Pairs,
    Split,
    Weights,
    renames_of,
)
from surgstream.trainer.models.networks import NetworkInFile, WeightsFile
from surgstream.trainer.models.vjepa21_layout import vjepa2_1

OURS = NetworkInFile("encoder.embedding.projection.weight")
"""An encoder by our own names, in no other code's layout."""

OUTER_NORM = NetworkInFile("fc_norm.weight")
"""The norm of transformers' fine-tuned VideoMAE, which is no part of the encoder there."""

_QKV_APART = Split(".qkv.weight", (".query.weight", ".key.weight", ".value.weight"))
_HEAD_WEIGHT = ("(c t p q) d", "(t p q c) d")
_HEAD_BIAS = ("(c t p q)", "(t p q c)")
_VIDEOMAE_SHAPES = {
    "encoder.embedding.projection.weight": TUBELETS,
    "decoder.mask_token": ("d", "1 1 d"),
    "decoder.head.weight": _HEAD_WEIGHT,
    "decoder.head.bias": _HEAD_BIAS,
}
_VIDEOMAE_DECODER: Pairs = (
    ("decoder.projection", "encoder_to_decoder"),
    ("decoder.mask_token", "mask_token"),
    ("decoder.norm", "decoder.norm"),
    ("decoder.head", "decoder.head"),
)

VIDEOMAE = Layout(
    whose="VideoMAE's own code",
    positions="sinusoid",
    encoder=NetworkInFile("patch_embed.proj.weight", within="encoder."),
    networks=(NetworkInFile("encoder.patch_embed.proj.weight"),),
    renames=renames_of(
        stacks=(("encoder.blocks", "encoder.blocks"), ("decoder.blocks", "decoder.blocks")),
        blocks=TIMM_BLOCKS,
        others=(
            ("encoder.embedding.projection", "encoder.patch_embed.proj"),
            ("encoder.norm", "encoder.norm"),
            ("encoder.norm", "encoder.fc_norm"),
            *_VIDEOMAE_DECODER,
        ),
    ),
    shapes=_VIDEOMAE_SHAPES,
    ignored=("encoder.head",),
)

TRANSFORMERS_VIDEOMAE = Layout(
    whose="transformers' VideoMAEForPreTraining",
    positions="sinusoid",
    encoder=NetworkInFile("embeddings.patch_embeddings.projection.weight", within="videomae."),
    networks=(NetworkInFile("videomae.embeddings.patch_embeddings.projection.weight"),),
    renames=renames_of(
        stacks=(
            ("encoder.blocks", "videomae.encoder.layer"),
            ("decoder.blocks", "decoder.decoder_layers"),
        ),
        blocks=(
            ("attention.projection", "attention.output.dense"),
            ("attention.q_bias", "attention.attention.q_bias"),
            ("attention.v_bias", "attention.attention.v_bias"),
            ("attention.qkv", "attention.attention.qkv"),
            ("mlp.0", "intermediate.dense"),
            ("mlp.2", "output.dense"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
        ),
        others=(
            ("encoder.embedding.projection", "videomae.embeddings.patch_embeddings.projection"),
            ("encoder.norm", "videomae.layernorm"),
            *_VIDEOMAE_DECODER,
        ),
    ),
    shapes=_VIDEOMAE_SHAPES,
    they_split=(_QKV_APART,),
)

SURGVISTA = Layout(
    whose="SurgVISTA's own code",
    positions="sincos",
    encoder=NetworkInFile("patch_embed.proj.weight"),
    networks=(NetworkInFile("patch_embed.proj.weight"),),
    renames=renames_of(
        stacks=(
            ("encoder.blocks", "blocks"),
            ("reconstruction_decoder.blocks", "decoder_vid.blocks"),
            ("distillation_decoder.blocks", "decoder_img.blocks"),
        ),
        blocks=TIMM_BLOCKS,
        others=(
            ("encoder.embedding.projection", "patch_embed.proj"),
            ("encoder.norm", "norm"),
            ("encoder.norm", "fc_norm"),
            ("reconstruction_decoder.projection", "down_vid"),
            ("reconstruction_decoder.mask_token", "mask_token_vid"),
            ("reconstruction_decoder.norm", "decoder_vid.norm"),
            ("reconstruction_decoder.head", "decoder_vid.head"),
            ("distillation_decoder.projection", "down_img"),
            ("distillation_decoder.mask_token", "mask_token_img"),
            ("distillation_decoder.norm", "decoder_img.norm"),
            ("distillation_decoder.head", "decoder_img.head"),
        ),
    ),
    shapes={
        "encoder.embedding.projection.weight": TUBELETS,
        "reconstruction_decoder.mask_token": ("d", "1 1 d"),
        "distillation_decoder.mask_token": ("d", "1 1 d"),
        "reconstruction_decoder.head.weight": _HEAD_WEIGHT,
        "reconstruction_decoder.head.bias": _HEAD_BIAS,
    },
    ignored=("pos_embed", "pos_embed_vid", "pos_embed_img", "head"),
)

VJEPA2 = Layout(
    whose="V-JEPA 2's own code",
    positions="rope",
    encoder=NetworkInFile("patch_embed.proj.weight", within="encoder."),
    networks=(
        NetworkInFile("patch_embed.proj.weight", within="encoder."),
        NetworkInFile("predictor_embed.weight", within="predictor."),
    ),
    renames=renames_of(
        stacks=(
            ("encoder.blocks", "encoder.blocks"),
            ("predictor.blocks", "predictor.predictor_blocks"),
        ),
        blocks=TIMM_BLOCKS,
        others=(
            ("encoder.embedding.projection", "encoder.patch_embed.proj"),
            ("encoder.norm", "encoder.norm"),
            ("predictor.projection", "predictor.predictor_embed"),
            ("predictor.mask_tokens", "predictor.mask_tokens"),
            ("predictor.norm", "predictor.predictor_norm"),
            ("predictor.head", "predictor.predictor_proj"),
        ),
    ),
    shapes={
        "encoder.embedding.projection.weight": TUBELETS,
        "predictor.mask_tokens": ("n d", "n 1 d"),
    },
    we_split=(Split(".qkv.bias", (".q_bias", ".k_bias", ".v_bias")),),
    they_split=(Split(".mask_tokens"),),
    ignored=("encoder.pos_embed", "predictor.predictor_pos_embed"),
)

TRANSFORMERS_VJEPA2 = Layout(
    whose="transformers' VJEPA2Model",
    positions="rope",
    encoder=NetworkInFile("embeddings.patch_embeddings.proj.weight", within="encoder."),
    networks=(NetworkInFile("encoder.embeddings.patch_embeddings.proj.weight"),),
    renames=renames_of(
        stacks=(("encoder.blocks", "encoder.layer"), ("predictor.blocks", "predictor.layer")),
        blocks=(
            ("attention.projection", "attention.proj"),
            ("attention.q_bias", "attention.query.bias"),
            ("attention.k_bias", "attention.key.bias"),
            ("attention.v_bias", "attention.value.bias"),
            ("attention.qkv", "attention.qkv"),
            ("mlp.0", "mlp.fc1"),
            ("mlp.2", "mlp.fc2"),
            ("norm1", "norm1"),
            ("norm2", "norm2"),
        ),
        others=(
            ("encoder.embedding.projection", "encoder.embeddings.patch_embeddings.proj"),
            ("encoder.norm", "encoder.layernorm"),
            ("predictor.projection", "predictor.embeddings.predictor_embeddings"),
            ("predictor.mask_tokens", "predictor.embeddings.mask_tokens"),
            ("predictor.norm", "predictor.layernorm"),
            ("predictor.head", "predictor.proj"),
        ),
    ),
    shapes={
        "encoder.embedding.projection.weight": TUBELETS,
        "predictor.mask_tokens": ("n d", "n 1 1 d"),
    },
    they_split=(_QKV_APART,),
)

LAYOUTS: Mapping[str, Layout] = {
    "videomae": VIDEOMAE,
    "surgvista": SURGVISTA,
    "vjepa2": VJEPA2,
    "vjepa2_1": vjepa2_1(),
    "transformers_videomae": TRANSFORMERS_VIDEOMAE,
    "transformers_vjepa2": TRANSFORMERS_VJEPA2,
}


def read_weights(
    file: WeightsFile,
    layout: str,
    encoder: EncoderConfig,
    *,
    only_encoder: bool,
    averaged: bool,
) -> tuple[Weights, Weights]:
    """Weights by our names, out of a file in any layout.

    Args:
        file: The file.
        layout: One of `LAYOUTS`, or `surgstream` for our own names, under which a file has no averages.
        encoder: The encoder that they belong to.
        only_encoder: Whether other networks than the encoder may be missing there.
        averaged: Whether averages are wanted.

    Returns:
        The weights, and the encoder's moving average, which is empty where there is none or it is not wanted.

    Raises:
        ModelError: A network is not there or not whole, or a weight has no place; names the file.
    """
    try:
        if layout == "surgstream":
            return file.network(OURS.anchor, "an encoder of ours").weights, {}
        theirs = LAYOUTS[layout]
        if layout == "vjepa2_1":
            theirs = vjepa2_1(levels=bool(encoder.levels), images=encoder.images)
        weights = theirs.read(file, encoder, only_encoder=only_encoder)
        averages = theirs.read_average(file, encoder) if averaged else {}
    except ModelError as error:
        raise ModelError(f"{file.setting}: {file.path}: {error}") from None
    return weights, averages
