"""Weights that a run begins with, what they may have seen of what judges them, and what licences must allow."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from surgstream.configs.places import Folder


@dataclass(frozen=True, kw_only=True)
class WarmStartConfig:
    """Weights that a run begins with; `warm_start: PATH` is short for all weights of one of our checkpoints.

    Attributes:
        weights: A checkpoint's directory (`checkpoints/step_00060000`), an export of `surgstream export`, or a
            published .safetensors, .pth or .pt file.
        layout: The naming of the weights: ours, that of the code of VideoMAE (also V2 and SurgRec-MAE), SurgVISTA or
            V-JEPA 2 (also SurgRec-JEPA and SurgMotion), or that of transformers' `VideoMAEForPreTraining` or
            `VJEPA2Model`. Of V-JEPA 2.1, `vjepa2_1`, the encoder alone is read, as it is for videos.
        parts: `all` expects every weight of the objective and no other; `encoder` takes the encoder alone.
        prefix: The prefix of the weights' names, or its first words, where a published file holds several networks:
            `model_ema`, `state_dict.student`. Null finds it.
        moments: Take AdamW's moments over as well, where `all` parts come from one of our checkpoints; nothing else
            has moments.
        known_as: Whose published weights they are, a family of `configs/evaluate/known_weights.yaml`: tells what they
            were trained on. Null is not known, unless they tell it themselves as ours do.
    """

    shorthand: ClassVar[str] = "weights"
    free_to_change: ClassVar[tuple[str, ...]] = ("known_as",)

    weights: Folder
    layout: Literal[
        "surgstream",
        "videomae",
        "surgvista",
        "vjepa2",
        "vjepa2_1",
        "transformers_videomae",
        "transformers_vjepa2",
    ] = "surgstream"
    parts: Literal["all", "encoder"] = "all"
    prefix: str | None = None
    moments: bool = True
    known_as: str | None = None


@dataclass(frozen=True, kw_only=True)
class LeaksConfig:
    """The search for videos to validate or test on in what weights descend from; `leaks: allow` is short for its first.

    Attributes:
        found: `allow_val` ends a run before it trains where there are such videos to test on. Those to validate on may
            be, as corpora for pretraining have a task's official training videos, of which these are a part; `refuse`
            ends it for them as well. `allow` marks its results, and scores the other videos beside all of them.
        compare: `pictures` compares names, and then the pictures of these videos with those of every corpus that the
            weights descend from and that can be read: all of such a corpus is read once, and the outcome kept.
            `names` compares names alone.
        cache: Where outcomes and fingerprints are kept, so that a later run need neither compare the same videos nor
            read the same shards again; null is the folder `leaks` in the run directory.
    """

    shorthand: ClassVar[str] = "found"

    found: Literal["refuse", "allow_val", "allow"] = "allow_val"
    compare: Literal["pictures", "names"] = "pictures"
    cache: Folder | None = None


@dataclass(frozen=True, kw_only=True)
class CommercialConfig:
    """Whether weights are meant for commercial use; `commercial: true` is short for its first.

    Attributes:
        required: Refuse to train on a dataset whose licence forbids commercial use, or is not known to allow it, and to
            begin with weights that descend from such a dataset or do not tell what they descend from.
        stated: Licences of datasets and weights that tell none, by their names: `{cholec80: CC-BY-NC-SA-4.0}`. Weights
            are called as in the recipe. What is told in a corpus counts before what is stated.
    """

    shorthand: ClassVar[str] = "required"

    required: bool = False
    stated: dict[str, str] = field(default_factory=dict)
