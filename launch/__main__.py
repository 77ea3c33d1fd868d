"""The `surgstream` command: finds the subcommand, and turns what goes wrong into a sentence and an exit status.

The arguments of each subcommand are in `launch.commands`, and what does its work is imported once they are parsed, so
that help, and everything that runs on login nodes, needs neither torch nor DALI.
"""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from surgstream.configs.errors import SurgstreamError
from surgstream.configs.printable import Printable
from surgstream.configs.suggestions import did_you_mean
from surgstream.launch.commands import run

COMMANDS = {
    "demo": "the whole job in small: videos, shards, training, a judgement",
    "synth": "make a small labelled surgical corpus, to try all without data",
    "pack": "pack videos into WebDataset shards, in a folder or on S3",
    "verify": "check every byte of a packed corpus",
    "inspect": "show what a packed corpus holds, in numbers and in pictures",
    "leaks": "find what is in a corpus twice, or in a held-out one as well",
    "labels": "turn a public release's labels into files that tasks read",
    "stage": "copy a packed corpus to nodes' disks, a file system or a store",
    "order": "print which clip is drawn when, and which rank reads it",
    "describe": "tell what a recipe takes: FLOPs, memory, steps, hours, disk",
    "preflight": "check nodes, store, network and memory before a run",
    "pretrain": "train a recipe, on one process or under torchrun or srun",
    "finetune": "learn a task's labels, and predict its test videos once",
    "probe": "train readouts of a frozen encoder on a task, test once",
    "export": "write a checkpoint's encoder as safetensors, for others too",
    "push": "send an export to the Hugging Face Hub; a dry run by default",
    "features": "write a frozen encoder's features beside a corpus's shards",
    "evaluate": "score stored predictions: intervals, ribbons, comparisons",
    "suite": "judge encoders on many tasks, and draw the table",
    "launch": "start jobs: training, packing, measuring the loader",
    "status": "tell how runs stand: step, speed, loss, checkpoint, time left",
    "bench": "measure this machine: reading, decoding, loader, training step",
    "loader": "measure how fast a recipe's clips are read and decoded",
}

USAGE = "\n".join(
    [
        "usage: surgstream COMMAND [arguments]",
        "",
        "Pretraining for surgical video foundation models:",
        "videos -> shards -> clips -> training -> numbers with intervals.",
        "",
        "commands, in the order you will need them:",
        *(f"  {name:<10} {summary}" for name, summary in COMMANDS.items()),
        "",
        "`surgstream COMMAND --help`, or `surgstream help COMMAND`, explains one of them;",
        "`surgstream --version` tells which version this is.",
        "",
        "S3 is reached as boto3 is told; SURGSTREAM_STORES=FILE tells it for each bucket",
        "(docs/s3.md).",
        "",
        "Exit status: 0 done, 1 failed, 2 wrong arguments or configuration, 3 packed, but",
        "not all (`pack --strict`).",
    ]
)

DALI = (
    "pip install 'surgstream[cuda13]', or, for drivers below 580, as docs/getting_started.md says"
)
EXTRAS = {
    "evaluate": ("openpyxl", "scipy"),
    "hub": ("huggingface_hub",),
    "pack": ("av", "cv2", "PIL"),
    "s3": ("boto3", "botocore"),
    "train": ("deepspeed", "einops", "safetensors", "tensorboard", "timm", "torch"),
}
REMEDIES = {"nvidia": DALI}
for _extra, _packages in EXTRAS.items():
    REMEDIES |= dict.fromkeys(_packages, f"pip install 'surgstream[{_extra}]'")
"""Remedies for missing packages, by the name that is imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: The words after `surgstream`; those of this process by default.

    Returns:
        The exit status.
    """
    # Closed streams are None
    out = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    err = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    try:
        with redirect_stdout(Printable(out)), redirect_stderr(Printable(err)):
            try:
                return _main(list(sys.argv[1:] if argv is None else argv))
            finally:
                # A full disk or a closed pipe must show here, not at the interpreter's exit
                sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        status = 141
    except OSError as error:  # a full disk under what is printed
        err.write(f"surgstream: standard output: {error.strerror or error}\n")
        status = 1

    # For the interpreter's last flush
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return status


def _main(words: list[str]) -> int:
    if len(words) > 1 and words[0] == "help":
        words = [*words[1:], "--help"]

    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE + "\n")
        return 0 if words else 2
    if words[0] in ("-V", "--version", "version"):
        sys.stdout.write(f"surgstream {_version()}\n")
        return 0

    name, *rest = words
    if name not in COMMANDS:
        sys.stderr.write(
            f"surgstream: unknown command {name!r}{did_you_mean(name, COMMANDS)}\n\n{USAGE}\n"
        )
        return 2

    # Help is given on any system
    if platform.system() != "Linux" and not {"-h", "--help"} & {*rest}:
        sys.stderr.write(
            f"surgstream {name}: expected Linux, got {platform.system()}; use WSL 2 on Windows, a "
            "Linux container or another machine on macOS\n"
        )
        return 1
    return _run(name, rest)


def _run(name: str, rest: Sequence[str]) -> int:
    try:
        return run(name, rest)
    except ModuleNotFoundError as error:  # on a login node, say
        package = str(error.name).partition(".")[0]
        remedy = REMEDIES.get(
            package,
            "pip install surgstream with what it depends on, as docs/getting_started.md says",
        )
        sys.stderr.write(
            f"surgstream {name}: needs {error.name}, which is not installed here; {remedy}\n"
        )
        return 1
    except SurgstreamError as error:
        sys.stderr.write(f"surgstream {name}: {error}\n")
        return error.exit_status
    except BrokenPipeError:
        # `main` ends quietly on it; below it would pass for a mistake of files
        raise
    except OSError as error:  # a full disk, a folder without rights
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"surgstream {name}: {where}{error.strerror or error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"surgstream {name}: interrupted\n")
        return 130


def _version() -> str:
    try:
        return importlib.metadata.version("surgstream")
    except importlib.metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


if __name__ == "__main__":
    sys.exit(main())
