"""Frozen video transformers: ours and those that others publish, all of them an `Encoder` with its own last norm."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from surgstream.trainer.encoders.base import FrozenEncoder, means_of_slices
from surgstream.trainer.encoders.colours import Renormalise
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.encoders.identity import identity_of
from surgstream.trainer.encoders.positions import interpolated, interpolated_rope
from surgstream.trainer.encoders.source import VideoSource
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.config import EncoderConfig, Grid
from surgstream.trainer.models.embed import fixed_positions
from surgstream.trainer.models.initial import initialise, initialise_rescaled
from surgstream.trainer.models.networks import differences_between
from surgstream.trainer.models.vit import Encoder

log = logging.getLogger(__name__)

_SHOWN = 4


class VideoEncoder(FrozenEncoder):
    """A frozen video transformer.

    Args:
        source: Where its weights are from; `numbers` are those of the clips that it is given now.
        trained: The grid of its training, whose positions are interpolated; None has positions of the grid of now.
        of_images: Take still images, clips of one frame, by their own tokenizer.

    Raises:
        ModelError: The weights are not those of such a network.
    """

    def __init__(
        self, source: VideoSource, trained: Grid | None = None, *, of_images: bool = False
    ) -> None:
        super().__init__()
        numbers = source.numbers
        self.name = source.name
        self.fps = source.fps
        self.stride = source.stride
        self.of_images = of_images
        self.num_frames = 1 if of_images else numbers.num_frames
        self.image_size = numbers.image_size
        self.grid = numbers.grid._replace(slices=1) if of_images else numbers.grid
        self.embed_dim = numbers.shape.embed_dim
        self.pooled_dim = self.embed_dim
        self.pools_first = source.pools_first
        self.num_layers = numbers.shape.depth

        self.pixels = Renormalise(source.mean, source.std)
        self.encoder = _filled(numbers, source.weights)
        for module in self.encoder.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = source.norm_eps
        last_norm = self.encoder.norm
        assert isinstance(last_norm, nn.LayerNorm)
        last_norm.eps = source.last_norm_eps or source.norm_eps
        deciding = _deciding(source, self.num_frames)
        if trained and trained != numbers.grid:
            _interpolate(self.encoder, numbers, trained)
            deciding["positions"] = [numbers.positions, "interpolated", list(trained)]
        self.identity = identity_of(deciding, self.encoder.state_dict())
        self.requires_grad_(False).eval()

    def _hidden(self, clips: Tensor) -> Tensor:
        """The tokens (B, N, D) of the last block."""
        self.check(clips)
        return self.encoder.before_norm(self.pixels(clips))

    def tokens(self, clips: Tensor) -> Tensor:
        """See `FrozenEncoder.tokens`; a norm that was trained after pooling is applied to each token."""
        normed: Tensor = self.encoder.norm(self._hidden(clips))
        return normed

    def layers(self, clips: Tensor, numbers: Sequence[int]) -> list[Tensor]:
        """See `FrozenEncoder.layers`."""
        self.check(clips)
        found = self.encoder.after_blocks(self.pixels(clips), numbers)
        return [self.encoder.norm(tokens) for tokens in found]

    def slices(self, clips: Tensor) -> Tensor:
        """See `FrozenEncoder.slices`; a norm that was trained after pooling is applied to each mean."""
        if not self.pools_first:
            return super().slices(clips)
        means: Tensor = self.encoder.norm(means_of_slices(self._hidden(clips), self.grid))
        return means.float()

    def pooled(self, clips: Tensor) -> Tensor:
        """See `FrozenEncoder.pooled`; a norm that was trained after pooling is applied to the mean."""
        if not self.pools_first:
            return super().pooled(clips)
        mean: Tensor = self.encoder.norm(self._hidden(clips).float().mean(1))
        return mean.float()

    def flops(self) -> int:
        """Floating point operations of a forward pass of one clip."""
        num_tokens = self.grid.num_tokens
        return self.encoder.flops(num_tokens, backward=False, of_image=self.of_images)


def build_video(source: VideoSource, config: FrozenConfig) -> VideoEncoder:
    """A frozen encoder of clips of the length and size that are asked for.

    Args:
        source: What was read.
        config: `num_frames` and `image_size` change those that it was trained with.

    Raises:
        ModelError: The clips do not fit its patches, or the weights are not those of such a network.
    """
    trained = source.numbers
    # Images are told from clips by their one frame, so they leave the length of clips as it is
    of_images = trained.images and config.num_frames == 1
    num_frames = None if of_images else config.num_frames
    numbers = replace(
        trained,
        num_frames=num_frames or trained.num_frames,
        image_size=config.image_size or trained.image_size,
        drop_path=0.0,
        activation_checkpointing=False,
    )
    if problems := list(numbers.problems()):
        raise ModelError(f"encoder: {source.name}: {'; '.join(problems)}")

    trained_grid = trained.grid if config.interpolate else None
    if numbers.positions == "sinusoid" and numbers.grid != trained.grid and not trained_grid:
        log.warning(
            "%s numbers its tokens through, and was trained with clips of %s tokens, not %s: each "
            "of them gets another position than in training",
            source.name,
            " x ".join(map(str, trained.grid)),
            " x ".join(map(str, numbers.grid)),
        )
    return VideoEncoder(replace(source, numbers=numbers), trained_grid, of_images=of_images)


def random_source(source: VideoSource, seed: int) -> VideoSource:
    """The same architecture with the initial weights of a pretraining, as a yardstick.

    Args:
        source: What it stands beside.
        seed: Decides the weights.
    """
    # Modules draw default weights when they are made, from the global generator.
    with torch.random.fork_rng(devices=[]):
        encoder = Encoder(source.numbers)
    start = initialise_rescaled if source.numbers.is_rotary else initialise
    start(encoder, torch.Generator().manual_seed(seed))

    weights = {name: tensor.detach() for name, tensor in encoder.state_dict().items()}
    return replace(source, name=f"random {source.name}".strip(), weights=weights, pools_first=False)


def _interpolate(encoder: Encoder, numbers: EncoderConfig, trained: Grid) -> None:
    """Put positions of the training's grid, interpolated, in the place of those of another grid."""
    shape = numbers.shape
    if numbers.positions == "rope_scaled":
        return  # those of space are scaled already, those of time go on
    if encoder.rope is not None:
        head_dim = shape.embed_dim // shape.num_heads
        encoder.rope.tables = interpolated_rope(head_dim, trained, numbers.grid)
        return
    fixed = fixed_positions(numbers.positions, shape.embed_dim, trained)
    assert fixed is not None
    encoder.embedding.positions = interpolated(fixed, trained, numbers.grid)


def _filled(numbers: EncoderConfig, weights: Mapping[str, Tensor]) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        encoder = Encoder(numbers)

    places = encoder.state_dict()
    if differences := list(differences_between(weights, places)):
        shown = "; ".join(differences[:_SHOWN])
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise ModelError(
            f"expected the weights of an encoder with {numbers.positions} positions, got others: "
            f"{shown}{more}"
        )
    encoder.load_state_dict(dict(weights))
    return encoder


def _deciding(source: VideoSource, num_frames: int) -> dict[str, object]:
    """The numbers that decide features, whatever words they were given in."""
    numbers = source.numbers
    return {
        "kind": "video",
        "shape": list(numbers.shape),
        "clip": [num_frames, numbers.image_size],
        "tubelet": [numbers.tubelet_size, numbers.patch_size],
        "positions": numbers.positions,
        "pixels": [list(source.mean), list(source.std)],
        "norm_eps": [source.norm_eps, source.last_norm_eps or source.norm_eps],
        "pools_first": source.pools_first,
    }
