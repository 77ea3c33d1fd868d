"""The `surgstream` command: maps a subcommand to the module that does the work, and runs it.

Modules are imported only when their command is called, so `surgstream --help` and everything that runs on login nodes
need neither torch nor DALI.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from configs.errors import SurgstreamError

COMMANDS = {
    "synth": ("shards.synthetic.corpus", "make a small labelled surgical corpus, to try everything without data"),
    "pack": ("shards.pack", "pack videos into WebDataset shards, in a folder or on S3"),
    "verify": ("shards.verify", "check every byte of a packed corpus"),
    "inspect": ("shards.look.inspect", "show what a packed corpus holds, in numbers and in pictures"),
    "leaks": ("shards.leaks.guard", "find what is in a corpus twice, or in a held-out one as well"),
    "stage": ("shards.stage", "copy a packed corpus to the disks of nodes, a parallel file system or a store"),
    "order": ("trainer.show_order", "print which clip is drawn when, and which rank reads it"),
    "describe": ("trainer.describe", "print a recipe's parameters, FLOPs, memory, steps and clips as JSON"),
    "preflight": ("trainer.preflight", "check nodes, store, network and memory before a run, in under a minute"),
    "pretrain": ("trainer.pretrain", "train a recipe, on one process or under torchrun or srun"),
    "export": ("trainer.export", "write a checkpoint's encoder as safetensors, for warm starts and for transformers"),
    "launch": ("launch.submit", "start jobs under Slurm or torchrun: training, packing, measuring the loader"),
    "status": ("trainer.status", "tell how runs stand: step, speed, loss, checkpoint, time left"),
    "bench": ("benchmarks.__main__", "measure this machine: reading, decoding, the loader, a training step"),
    "loader": ("trainer.loader_speed", "measure how fast a recipe's clips are read and decoded, without a model"),
}

USAGE = "\n".join(
    [
        "usage: surgstream COMMAND [arguments]",
        "",
        "Pretraining for surgical video foundation models: videos -> shards -> clips -> training.",
        "",
        "commands, in the order you will need them:",
        *(f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()),
        "",
        "`surgstream COMMAND --help` explains one of them.",
        "Exit status: 0 done, 1 failed, 2 wrong arguments or configuration, 3 packed with some videos in quarantine.",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: The words after `surgstream`; those of this process by default.

    Returns:
        The exit status.
    """
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the interpreter's last flush goes
        return 141


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE + "\n")
        return 0 if words else 2
    name, *rest = words
    if name not in COMMANDS:
        sys.stderr.write(f"surgstream: unknown command {name!r}\n\n{USAGE}\n")
        return 2
    try:
        command = importlib.import_module(COMMANDS[name][0])
    except ModuleNotFoundError as error:  # on a login node, say
        sys.stderr.write(f"surgstream {name}: needs {error.name}, which is not installed here\n")
        return 1
    try:
        status = command.main(rest)
    except SurgstreamError as error:
        sys.stderr.write(f"surgstream {name}: {error}\n")
        return error.exit_status
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, a folder without rights
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"surgstream {name}: {where}{error.strerror or error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"surgstream {name}: interrupted\n")
        return 130
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
