"""SALT: a frozen video encoder as teacher in the place of V-JEPA's moving average.

"Rethinking JEPA: Compute-Efficient Video SSL with Frozen Teachers" (arXiv 2509.24317). Stage 1 trains the teacher F, a
masked autoencoder, which is `videomae` here; or any other encoder of videos is taken. Stage 2 is this objective. By the
lines of `docs/recipes_next.md`:

    [F3] h = F(clip), frozen, all tokens
    [F4] z_k = P(E(clip, visible_k), masked_k), the predictor's head as wide as F
    [F5] L = mean over kinds of masks k of mean |z_k - h| over masked tokens

Nothing is averaged, and nothing is needed against a collapse: targets do not follow the student. Whether h passes a
LayerNorm without parameters, the paper does not say. Here it does, as V-JEPA's targets do; `normalise_targets: false`
takes it raw. The size of blocks, and the number of tokens to which clips are cut, belong to the micro-batch, as there.
"""

import torch
from torch import Tensor

from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.embed import take_tokens
from surgstream.trainer.models.videos.teacher import VideoTeacher
from surgstream.trainer.objectives.base import NetworkUse, ObjectiveOutput
from surgstream.trainer.objectives.jepa import Jepa, distance_of_mean
from surgstream.trainer.objectives.jepa_config import SaltConfig
from surgstream.trainer.objectives.masks.block_draws import draw_blocks, typical_counts
from surgstream.trainer.objectives.masks.mask import Mask


class Salt(Jepa):
    """The student and its loss.

    Args:
        config: Its numbers.
        teacher: Held unregistered: moved with this module, but neither optimised nor saved.
        seed: Decides masks, together with each clip's g.
    """

    teacher: VideoTeacher
    against_collapse = (
        "A frozen teacher's features do not follow the student's: where targets are alike, choose "
        "another teacher (objective.teacher); where only predictions are, lower optim.base_lr, or "
        "lengthen optim.warmup_epochs"
    )

    def __init__(self, config: SaltConfig, teacher: VideoTeacher, seed: int) -> None:
        super().__init__(
            config,
            seed,
            typical_counts(config.encoder.grid, config.masks),
            target_dim=teacher.embed_dim,
            normalise_targets=config.normalise_targets,
        )
        self.config = config
        self.attach_frozen("teacher", teacher)

    def networks(self) -> dict[str, NetworkUse]:
        """The encoder and the predictor, and the teacher, which sees whole clips."""
        return super().networks() | {"teacher": NetworkUse(self.teacher, self.teacher.flops())}

    def features(self, clips: Tensor) -> Tensor:
        """What the teacher makes of every token, scaled as the predictions are to be: (B, N, D_F) float32, [F3]."""
        return self._scaled(self.teacher(clips).float())

    def draw(self, batch: ClipBatch) -> list[Mask]:
        """Draw the blocks to hide, through all of time, for each kind of mask."""
        device = batch.clips.device
        return draw_blocks(self.grid, self.config.masks, self.seed, batch.draws, device)

    def losses(self, clips: Tensor, targets: Tensor, masks: list[Mask]) -> ObjectiveOutput:
        """Compute [F5], and its parts by kind of mask.

        `loss/prediction_of_mean` is the loss of each clip's mean masked target as a prediction.
        """
        losses = []
        of_mean = []
        for kind, (visible, masked) in enumerate(masks):
            encoded = self.encoder(clips, visible)
            predicted = self.predictor(encoded, visible, masked, kind)
            true = take_tokens(targets, masked)
            losses.append((predicted.float() - true).abs().mean())
            of_mean.append(distance_of_mean(true))

        loss = torch.stack(losses).mean()
        metrics = {f"loss/mask_{kind}": part.detach() for kind, part in enumerate(losses)}
        metrics |= {
            "loss/prediction": loss.detach(),
            "loss/prediction_of_mean": torch.stack(of_mean).mean(),
        }
        return ObjectiveOutput(loss, metrics)


def make(config: SaltConfig, seed: int, *, with_weights: bool) -> Salt:
    """Make the objective, with a random teacher where the recipe wants one; see `choice.build`.

    A teacher with weights is without any, on the meta device, until it is given them (`trainer/networks.py`).

    Raises:
        ModelError: There are no weights for it, and random ones are not allowed.
    """
    if not with_weights or config.teacher.weights is not None:
        with torch.device("meta"):
            teacher = VideoTeacher(config.teacher)
        return Salt(config, teacher, seed)

    if not config.teacher.allow_random:
        raise ModelError(
            "objective.teacher.weights: expected a checkpoint, an export or a file of weights, got "
            "none; set objective.teacher.allow_random to true to train against random features"
        )
    teacher = VideoTeacher(config.teacher)
    # Other weights than those of a student of its size
    teacher.init_weights(torch.Generator().manual_seed(seed + 1))
    return Salt(config, teacher, seed)
