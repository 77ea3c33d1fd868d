"""Supervised: an encoder is fine-tuned on the labels of a task, as SurgVISTA and VideoMAE are.

The encoder's tokens, without its final norm, are averaged; a new LayerNorm, dropout and a linear layer make outputs:

    z = W dropout(LayerNorm(mean_n x_n)) + b.

Of one class a row, with targets y that smoothing and mixing make soft, and of several classes a row:

    L = -sum_c y_c log softmax(z)_c        and        L = -mean_c [y_c log s(z_c) + (1 - y_c) log(1 - s(z_c))],

where s is the sigmoid. Of numbers, L is the smooth L1 loss of z and (y - mean) / std. All are means over clips. Mixing
makes a clip's loss depend on its micro-batch, and so on its size, but not on the number of ranks.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.vit import NORM_EPS, Encoder
from surgstream.trainer.objectives.base import NetworkUse, Objective, ObjectiveOutput, Pass
from surgstream.trainer.objectives.config import LabelKind, SupervisedConfig
from surgstream.trainer.objectives.label_mixing import MixDraw, draw_mixing, mix, soft_targets
from surgstream.trainer.objectives.masks.masking import draw_drop_path_scales, draw_dropout_scales
from surgstream.trainer.objectives.masks.tube_draws import to_device
from surgstream.trainer.objectives.pixels import Pixels

_HEAD_STD = 0.02
"""Deviation of the linear layer's initial weights before they are scaled, as in VideoMAE's code."""

_LOSSES: dict[LabelKind, str] = {
    "class": "loss/cross_entropy",
    "multilabel": "loss/binary_cross_entropy",
    "number": "loss/smooth_l1",
}


class SupervisedDraws(NamedTuple):
    """What is random about a micro-batch; None where nothing is.

    Attributes:
        mixing: Pairs of clips, and the share of each.
        dropout: (B, D) float32, the factor of each pooled feature.
        drop_path_scales: (B, depth, 2) float32, see `Block.forward`.
    """

    mixing: MixDraw | None
    dropout: Tensor | None
    drop_path_scales: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What labels are, once the task has said so.

    Attributes:
        kind: What a label is.
        num_outputs: Classes, or 1 of numbers.
        mean: Mean of the training labels, of numbers.
        std: Their deviation.
    """

    kind: LabelKind
    num_outputs: int
    mean: float
    std: float


