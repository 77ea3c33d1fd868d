"""`surgstream export`: its arguments."""

import argparse
import re
from collections.abc import Sequence

from surgstream.configs.places import to_folder
from surgstream.launch.commands.parsing import command, named_file

DESCRIPTION = """\
Write the encoder of a run, or of one of its checkpoints, for others to use.

  surgstream export runs/surgrec exported
  surgstream export runs/surgrec/checkpoints/step_00060000 exported \\
      --layout transformers

The folder has the weights, config.json with all that a user must know (size, frames, stride, frame
rate where it is known, mean, std), recipe.yaml with all that decided the training, and a model card,
README.md, for you to complete. Neither names a file, a video or an address. This reads it, whatever
its layout:

  from surgstream.trainer.export import load_encoder
  encoder = load_encoder("exported")
  tokens = encoder(encoder.prepare(frames))   # (T, H, W, 3) bytes

Layouts, by the positions of the recipe's encoder:
  surgstream    any       model.safetensors; `warm_start: {weights: exported,
                          parts: encoder}` reads it too
  transformers  any       model.safetensors and a processor, for VideoMAEModel
                          (sinusoid), VJEPA2Model (rope), and AutoModel with
                          trust_remote_code=True (sincos, whose model is
                          written with the weights)
  videomae      sinusoid  model.pth, for VideoMAE's and SurgRec's fine-tuning
  surgvista     sincos    model.pth, for SurgVISTA's fine-tuning
  vjepa2        rope      model.pt, for V-JEPA 2's evals and hub code

What was written is read again, by transformers too where it is installed, and its features of one
clip compared with the training encoder's. The largest difference is printed and kept; above 1e-4
nothing is exported.

The card has a table of the results that it is given, one a task, beside what a number must beat:

  surgstream export runs/surgrec exported --licence CC-BY-NC-SA-4.0 \\
      --results results/cholec80/result.json ours=results/pitvis/result.json

Each is the result.json that `surgstream evaluate --out` wrote; of one with several models MODEL= says
which of them is this encoder.

Where a moving average of the encoder is kept, it is what is written, unless `--weights trained` is
given.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `surgstream export`."""
    parser = command("export", "surgstream.trainer.commands.export", DESCRIPTION)
    parser.add_argument(
        "checkpoint", metavar="RUN_OR_CHECKPOINT", type=to_folder,
        help="a run_dir, whose newest whole checkpoint is taken, or a checkpoint's directory, "
        ".../checkpoints/step_...",
    )  # fmt: skip
    parser.add_argument(
        "out", metavar="OUT", type=to_folder, help="folder to make; it must be empty or not exist"
    )

    parser.add_argument(
        "--layout",
        choices=("surgstream", "transformers", "videomae", "surgvista", "vjepa2"),
        default="surgstream",
        help="whose code is to read it",
    )
    parser.add_argument("--weights", choices=("average", "trained"), default="average")
    parser.add_argument(
        "--licence",
        metavar="SPDX",
        type=_licence,
        help="the licence of the weights by its identifier, such as Apache-2.0; none is stated by "
        "default",
    )
    parser.add_argument(
        "--results",
        metavar="[MODEL=]FILE",
        nargs="+",
        type=named_file,
        default=[],
        help="results of the encoder, for the card",
    )

    return parser.parse_intermixed_args(argv)


def _licence(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}", word):
        raise argparse.ArgumentTypeError(
            f"expected an identifier of SPDX, such as Apache-2.0, got {word[:80]!r}"
        )
    return word
