"""The layout of V-JEPA 2.1's weights; see `docs/recipes_next.md`."""

from surgstream.trainer.models.layouts import TIMM_BLOCKS, TUBELETS, Layout, Split, renames_of
from surgstream.trainer.models.networks import NetworkInFile

_LEVELS = ("encoder.norms_block.0", "encoder.norms_block.1", "encoder.norms_block.2")


def vjepa2_1(*, levels: bool = False, images: bool = False) -> Layout:
    """The layout, for an encoder that has a place for all that is there, or for a part of it.

    Args:
        levels: Whether the encoder has all four levels; without them only the norm of the last one is taken.
        images: Whether it has a tokenizer of images; without it, what says that tokens are of videos is added to the
            bias that makes them.
    """
    ignored = [] if levels else [*_LEVELS]
    if not images:
        ignored += ["encoder.patch_embed_img", "encoder.img_mod_embed"]

    return Layout(
        whose="V-JEPA 2.1's own code",
        positions="rope_scaled",
        encoder=NetworkInFile("patch_embed.proj.weight", within="encoder."),
        networks=(
            NetworkInFile("patch_embed.proj.weight", within="encoder."),
            NetworkInFile("predictor_norm.weight", within="predictor."),
        ),
        renames=renames_of(
            stacks=(
                ("encoder.blocks", "encoder.blocks"),
                ("predictor.blocks", "predictor.predictor_blocks"),
            ),
            blocks=TIMM_BLOCKS,
            others=(
                ("encoder.embedding.projection", "encoder.patch_embed.proj"),
                ("encoder.embedding.image_projection", "encoder.patch_embed_img.proj"),
                ("encoder.embedding.modality.of_videos", "encoder.video_mod_embed"),
                ("encoder.embedding.modality.of_images", "encoder.img_mod_embed"),
                ("encoder.norm", "encoder.norms_block.3"),
                ("encoder.level_norms.*", "encoder.norms_block.*"),
                # One layer, or an MLP where it is given several levels
                ("predictor.projection", "predictor.predictor_embed"),
                ("predictor.mask_tokens", "predictor.mask_tokens"),
                ("predictor.modality.of_videos", "predictor.video_mod_embed"),
                ("predictor.modality.of_images", "predictor.img_mod_embed"),
                ("predictor.norm", "predictor.predictor_norm"),
                ("predictor.visible_head", "predictor.predictor_proj_context"),
                ("predictor.head", "predictor.predictor_proj"),
            ),
        ),
        shapes={
            "encoder.embedding.projection.weight": TUBELETS,
            "encoder.embedding.image_projection.weight": ("d (c p q)", "d c 1 p q"),
            "encoder.embedding.modality.of_videos": ("d", "1 1 d"),
            "encoder.embedding.modality.of_images": ("d", "1 1 d"),
            "predictor.mask_tokens": ("n d", "n 1 d"),
            "predictor.modality.of_videos": ("d", "1 1 d"),
            "predictor.modality.of_images": ("d", "1 1 d"),
        },
        we_split=(Split(".qkv.bias", (".q_bias", ".k_bias", ".v_bias")),),
        they_split=(Split(".mask_tokens"),),
        added=() if images else (("encoder.video_mod_embed", "encoder.patch_embed.proj.bias"),),
        ignored=tuple(ignored),
    )
