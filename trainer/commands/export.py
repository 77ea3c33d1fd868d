"""`surgstream export`: the pretrained encoder of a run or a checkpoint, for others to use."""

import argparse
import sys
from pathlib import Path

from surgstream.trainer.engine.checkpoint_files import checkpoint_of
from surgstream.trainer.export.folder.record import LayoutName
from surgstream.trainer.export.source import read_source
from surgstream.trainer.export.writing import publish


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream export`."""
    averaged = words.weights == "average"
    sentence = export(words.checkpoint, words.out, words.layout, averaged=averaged)
    sys.stdout.write(f"{sentence}\n")
    return 0


def export(place: Path, out: Path, layout: LayoutName, *, averaged: bool) -> str:
    """Write the encoder, and read it again.

    Args:
        place: A checkpoint's directory, or a run's, whose newest whole checkpoint is exported.
        out: Folder to make.
        layout: The code that will read it.
        averaged: Whether to write the moving average, where there is one.

    Returns:
        A sentence that says what was written.

    Raises:
        CheckpointError: There is no whole checkpoint, or it is of a version that kept no configuration.
        ModelError: The layout has no place for this encoder, `out` is not empty, or the files, read again, give other
            features; they are deleted then.
        StorageError: `out` cannot be written to, or another process writes there.
    """
    checkpoint = checkpoint_of(place)
    source = read_source(checkpoint, averaged=averaged)
    record = publish(source, out, layout)

    which = "averaged encoder" if source.averaged else "encoder"
    sentence = f"{out}: the {which} of {checkpoint.name} of {record.objective}, for {layout}"
    if record.check:
        readers = " and ".join(record.check.read_by)
        difference = f"{record.check.largest_difference:.2g}"
        sentence += f"; read again by {readers}, features differ by at most {difference}"
    return sentence