class Supervised(Objective):
    """The encoder, its head and their loss.

    Args:
        config: Its numbers.
        labels: What is learned.
        seed: Decides mixing, dropout and drop paths, together with each clip's g.
    """

    against_collapse = "Lower optim.base_lr or data.augment, or lengthen optim.warmup_epochs"
    leaves_out = ("encoder.norm.",)

    def __init__(self, config: SupervisedConfig, labels: Labels, seed: int) -> None:
        super().__init__()
        self.config = config
        self.labels = labels
        self.seed = seed
        self.num_tokens = config.encoder.grid.num_tokens
        self.num_visible = self.num_tokens
        self.num_masked = 0

        embed_dim = config.encoder.shape.embed_dim
        self.encoder = Encoder(config.encoder)
        self.encoder.norm = nn.Identity()
        self.fc_norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(embed_dim, labels.num_outputs)
        self.pixels = Pixels(config.encoder)

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder, which sees all tokens, and the head."""
        num_tokens = self.num_tokens
        encoding = Pass(self.config.encoder, num_tokens)
        head = nn.ModuleList([self.fc_norm, self.head])
        head_flops = 2 * 3 * self.head.in_features * self.head.out_features
        return {
            "encoder": NetworkUse(self.encoder, self.encoder.flops(num_tokens), (encoding,)),
            # Its one vector a clip is nothing beside the encoder's tokens; still it is trained
            "head": NetworkUse(head, head_flops, (Pass(self.config.encoder, 0),)),
        }

    def init_weights(self, generator: torch.Generator) -> None:
        """Give the networks their initial weights; the linear layer's are normal ones, cut off, times `init_scale`."""
        super().init_weights(generator)
        bound = 2 * _HEAD_STD
        weight = self.head.weight
        nn.init.trunc_normal_(weight, std=_HEAD_STD, a=-bound, b=bound, generator=generator)
        with torch.no_grad():
            weight.mul_(self.config.init_scale)

    def targets(self, batch: ClipBatch) -> Tensor:
        """The labels of the clips; see `ClipBatch`."""
        if batch.labels is None:
            raise ModelError(
                "objective.name: supervised learns labels, which these clips have not; set a task"
            )
        return batch.labels

    def draw(self, batch: ClipBatch) -> SupervisedDraws:
        """Draw mixing, dropout and drop paths, in training."""
        if not self.training:
            return SupervisedDraws(None, None, None)

        device = batch.clips.device
        dropout = None
        if self.config.dropout:
            width = self.head.in_features
            factors = draw_dropout_scales(self.config.dropout, width, self.seed, batch.draws)
            dropout = to_device(factors, device)

        drop_path_scales = None
        encoder = self.config.encoder
        if encoder.drop_path:
            scales = draw_drop_path_scales(
                encoder.drop_path, encoder.shape.depth, self.seed, 0, batch.draws
            )
            drop_path_scales = to_device(scales, device)
        return SupervisedDraws(self._mixing(batch), dropout, drop_path_scales)

    def losses(self, clips: Tensor, targets: Tensor, draws: SupervisedDraws) -> ObjectiveOutput:
        """Compute the loss, and the accuracy where a label is one class and no clips are mixed.

        Args:
            clips: (B, C, T, H, W).
            targets: The labels, as `ClipBatch.labels` has them.
            draws: See `draw`.
        """
        wanted = self._soft(targets)
        if draws.mixing is not None:
            clips, wanted = mix(clips, wanted, draws.mixing)

        outputs = self._outputs(clips, draws)
        loss = self._loss(outputs, wanted)

        metrics = {_LOSSES[self.labels.kind]: loss.detach()}
        if self.labels.kind == "class" and self.config.mix is None:
            hits = outputs.argmax(1) == targets
            metrics["train/accuracy"] = hits.float().mean()
        return ObjectiveOutput(loss, metrics)

    @torch.no_grad()
    def scores(self, clips: Tensor) -> Tensor:
        """Predict the labels of clips, without anything random.

        Args:
            clips: (B, C, T, H, W).

        Returns:
            (B, C) float32: probabilities of classes, which add up to 1 where a label is one class; or numbers, C = 1.
        """
        outputs = self._outputs(clips, SupervisedDraws(None, None, None))
        if self.labels.kind == "class":
            return outputs.softmax(1)
        if self.labels.kind == "multilabel":
            return outputs.sigmoid()
        return outputs * self.labels.std + self.labels.mean

    @torch.no_grad()
    def pictures(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Draw the clips as they come, and as the model sees them in training where they are mixed."""
        rows = {"augmented": batch.clips}
        mixing = self._mixing(batch)
        if mixing is not None and batch.labels is not None:
            rows["mixed"], _ = mix(batch.clips, self._soft(batch.labels), mixing)
        return {name: self.pixels.plain(clips).clamp(0.0, 1.0) for name, clips in rows.items()}

    def _mixing(self, batch: ClipBatch) -> MixDraw | None:
        if self.config.mix is None:
            return None
        height, width = batch.clips.shape[-2:]
        size = (height, width)
        return draw_mixing(self.config.mix, self.seed, batch.draws, size, batch.clips.device)

    def _outputs(self, clips: Tensor, draws: SupervisedDraws) -> Tensor:
        """The outputs z (B, C) float32, before any softmax."""
        tokens = self.encoder(clips, None, draws.drop_path_scales)
        pooled: Tensor = self.fc_norm(tokens.mean(1))
        if draws.dropout is not None:
            pooled = pooled * draws.dropout
        outputs: Tensor = self.head(pooled)
        return outputs.float()

    def _soft(self, labels: Tensor) -> Tensor:
        """Labels as what outputs should become, (B, C) float32."""
        if self.labels.kind == "class":
            return soft_targets(labels, self.labels.num_outputs, self.config.smoothing)
        if self.labels.kind == "multilabel":
            return labels.float()
        return ((labels.float() - self.labels.mean) / self.labels.std).unsqueeze(1)

    def _loss(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        if self.labels.kind == "class":
            return -(wanted * outputs.log_softmax(1)).sum(1).mean()
        if self.labels.kind == "multilabel":
            return F.binary_cross_entropy_with_logits(outputs, wanted)
        return F.smooth_l1_loss(outputs, wanted)


def make(config: SupervisedConfig, seed: int, *, with_weights: bool) -> Supervised:
    """Make the objective; see `choice.build`. Without weights it may be counted before a task is known.

    Raises:
        ModelError: The labels are not known.
    """
    if with_weights and (config.kind is None or config.num_outputs is None):
        raise ModelError(
            "objective: expected kind and num_outputs, which a task says, got neither; set task"
        )
    labels = Labels(
        kind=config.kind or "class",
        num_outputs=config.num_outputs or 1,
        mean=0.0 if config.mean is None else config.mean,
        std=1.0 if config.std is None else config.std,
    )
    return Supervised(config, labels, seed)
