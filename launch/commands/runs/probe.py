"""`surgstream probe`: its arguments."""

import argparse
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.configs.presets import Preset
from surgstream.launch.commands.parsing import command

DESCRIPTION = """\
Train a readout of a frozen encoder on a task's labels, and test it once.

  surgstream probe probe_unisurg task=cholec80_phases labels=labels data.corpus=shards/cholec80 \\
      weights=runs/surgvista/checkpoints/step_00060000 run_dir=runs/cholec80_probe
  torchrun --nproc-per-node 8 -m surgstream probe probe_unisurg task=... weights=...
  surgstream probe probe_linear task=cholec80_phases weights=random data.corpus=...
  surgstream probe probe_linear --every-checkpoint runs/surgvista task=... run_dir=runs/curve

Attentive and linear probes train one head for each learning rate and weight decay, all at once on
one forward pass of the encoder. What is best on the validation videos is tested: ridge, knn and
temporal readouts take pooled features instead.

The run directory gets predictions/test.npz, which `surgstream evaluate` scores, grid.json with what
every head scored on validation, test_all.json with what all heads score on test, and
head.safetensors. The same command continues a run; SIGTERM, SIGUSR1 and Ctrl-C are heeded as by
`surgstream pretrain`, and `surgstream status` tells how it stands.

Weights that were trained on videos which the task validates or tests on, by name or by pictures, are
refused before anything is trained. leaks=allow takes them, and their results are marked; leaks=allow_val
takes those that have seen videos to validate on alone; leaks.compare=names compares no pictures, for
which every corpus behind the weights is read once.

weights is a checkpoint, a run directory, an export, a published file or folder, timm:MODEL, random
or pixels.

--every-checkpoint probes random weights and each checkpoint of a pretraining instead, oldest first,
without asking the test: curve.json has what each scores on validation, and curve.svg draws it beside
the loss. Call it again while the run goes on: what is there is not done again.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream probe`."""
    parser = command("probe", "surgstream.trainer.commands.probe", DESCRIPTION)
    parser.add_argument(
        "config",
        metavar="PROTOCOL",
        type=Preset("evaluate/protocols"),
        help="a protocol's YAML file, or the name of one in configs/evaluate/protocols",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="values that the protocol leaves open, or that replace its own",
    )
    parser.add_argument(
        "--every-checkpoint",
        metavar="RUN",
        type=to_folder,
        help="the directory of a pretraining, whose checkpoints are probed one after another",
    )
    return parser.parse_intermixed_args(argv)
