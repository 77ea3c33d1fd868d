"""`surgstream features`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_place
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Write the features of a frozen encoder for frames of a packed corpus, one file of NumPy a shard.

  surgstream features runs/x shards/cholec80 features --task cholec80_phases --labels labels
  surgstream features random shards/mine features rows_per_second=0.5 per=slices
  torchrun --nproc-per-node 8 -m surgstream features timm:vit_small_patch16_dinov3 \\
      s3://bucket/shards s3://bucket/features --task cholec80_phases

WEIGHTS is a checkpoint or run directory, an export, a published file or folder, timm:MODEL, random
or pixels. With a task, every labelled row of its splits gets features, of the clip that ends there;
without one, a frame a second of every video does.

OUT/KEY/about.json says what made them; KEY stands for weights, corpus, clips, view and precision.
OUT/KEY/DATASET/NAME-000123.npy has those of that shard: records with the fields row, of the shard's
index, feature and crc32. What is there already is not computed again, and what another task asks for
is added. Ranks share the shards, and a killed extraction goes on where it was.
"""

EPILOG = """\
keys, beside data.*, encoder.* and clips.*: per=pooled|slices, dtype=float32|float16,
rows_per_second, datasets, micro_batch_size, seed; docs/recipe_keys.md explains them.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream features`."""
    parser = command("features", "surgstream.trainer.commands.features", DESCRIPTION, EPILOG)
    parser.add_argument("weights", metavar="WEIGHTS", help="the encoder")
    parser.add_argument("corpus", metavar="CORPUS", type=to_place, help="a packed corpus")
    parser.add_argument("out", metavar="OUT", type=to_place, help="a folder, or an s3:// address")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="values that replace those by default"
    )
    parser.add_argument(
        "--task",
        metavar="TASK",
        help="a task's YAML file, or the name of one in configs/evaluate/tasks; with @FOLD one of "
        "its folds",
    )
    parser.add_argument(
        "--labels",
        metavar="ROOT",
        type=to_place,
        help="the folder of the task's labels, or its s3:// address; those in CORPUS by default",
    )
    return parser.parse_intermixed_args(argv)
