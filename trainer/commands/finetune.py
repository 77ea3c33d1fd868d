"""`surgstream finetune`: a protocol's recipe on a task, alone, under torchrun or under srun."""

import argparse

from surgstream.configs.errors import ConfigError
from surgstream.trainer.commands.pretrain import run_recipe
from surgstream.trainer.config import load_recipe
from surgstream.trainer.session.process import starting


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream finetune`."""
    with starting() as rank_info:
        config = load_recipe(words.config, words.overrides)
        if config.task is None:
            raise ConfigError(
                f"{words.config}: expected a recipe that learns a task, got one of "
                f"{config.objective.name}, which `surgstream pretrain` trains"
            )
        run_recipe(config, rank_info, with_preflight=words.preflight)
    return 0
