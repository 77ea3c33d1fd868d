"""What runs are made of, by the recipes of each kind."""

from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.encoders.config import RANDOM, TIMM
from surgstream.trainer.lineage.ancestry import Ancestry, Corpus
from surgstream.trainer.lineage.reading import ancestry_of
from surgstream.trainer.models.config import TeacherConfig
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from surgstream.trainer.provenance.keeping import Ingredients
from surgstream.trainer.readouts.config import ProbeRecipe


def of_training(config: TrainConfig, own: Corpus, ancestry: Ancestry) -> Ingredients:
    """What a pretraining or a fine-tuning is made of.

    Args:
        config: Its recipe.
        own: The corpus that it shows to its weights.
        ancestry: What they descend from, that corpus among it.
    """
    weights = {"start": config.warm_start.weights if config.warm_start else RANDOM}
    teacher = getattr(config.objective, "teacher", None)
    if teacher:
        weights["teacher"] = _word_of(teacher)
    return Ingredients(
        corpus=open_storage(config.data.corpus, config.data.s3),
        datasets=[each.dataset for each in own.licences],
        weights=weights,
        ancestry=ancestry,
    )


def of_probe(recipe: ProbeRecipe, dataset: str) -> Ingredients:
    """What a probe is made of.

    Args:
        recipe: Its recipe.
        dataset: The dataset of its task.

    Raises:
        CheckpointError: A state says nonsense of what it descends from.
        ModelError: An export does.
    """
    return Ingredients(
        corpus=open_storage(recipe.data.corpus, recipe.data.s3),
        datasets=[dataset],
        weights={"encoder": recipe.weights},
        ancestry=ancestry_of(recipe.weights, recipe.encoder.known_as),
    )


def _word_of(teacher: TeacherConfig | VideoTeacherConfig) -> str:
    if teacher.weights is not None:
        return teacher.weights
    if isinstance(teacher, VideoTeacherConfig) or not teacher.pretrained:
        return RANDOM
    return f"{TIMM}{teacher.model}"
