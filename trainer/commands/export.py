"""`surgstream export`: the pretrained encoder of a run or a checkpoint, for others to use."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.engine.checkpoint_files import checkpoint_of
from surgstream.trainer.export.card import Told
from surgstream.trainer.export.folder.record import LayoutName
from surgstream.trainer.export.results import read_results
from surgstream.trainer.export.source import read_source
from surgstream.trainer.export.writing import NOTHING_MORE, publish


def run(words: argparse.Namespace) -> int:
    """Do the work of `surgstream export`."""
    told = Told(licence=words.licence, results=read_results(words.results))
    averaged = words.weights == "average"
    sentence = export(words.checkpoint, words.out, words.layout, averaged=averaged, told=told)
    sys.stdout.write(f"{sentence}\n")
    return 0


def export(
    place: Path, out: Path, layout: LayoutName, *, averaged: bool, told: Told = NOTHING_MORE
) -> str:
    """Write the encoder, and read it again.

    Args:
        place: A checkpoint's directory, or a run's, whose newest whole checkpoint is exported.
        out: Folder to make.
        layout: The code that will read it.
        averaged: Whether to write the moving average, where there is one.
        told: What the card says of the encoder's licence and results; whose the results are is found out here.

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
    if any(result.encoder for result in told.results):
        settings = FrozenConfig(averaged=averaged)
        told = replace(told, identity=load_frozen(str(checkpoint), settings, seed=0).identity)
    record = publish(source, out, layout, told)

    which = "averaged encoder" if source.averaged else "encoder"
    sentence = f"{out}: the {which} of {checkpoint.name} of {record.objective}, for {layout}"
    if record.check:
        readers = " and ".join(record.check.read_by)
        difference = f"{record.check.largest_difference:.2g}"
        sentence += f"; read again by {readers}, features differ by at most {difference}"
    return sentence
