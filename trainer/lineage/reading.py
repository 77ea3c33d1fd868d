"""The ancestry of weights by the word that names them, read without their tensors. It runs without torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

from surgstream.configs.errors import ConfigError
from surgstream.configs.files import open_regular, read_text
from surgstream.trainer.encoders.config import PIXELS, RANDOM, TIMM
from surgstream.trainer.engine.checkpoint_files import STATE, read_state
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.lineage.ancestry import NOTHING, Ancestry, Corpus, Foreign, from_json
from surgstream.trainer.runs.files import CHECKPOINTS, checkpoints_in

ANCESTRY = "ancestry"
"""The key of a checkpoint's state."""

ANCESTRY_FILE = "ancestry.json"
"""The file of an export, beside its weights."""

_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "model.pth", "model.pt")
"""Files of weights in folders, ours and those of transformers."""

_BEFORE = "saved by a version that kept no ancestry"


def ancestry_of(weights: str, known_as: str | None = None) -> Ancestry:
    """What weights descend from.

    Args:
        weights: As `load_frozen` and warm starts take them: a checkpoint's or a run's directory, an export, others'
            files, `timm:MODEL`, `random`, `random:WEIGHTS` or `pixels`. Of a run the newest checkpoint, which descends
            from all that earlier ones do.
        known_as: The family that they are said to be of, where they do not tell it themselves.

    Raises:
        CheckpointError: A state says something else there, or cannot be read.
        ModelError: The file of an export does.
    """
    if weights in (PIXELS, RANDOM) or weights.startswith(f"{RANDOM}:"):
        return NOTHING
    if weights.startswith(TIMM):
        return Ancestry(foreign=(Foreign(name=weights, known_as=known_as),))

    path = Path(weights)
    checkpoint = _checkpoint_at(path)
    if checkpoint:
        return ancestry_in(read_state(checkpoint), str(checkpoint))
    if (path / ANCESTRY_FILE).exists():
        return _of_export(path / ANCESTRY_FILE)

    why = _BEFORE if _is_our_export(path) else ""
    sha256 = _digest(path)
    return Ancestry(foreign=(Foreign(name=weights, sha256=sha256, known_as=known_as, why=why),))


def digest_of(weights: str) -> str | None:
    """SHA-256 of what weights are, by the word that names them.

    Args:
        weights: As `ancestry_of` takes them.

    Returns:
        Of a checkpoint, or the newest one of a run, that of its state, which has the digests of its files; of an export
        that of its weights, of a file its own. None where there is none, or it cannot be read.
    """
    path = Path(weights)
    checkpoint = _checkpoint_at(path)
    return _digest(checkpoint / STATE if checkpoint else path)


def ancestry_in(state: dict[str, Any], checkpoint: str) -> Ancestry:
    """What a checkpoint descends from, by its state.

    One of a version that kept no ancestry descends from its own corpus, and from what is not known.

    Args:
        state: Its state; see `read_state`.
        checkpoint: What it is called, for messages.

    Raises:
        CheckpointError: The state says something else there.
    """
    if ANCESTRY not in state:
        corpora = _corpus_before(state)
        foreign = Foreign(name=checkpoint, why=_BEFORE)
        return Ancestry(corpora=corpora, foreign=(foreign,))
    try:
        return from_json(state[ANCESTRY], f"{checkpoint}: {STATE}: {ANCESTRY}")
    except ConfigError as error:
        raise CheckpointError(f"{error}; use another checkpoint") from None


def _checkpoint_at(path: Path) -> Path | None:
    """The checkpoint that a path is, or the newest one of a run whose state can be read; None of others."""
    if (path / STATE).exists():
        return path

    checkpoints = checkpoints_in(path / CHECKPOINTS)
    for checkpoint in checkpoints:
        try:
            read_state(checkpoint)
        except CheckpointError:
            continue
        return checkpoint
    return checkpoints[0] if checkpoints else None


def _corpus_before(state: dict[str, Any]) -> tuple[Corpus, ...]:
    """The corpus of a state that has no ancestry, without names, where the state tells it."""
    try:
        config = state["config"]
        if config.get("task") is not None:
            return ()  # its manifest is of clips
        corpus = {"manifest": state["manifest"], "address": config["data"]["corpus"]}
        tree = {"corpora": [{**corpus, "names": "absent"}]}
        return from_json(tree, STATE).corpora
    except (LookupError, TypeError, AttributeError, ConfigError):
        return ()


def _of_export(path: Path) -> Ancestry:
    try:
        return from_json(json.loads(read_text(path)), str(path))
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, RecursionError):
        problem = "no such JSON"
    except ConfigError as error:
        raise ModelError(f"{error}; export it again") from None
    raise ModelError(f"{path}: expected what surgstream export wrote, got: {problem}")


def _is_our_export(path: Path) -> bool:
    try:
        tree = json.loads(read_text(path / _CONFIG))
        return "clips_seen" in tree or "surgstream" in tree
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _digest(path: Path) -> str | None:
    """SHA-256 of a file of weights, or of that of a folder; None where there is none."""
    files = [path / name for name in _WEIGHTS] if path.is_dir() else [path]
    file = next(filter(Path.exists, files), path)
    try:
        with open_regular(file) as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None
