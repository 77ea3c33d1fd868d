"""`surgstream launch`: from a recipe and a site to running jobs. Runs on login nodes, without torch."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.loading import load
from launch.jobs import packing, submit_bench, submit_packing, submit_training, training
from launch.scaling import plot, read_results, table
from launch.site import Site
from launch.torchrun import become, num_gpus, torchrun_line
from shards.corpus import CorpusConfig, find_corpus
from trainer.config import TrainConfig

DESCRIPTION = """\
Start jobs on a cluster.

  surgstream launch slurm configs/launch/SITE.yaml configs/pretrain/RECIPE.yaml run_dir=/scratch/run1 site.nodes=4
      trains: writes slurm.sbatch, site.yaml and recipe.yaml to the run directory and submits them; the same line again
      continues the run
  surgstream launch torchrun configs/pretrain/RECIPE.yaml [--nnodes N --rdzv-endpoint HOST:PORT]
      trains on this node's GPUs, or on those of N nodes when started on each of them
  surgstream launch bench configs/launch/SITE.yaml configs/pretrain/RECIPE.yaml --nodes 1,2,4,8
      measures the loader alone on so many nodes, one job after another; the same line with --report instead of --nodes
      prints what has been measured and draws it
  surgstream launch pack configs/launch/SITE.yaml corpus.yaml s3://bucket/corpus --tasks 16
      packs a corpus as a job array and merges
  surgstream launch run-dir configs/pretrain/RECIPE.yaml
      prints the absolute run directory, for scripts of your own

SITE.yaml is one of configs/launch, or your copy of one. key=value replaces a value of the recipe, site.key=value one of
the site, as in site.time=12:00:00. All of both is checked before anything is submitted.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    ways = {"slurm": _slurm, "torchrun": _torchrun, "bench": _bench, "pack": _pack, "run-dir": _run_dir}
    parser = argparse.ArgumentParser(
        prog="surgstream launch", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=ways, metavar="WAY", help=f"one of {', '.join(ways)}; WAY --help explains it")
    way = parser.parse_args(argv[:1]).way
    ways[way](argv[1:])
    return 0


def _slurm(argv: Sequence[str]) -> None:
    parser = _parser("slurm", "Submit a training job.", "site", "recipe")
    _add_dry_run(parser)
    words = parser.parse_intermixed_args(argv)
    site, config = _site_and_recipe(words)
    sys.stdout.write(training(site, config) if words.dry_run else submit_training(site, config))


def _torchrun(argv: Sequence[str]) -> None:
    parser = _parser("torchrun", "Train on this node, or on many when started on each.", "recipe")
    parser.add_argument("--nnodes", type=_count, default=1, metavar="N", help="nodes (default: 1)")
    parser.add_argument("--nproc-per-node", type=_count, metavar="N", help="ranks a node (default: its GPUs, or 1)")
    parser.add_argument("--rdzv-endpoint", metavar="HOST:PORT", help="where nodes meet: one of them, and a free port")
    _add_dry_run(parser)
    words = parser.parse_intermixed_args(argv)
    if words.nnodes > 1 and not words.rdzv_endpoint:
        parser.error("--nnodes: expected --rdzv-endpoint HOST:PORT beside it, the same on all nodes, got none")
    config = _recipe(words.recipe, words.overrides)
    ranks = words.nproc_per_node or num_gpus() or 1
    config.grad_accum_steps(words.nnodes * ranks)
    line = torchrun_line(
        ["pretrain", "--preflight", words.recipe, *words.overrides],
        num_nodes=words.nnodes,
        ranks_per_node=ranks,
        endpoint=words.rdzv_endpoint,
        run_id=f"surgstream-{Path(config.run_dir).name}",
    )
    if words.dry_run:
        sys.stdout.write(shlex.join(line) + "\n")
    else:
        become(line)


