"""From a recipe to its pieces: the corpus, its clips, what is learned of them, and the engine that optimises it."""

from collections.abc import Callable

import torch

from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.config import HeldOutConfig, ProbeConfig, TrainConfig
from surgstream.trainer.data.config import CropConfig, DataConfig
from surgstream.trainer.data.source import ClipSource
from surgstream.trainer.distributed import Topology, from_main
from surgstream.trainer.engine.periodic import Evaluation
from surgstream.trainer.engine.pictures import PICTURED_CLIPS
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.base import Objective
from surgstream.trainer.probing.linear_probe import ClipsWithLabels, Probe


def open_corpus(uri: str, data: DataConfig) -> FrameTable:
    """Open a packed corpus on every rank, at a recipe's rate; rank 0 alone checks that nothing of it is missing."""
    corpus = FrameTable.open(open_storage(uri, data.s3), fps=data.fps, check=False)
    from_main(corpus.check_sizes)
    return corpus


def clip_source(
    config: TrainConfig, topology: Topology, corpus: FrameTable, crop: CropConfig | None
) -> ClipSource:
    """The clips of a corpus as the model wants them."""
    return ClipSource(
        config.data,
        corpus,
        seed=config.seed,
        num_frames=config.objective.encoder.num_frames,
        image_size=config.objective.encoder.image_size,
        micro_batch_size=config.micro_batch_size,
        topology=topology,
        crop=crop,
    )


def held_out(config: TrainConfig, settings: HeldOutConfig, topology: Topology) -> Evaluation:
    """The held-out clips: centre squares, the same ones each time."""
    source = clip_source(config, topology, open_corpus(settings.corpus, config.data), crop=None)
    return Evaluation(
        open=lambda: source.open_pass(settings.clips),
        preview=lambda: source.open_pass(PICTURED_CLIPS, shared=False),
        every_steps=settings.every_steps,
    )


def labelled_clips(
    config: TrainConfig, topology: Topology, uri: str, label: str, num_clips: int
) -> ClipsWithLabels:
    """Labelled clips of a corpus, as centre squares."""
    corpus = open_corpus(uri, config.data)
    return ClipsWithLabels(
        clip_source(config, topology, corpus, crop=None), corpus, label, num_clips
    )


def online_probe(
    config: TrainConfig, topology: Topology, objective: Objective
) -> Callable[[Callable[[], bool]], dict[str, float]]:
    """A function that runs the probe on the objective's features, and stops when it is told to."""
    settings = config.probe or ProbeConfig()
    default = config.held_out.corpus if config.held_out else config.data.corpus

    fit_corpus = settings.corpus or config.data.corpus
    test_corpus = settings.test_corpus or default
    probe = Probe(
        labelled_clips(config, topology, fit_corpus, settings.label, settings.clips),
        labelled_clips(config, topology, test_corpus, settings.label, settings.test_clips),
    )

    def measure(stopping: Callable[[], bool]) -> dict[str, float]:
        found = probe.measure(objective.embed, stopping)
        return {f"probe/{name}": value for name, value in found.items()}

    return measure


def build_objective(
    config: TrainConfig,
    device: torch.device,
    load_weights: Callable[[Objective], None] = lambda _: None,
) -> Objective:
    """The recipe's objective on a device, compiled where the recipe says so.

    Args:
        config: The recipe.
        device: Where it computes.
        load_weights: Changes the weights that it begins with.

    Raises:
        ModelError: The teacher's weights are missing or do not fit.
    """
    objective = choice.build(config.objective, seed=config.seed)
    load_weights(objective)
    objective.to(device)
    if config.compile:
        objective.compile_parts()
    return objective


def build_engine(
    config: TrainConfig, objective: Objective, device: torch.device, *, grad_accum_steps: int
) -> ZeroEngine:
    """The recipe's engine around an objective that is on its device."""
    return ZeroEngine(
        objective,
        config.optim,
        config.parallel,
        micro_batch_size=config.micro_batch_size,
        grad_accum_steps=grad_accum_steps,
        device=device,
    )
