"""`surgstream bench`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.configs.presets import Preset
from surgstream.configs.ranges import Number
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Measure this machine. Cases of a theme run in turn, after one warm-up, so that their ratios hold;
tables give medians and their 95 % intervals. A peer that is not installed is named in the table:
pip install 'surgstream[peers]'.

  surgstream bench
  surgstream bench read decode --repeats 5 --save results
  surgstream bench s3 --store s3://bucket/scratch
  surgstream bench step train --recipe surgvista_vitb \\
      global_batch_size=256 compile=true

  surgstream bench scale --help

Absolute rates are this machine's. A measurement that cannot be, faster than its floor, ends with an
error.
"""

SCALE_DESCRIPTION = """\
Count what ranks read and hold, by the order and the placement alone, for SurgVISTA's corpus (nine
datasets, 3.55 million clips of 16 frames of 20 kB, 2048 lanes, chunks of 320 frames): with its
batch of 2048 clips, and with as many clips on each rank however many there are. Then run
`surgstream loader` in 1, 2 and 4 processes on this machine.

  surgstream bench scale
  surgstream bench scale --rate 400 --save results
  surgstream bench scale --ranks --processes 1 2 4 8 --recipe RECIPE.yaml data.corpus=s3://bucket/corpus

--ranks or --processes without numbers leaves that half out.
"""


THEMES = {
    "open": "surgstream.benchmarks.themes.open_corpus",
    "order": "surgstream.benchmarks.themes.draw_order",
    "read": "surgstream.benchmarks.themes.read_shards",
    "decode": "surgstream.benchmarks.themes.decode_clips",
    "loader": "surgstream.benchmarks.themes.loader",
    "fast_path": "surgstream.benchmarks.themes.fast_path",
    "save": "surgstream.benchmarks.themes.save_state",
}
RECIPE_THEMES = {
    "step": "surgstream.benchmarks.themes.train_step",
    "train": "surgstream.benchmarks.themes.end_to_end",
    "engine": "surgstream.benchmarks.themes.engine_overhead",
}
STORE_THEMES = {
    "s3": "surgstream.benchmarks.themes.read_s3",
    "s3_peers": "surgstream.benchmarks.themes.read_peers",
    "loader": "surgstream.benchmarks.themes.loader",
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream bench`."""
    parser = command("bench", "surgstream.benchmarks.__main__", DESCRIPTION)
    everywhere = THEMES | RECIPE_THEMES

    parser.add_argument(
        "themes",
        nargs="*",
        metavar="THEME",
        help=f"of {', '.join(everywhere)}; all of them by default",
    )
    parser.add_argument(
        "--store",
        metavar="s3://...",
        help=f"a prefix to fill and to read; also measures {', '.join(STORE_THEMES)}",
    )
    parser.add_argument(
        "--recipe",
        type=Preset("pretrain"),
        default="surgvista_tiny",
        metavar="CONFIG",
        help=f"what {', '.join(RECIPE_THEMES)} train; key=value words override its values",
    )
    parser.add_argument(
        "--repeats", type=Number(int, 1, 10**6), default=7, help="interleaved repeats of every case"
    )
    parser.add_argument(
        "--save", type=to_folder, metavar="FOLDER", help="write THEME_HARDWARE_YYYYMM.json there"
    )
    parser.add_argument("--hardware", default="cpu", help="HARDWARE in those names")

    if argv[:1] == ["scale"]:  # which has arguments of its own
        return _scale(argv[1:])

    words = parser.parse_intermixed_args(argv)
    # Overrides stand anywhere among the themes, which have no `=` in their names
    words.overrides = [word for word in words.themes if "=" in word]
    words.themes = [word for word in words.themes if "=" not in word]

    known = everywhere | (STORE_THEMES if words.store else {})
    unknown = set(words.themes) - set(known)
    if unknown:
        parser.error(f"unknown theme {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    return words


def _scale(argv: Sequence[str]) -> argparse.Namespace:
    parser = command("bench scale", "surgstream.benchmarks.themes.scale", SCALE_DESCRIPTION)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="the recipe's values, data.corpus among them",
    )
    parser.add_argument(
        "--ranks", type=Number(int, 1, 2**20), nargs="*", metavar="N", help="ranks to simulate"
    )
    parser.add_argument(
        "--rate",
        type=Number(float, 1e-3, 1e6),
        default=400.0,
        help="clips/s of a rank for GETs/s (default: 400)",
    )

    parser.add_argument(
        "--processes",
        type=Number(int, 1, 1024),
        nargs="*",
        default=(1, 2, 4),
        metavar="N",
        help="processes to run",
    )
    parser.add_argument(
        "--recipe",
        type=Preset("pretrain"),
        default="surgvista_vitb",
        help="what they read by (default: SurgVISTA's ViT-B)",
    )
    parser.add_argument(
        "--seconds",
        type=Number(float, 0.01, 86400),
        default=10.0,
        help="what each run measures (default: 10)",
    )
    parser.add_argument(
        "--repeats",
        type=Number(int, 1, 10**6),
        default=3,
        help="interleaved repeats of the runs (default: 3)",
    )

    parser.add_argument(
        "--save",
        type=to_folder,
        metavar="FOLDER",
        help="write scale_HARDWARE_YYYYMM.json and .svg there",
    )
    parser.add_argument("--hardware", default="cpu", help="HARDWARE in those names")
    return parser.parse_intermixed_args(argv)
