"""`surgstream launch`: its arguments."""

import argparse
from collections.abc import Callable, Sequence

from surgstream.configs.places import to_folder, to_place
from surgstream.configs.presets import Preset
from surgstream.configs.ranges import Number
from surgstream.launch.commands.measures.suite import add_places
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Start jobs on a cluster.

  surgstream launch slurm SITE RECIPE run_dir=/scratch/run1 site.nodes=4
      trains: writes slurm.sbatch, site.yaml and recipe.yaml to the run
      directory and submits them; the same line again continues the run
  surgstream launch torchrun RECIPE [--nnodes N --rdzv-endpoint HOST:PORT]
      trains on this node's GPUs, or on those of N nodes when started on each
  surgstream launch loader SITE RECIPE --nodes 1,2,4,8
      measures the loader alone on each number of nodes, one job after another; the
      same line with --report instead of --nodes prints and draws the results
  surgstream launch pack SITE corpus.yaml s3://bucket/corpus --tasks 16
      packs a corpus as a job array and merges
  surgstream launch suite SITE SUITE weights=W --corpus SHARDS --labels LABELS --out DIR
      judges encoders: arrays over the suite's cells, and the table after them; the
      same line again does what is missing
  surgstream launch run-dir RECIPE
      prints the absolute run directory, for scripts of your own

SITE is a YAML file, or the name of one in configs/launch, such as h800_infiniband; RECIPE is
one of configs/pretrain likewise. key=value replaces a value of the recipe, site.key=value one of the site,
as in site.time=12:00:00. All of both is checked before anything is submitted.
"""


_NUM_NODES = Number(int, 1, 2**16)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream launch`; the first one names the way."""
    ways = {
        "slurm": _slurm,
        "torchrun": _torchrun,
        "loader": _loader,
        "pack": _pack,
        "suite": _suite,
        "run-dir": _run_dir,
    }
    parser = command("launch", "surgstream.launch.submit", DESCRIPTION)
    parser.add_argument(
        "way", choices=ways, metavar="WAY", help=f"one of {', '.join(ways)}; WAY --help explains it"
    )
    if argv[:1] == ["bench"]:
        parser.error("`launch bench` is now `launch loader`")
    way = parser.parse_args(argv[:1]).way
    return ways[way](argv[1:])


def _slurm(argv: Sequence[str]) -> argparse.Namespace:
    parser = _way("slurm", "Submit a training job.", "site", "recipe")
    parser.add_argument(
        "--forget-nodes",
        action="store_true",
        help="let nodes in again that the run leaves out since starts have failed for their sake",
    )
    _add_dry_run(parser)
    return parser.parse_intermixed_args(argv)


def _torchrun(argv: Sequence[str]) -> argparse.Namespace:
    parser = _way("torchrun", "Train on this node, or on many when started on each.", "recipe")
    parser.add_argument(
        "--nnodes", type=_NUM_NODES, default=1, metavar="N", help="nodes (default: 1)"
    )
    parser.add_argument(
        "--nproc-per-node",
        type=Number(int, 1, 1024),
        metavar="N",
        help="ranks a node (default: its GPUs, or 1)",
    )
    parser.add_argument(
        "--rdzv-endpoint",
        metavar="HOST:PORT",
        help="where nodes meet: one of them, and a free port",
    )
    _add_dry_run(parser)

    words = parser.parse_intermixed_args(argv)
    if words.nnodes > 1 and not words.rdzv_endpoint:
        parser.error(
            "--nnodes: expected --rdzv-endpoint HOST:PORT as well, the same on all nodes, got none"
        )
    return words


def _loader(argv: Sequence[str]) -> argparse.Namespace:
    parser = _way(
        "loader", "Measure the loader alone on more and more nodes, or report it.", "site", "recipe"
    )
    parser.add_argument(
        "--nodes", type=_counts, default=[1, 2, 4], metavar="N,N", help="jobs' (default: 1,2,4)"
    )
    parser.add_argument(
        "--seconds",
        type=Number(float, 1, 86400),
        default=60,
        metavar="S",
        help="how long each measures (default: 60)",
    )
    parser.add_argument(
        "--out",
        type=to_folder,
        default="loader_bench",
        metavar="DIR",
        help="results and logs (default: loader_bench)",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="print and draw what has been measured; submit nothing",
    )

    return parser.parse_intermixed_args(argv)


def _pack(argv: Sequence[str]) -> argparse.Namespace:
    parser = _way("pack", "Pack a corpus as a job array, and merge.", "site", "corpus", "out")
    parser.add_argument(
        "--tasks", type=Number(int, 1, 10**5), required=True, metavar="N", help="tasks of the array"
    )
    parser.add_argument(
        "--logs",
        type=to_folder,
        default="pack_logs",
        metavar="DIR",
        help="scripts and logs (default: pack_logs)",
    )

    # What `surgstream pack` is told in the jobs
    parser.add_argument(
        "--strict", action="store_true", help="fail the last job where a video is in quarantine"
    )
    parser.add_argument(
        "--root",
        metavar="ROOT",
        type=to_place,
        help="as `surgstream pack` takes it, like the next four",
    )
    parser.add_argument("--review", metavar="FILE", type=to_place)
    parser.add_argument("--pseudonyms", metavar="FILE", type=to_place)
    parser.add_argument("--subset", metavar="NAME")
    parser.add_argument("--datasets", metavar="A,B")

    _add_dry_run(parser)
    return parser.parse_intermixed_args(argv)


def _suite(argv: Sequence[str]) -> argparse.Namespace:
    parser = _way(
        "suite", "Judge encoders on a suite, a node a cell, and draw the table.", "site", "suite"
    )
    parser.set_defaults(work="surgstream.launch.suites")
    add_places(parser)
    parser.add_argument(
        "--at-once",
        type=Number(int, 1, 10**4),
        default=16,
        metavar="N",
        help="tasks of an array that run at the same time (default: 16)",
    )
    _add_dry_run(parser)
    return parser.parse_intermixed_args(argv)


def _run_dir(argv: Sequence[str]) -> argparse.Namespace:
    parser = _way("run-dir", "Print a recipe's absolute run directory.", "recipe")
    return parser.parse_intermixed_args(argv)


_POSITIONALS: dict[str, tuple[Callable[[str], str], str]] = {
    "site": (Preset("launch"), "a site's YAML file, or the name of one in configs/launch"),
    "recipe": (
        Preset("pretrain", "evaluate/protocols"),
        "a recipe's YAML file, or the name of one in configs/pretrain or configs/evaluate/protocols",
    ),
    "suite": (
        Preset("evaluate/suites"),
        "a suite's YAML file, or the name of one in configs/evaluate/suites",
    ),
    "corpus": (to_place, "a corpus file, or the name of one in configs/pack"),
    "out": (to_place, "a folder that all nodes see, or s3://BUCKET/PREFIX"),
}


def _way(way: str, description: str, *positionals: str) -> argparse.ArgumentParser:
    parser = command(f"launch {way}", "surgstream.launch.submit", description)
    parser.set_defaults(way=way)
    for name in positionals:
        kind, text = _POSITIONALS[name]
        parser.add_argument(name, metavar=name.upper(), type=kind, help=text)
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="values that replace the files'"
    )
    return parser


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be run, and do nothing"
    )


def _counts(text: str) -> list[float]:
    return [_NUM_NODES(word) for word in text.split(",")]
