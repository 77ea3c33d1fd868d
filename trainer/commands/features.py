"""`surgstream features`: features of a frozen encoder, beside the shards of a corpus."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from surgstream.configs.loading import build, override
from surgstream.trainer.device import check_own_gpu
from surgstream.trainer.distributed import barrier, leave
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.features.config import FeaturesRecipe
from surgstream.trainer.features.extraction import extract_features
from surgstream.trainer.features.opening import open_extraction
from surgstream.trainer.joining import join
from surgstream.trainer.session.process import starting


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream features`."""
    with starting() as rank_info:
        recipe = read_recipe(words)
        check_own_gpu(rank_info)
        join(rank_info, recipe.timeout_seconds)

        encoder = load_frozen(recipe.weights, recipe.encoder, recipe.seed)
        extraction = open_extraction(recipe, encoder, rank_info)
        extract_features(extraction, rank_info)
        barrier()
        if rank_info.is_main:
            sys.stdout.write(f"{extraction.store.uri}\n")
    leave()
    return 0


def read_recipe(words: argparse.Namespace) -> FeaturesRecipe:
    """The recipe that the words of the command make.

    Raises:
        ConfigError: A key or a value is wrong.
    """
    tree: dict[str, Any] = {
        "out": words.out,
        "weights": words.weights,
        "task": words.task,
        "labels": words.labels,
        "data": {"corpus": words.corpus},
    }
    return build(FeaturesRecipe, _with(tree, words.overrides), where="features")


def _with(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for word in overrides:
        override(tree, word)
    return tree
