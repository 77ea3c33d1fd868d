"""An exported folder: written next to its place, read again, and put there whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from surgstream.shards.storage.durable import sync_folder
from surgstream.shards.storage.owner import OWNERS, owning
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.errors import ModelError
from surgstream.trainer.export import for_transformers
from surgstream.trainer.export.card import CARD, Told, card
from surgstream.trainer.export.comparing import check
from surgstream.trainer.export.folder.forms import Form, form_for
from surgstream.trainer.export.folder.record import CONFIG, ExportRecord, LayoutName, config_bytes
from surgstream.trainer.export.recipe import RECIPE, recipe_bytes
from surgstream.trainer.export.source import TrainedEncoder
from surgstream.trainer.lineage.ancestry import for_others, to_json
from surgstream.trainer.lineage.reading import ANCESTRY_FILE
from surgstream.trainer.provenance.for_others import told_to_others
from surgstream.trainer.provenance.record import PROVENANCE, to_bytes

NOTHING_MORE = Told()
"""No licence and no results."""


def publish(
    source: TrainedEncoder, out: Path, layout: LayoutName, told: Told = NOTHING_MORE
) -> ExportRecord:
    """Write a folder, read it again, and give it its name.

    Args:
        source: The checkpoint to write.
        out: The folder's place; it must be empty or not exist.
        layout: The code that it is written for.
        told: What its card says beside what the checkpoint tells.

    Returns:
        The content of its `config.json`.

    Raises:
        ModelError: The layout has no place for this encoder, `out` is taken, or the folder gives other features.
        StorageError: It cannot be written, or somebody else writes there.
    """
    form = form_for(layout, source.recipe.objective)
    record = source.record(layout)

    with _being_written(out.resolve()) as content:
        storage = open_storage(str(content))
        for name, data in _files(record, form, source).items():
            storage.write(name, data)
        # The check reads the folder as a user will, so `config.json` is there before its result is.
        record = replace(record, check=check(content, source))
        storage.write(CONFIG, _config(record, source))
        storage.write(CARD, card(record, source, form, told).encode())

    return record


@contextmanager
def _being_written(out: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `out` when the block ends; one process at a time has it.

    It lies in a hidden folder next to `out`. The remains of a killed process are removed by the next one.
    """
    partial = out.with_name(f".{out.name}.partial")
    content = partial / "content"
    try:
        with owning(open_storage(str(partial)), "exporting"):
            # With the lock held: another process could be about to give `out` its name.
            _check_free(out)
            shutil.rmtree(content, ignore_errors=True)
            try:
                yield content
                content.rename(out)
                sync_folder(out.parent)
            finally:
                shutil.rmtree(content, ignore_errors=True)
    finally:
        with suppress(OSError):  # somebody else may be at work there
            (partial / OWNERS).rmdir()
            partial.rmdir()


def _check_free(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ModelError(f"{out}: exists and is not empty; choose another folder or delete it")


def _files(record: ExportRecord, form: Form, source: TrainedEncoder) -> dict[str, bytes]:
    """The weights, and what their readers need besides."""
    objective = source.recipe.objective
    written = {
        form.file: form.to_bytes(source.state, objective.encoder),
        CONFIG: _config(record, source),
        RECIPE: recipe_bytes(source.recipe),
        ANCESTRY_FILE: _ancestry(source),
        PROVENANCE: to_bytes(told_to_others(source.provenance)),
    }
    if record.layout == "transformers":
        written |= for_transformers.files(objective.encoder)
    return written


def _ancestry(source: TrainedEncoder) -> bytes:
    """What the encoder descends from, in a form that tells others no names and no places."""
    tree = to_json(for_others(source.ancestry))
    return (json.dumps(tree, indent=1) + "\n").encode()


def _config(record: ExportRecord, source: TrainedEncoder) -> bytes:
    theirs = None
    if record.layout == "transformers":
        theirs = for_transformers.numbers(source.recipe.objective)
    return config_bytes(record, theirs)
