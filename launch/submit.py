"""`surgstream launch`: from a recipe and a site to running jobs. Runs on login nodes, without torch."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from surgstream.configs.loading import load
from surgstream.launch.jobs import packing, submit_loader, submit_packing, submit_training, training
from surgstream.launch.scaling import plot, read_results, table
from surgstream.launch.site import Site, load_site
from surgstream.launch.surroundings import check_venv
from surgstream.launch.torchrun import become, num_gpus, torchrun_line
from surgstream.shards.corpus.file import CorpusConfig, find_corpus
from surgstream.shards.format.rates import check_rates_at_hand
from surgstream.shards.storage.addresses import absolute
from surgstream.trainer.config import TrainConfig, load_recipe


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream launch`."""
    ways = {
        "slurm": _slurm,
        "torchrun": _torchrun,
        "loader": _loader,
        "pack": _pack,
        "run-dir": _run_dir,
    }
    ways[words.way](words)
    return 0


def _slurm(words: argparse.Namespace) -> None:
    site, config = _site_and_recipe(words)
    check_venv(site, dry_run=words.dry_run)
    if words.dry_run:
        sys.stdout.write(training(site, config))
        return

    sys.stdout.write(submit_training(site, config, forget=words.forget_nodes))


def _torchrun(words: argparse.Namespace) -> None:
    config = _recipe(words.recipe, words.overrides)
    gpus = num_gpus()
    ranks = words.nproc_per_node or gpus or 1
    # Called for its check: the ranks have to share the batch evenly
    config.grad_accum_steps(words.nnodes * ranks)

    line = torchrun_line(
        ["pretrain", "--preflight", words.recipe, *words.overrides],
        num_nodes=words.nnodes,
        ranks_per_node=ranks,
        gpus_per_node=gpus,
        endpoint=words.rdzv_endpoint,
        run_id=f"surgstream-{Path(config.run_dir).name}",
    )

    if words.dry_run:
        sys.stdout.write(shlex.join(line) + "\n")
    else:
        become(line)


def _loader(words: argparse.Namespace) -> None:
    folder = Path(words.out).absolute()
    if words.report:
        results = read_results(folder)
        (folder / "scaling.svg").write_text(plot(results), encoding="utf-8")
        sys.stdout.write(f"{table(results)}\n\nplot: {folder}/scaling.svg\n")
        return

    site, config = _site_and_recipe(words)
    check_venv(site)
    told = submit_loader(site, config, nodes=words.nodes, folder=folder, seconds=words.seconds)
    sys.stdout.write(told)
    sys.stdout.write("the same command with --report prints and draws what they have measured\n")


def _pack(words: argparse.Namespace) -> None:
    overrides, options = split(words.overrides)
    path, root = find_corpus(words.corpus)
    # Jobs read the file again; reading it here reports its mistakes before anything is queued
    corpus = load(CorpusConfig, path, [f"pack.{option}" for option in options])
    corpus = corpus.part(words.subset, words.datasets)

    choices = {"subset": words.subset, "datasets": words.datasets}
    files = {"review": words.review, "pseudonyms": words.pseudonyms}
    options += [f"--{name}={value}" for name, value in choices.items() if value is not None]
    options += [f"--{name}={absolute(file)}" for name, file in files.items() if file]

    root = words.root or root
    # Relative paths of the file start in its folder without being told
    if root != str(path.parent):
        options.append(f"--root={absolute(root)}")
    if words.strict:
        options.append("--strict")

    logs = words.logs.absolute()
    site = load_site(words.site, overrides)
    check_venv(site, dry_run=words.dry_run)
    scripts = packing(site, corpus, path, words.out, options, num_tasks=words.tasks, logs=logs)
    if words.dry_run:
        sys.stdout.write("\n".join(scripts.values()))
    else:
        sys.stdout.write(submit_packing(scripts, logs))


def _run_dir(words: argparse.Namespace) -> None:
    sys.stdout.write(_recipe(words.recipe, words.overrides).run_dir + "\n")


def _site_and_recipe(words: argparse.Namespace) -> tuple[Site, TrainConfig]:
    site, recipe = split(words.overrides)
    return load_site(words.site, site), _recipe(words.recipe, recipe)


def _recipe(path: str, overrides: Sequence[str]) -> TrainConfig:
    """Read and check a whole recipe, and corpora that are at hand; its run directory becomes absolute."""
    config = load_recipe(path, overrides)
    check_rates_at_hand(config.corpora, config.data.fps, config.data.parts)
    return dataclasses.replace(config, run_dir=str(Path(config.run_dir).absolute()))


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words `site.key=value` from the others."""
    site = [word.removeprefix("site.") for word in overrides if word.startswith("site.")]
    return site, [word for word in overrides if not word.startswith("site.")]