def _bench(argv: Sequence[str]) -> None:
    parser = _parser("bench", "Measure the loader alone on more and more nodes, or report it.", "site", "recipe")
    parser.add_argument("--nodes", type=_counts, default=[1, 2, 4], metavar="N,N", help="jobs' (default: 1,2,4)")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="how long each measures (default: 60)")
    parser.add_argument("--out", default="loader_bench", metavar="DIR", help="results and logs (default: loader_bench)")
    parser.add_argument("--report", action="store_true", help="print and draw what has been measured; submit nothing")
    words = parser.parse_intermixed_args(argv)
    folder = Path(words.out).absolute()
    if words.report:
        results = read_results(folder)
        (folder / "scaling.svg").write_text(plot(results), encoding="utf-8")
        sys.stdout.write(f"{table(results)}\n\nplot: {folder}/scaling.svg\n")
        return
    site, config = _site_and_recipe(words)
    sys.stdout.write(submit_bench(site, config, nodes=words.nodes, folder=folder, seconds=words.seconds))
    sys.stdout.write("the same command with --report prints and draws what they have measured\n")


def _pack(argv: Sequence[str]) -> None:
    parser = _parser("pack", "Pack a corpus as a job array, and merge.", "site", "corpus", "out")
    parser.add_argument("--tasks", type=_count, required=True, metavar="N", help="tasks of the array")
    parser.add_argument("--logs", default="pack_logs", metavar="DIR", help="scripts and logs (default: pack_logs)")
    parser.add_argument("--root", metavar="ROOT", help="as `surgstream pack` takes it, like the next three")
    parser.add_argument("--review", metavar="FILE")
    parser.add_argument("--subset", metavar="NAME")
    parser.add_argument("--datasets", metavar="A,B")
    _add_dry_run(parser)
    words = parser.parse_intermixed_args(argv)
    site, options = _split(words.overrides)
    path, root = find_corpus(words.corpus)
    corpus = load(CorpusConfig, path, [f"pack.{option}" for option in options])
    corpus = corpus.part(words.subset, words.datasets)
    options += [f"--{name}={value}" for name in ("subset", "datasets") if (value := getattr(words, name)) is not None]
    options += [f"--review={Path(words.review).absolute()}"] if words.review else []
    root = words.root or root
    if root != str(path.parent):
        options.append(f"--root={root if '://' in root else Path(root).absolute()}")
    logs = Path(words.logs).absolute()
    scripts = packing(load(Site, words.site, site), corpus, path, words.out, options, num_tasks=words.tasks, logs=logs)
    sys.stdout.write("\n".join(scripts.values()) if words.dry_run else submit_packing(scripts, logs))


def _run_dir(argv: Sequence[str]) -> None:
    words = _parser("run-dir", "Print a recipe's absolute run directory.", "recipe").parse_args(argv)
    sys.stdout.write(_recipe(words.recipe, words.overrides).run_dir + "\n")


def _parser(way: str, description: str, *positionals: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"surgstream launch {way}", description=description)
    for positional in positionals:
        parser.add_argument(positional, metavar=positional.upper())
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values that replace the files'")
    return parser


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="print what would be run, and do nothing")


def _site_and_recipe(words: argparse.Namespace) -> tuple[Site, TrainConfig]:
    site, recipe = _split(words.overrides)
    return load(Site, words.site, site), _recipe(words.recipe, recipe)


def _recipe(path: str, overrides: Sequence[str]) -> TrainConfig:
    """Read and check a whole recipe; its run directory becomes absolute."""
    config = load(TrainConfig, path, overrides)
    return dataclasses.replace(config, run_dir=str(Path(config.run_dir).absolute()))


def _split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words `site.key=value` from the others."""
    site = [word.removeprefix("site.") for word in overrides if word.startswith("site.")]
    return site, [word for word in overrides if not word.startswith("site.")]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _counts(text: str) -> list[int]:
    return [_count(word) for word in text.split(",")]
