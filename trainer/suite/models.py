"""The encoders that a suite compares: what the words of a command say, and what makes two of them the same."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surgstream.configs.errors import ConfigError
from surgstream.trainer.encoders.config import PIXELS, RANDOM, TIMM
from surgstream.trainer.engine.checkpoint_files import STATE, chosen_checkpoint
from surgstream.trainer.errors import ModelError
from surgstream.trainer.runs.files import CHECKPOINTS
from surgstream.trainer.suite.config import SuiteConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")
_WEIGHTS = "weights="
_ENCODER = "encoder."


@dataclass(frozen=True, kw_only=True)
class SuiteModel:
    """An encoder of a suite.

    Attributes:
        name: What it is called in tables.
        weights: As a probe's `weights`; of a run the checkpoint that it chose.
        words: `encoder.KEY=VALUE`, how it is read.
        sha256: Of the bytes of its weights; of random ones of those that they have the architecture of.
        is_yardstick: Whether the suite asks for it, and not the user.
    """

    name: str
    weights: str
    words: tuple[str, ...] = ()
    sha256: str
    is_yardstick: bool = False

    @property
    def is_random(self) -> bool:
        """Whether its weights are random ones, which differ from seed to seed."""
        return self.weights == RANDOM or self.weights.startswith(f"{RANDOM}:")


def read_models(words: Sequence[str], suite: SuiteConfig) -> tuple[SuiteModel, ...]:
    """The encoders that a command names, and then the suite's yardsticks.

    Args:
        words: `weights=[NAME=]WEIGHTS`, and after each of them its own `encoder.KEY=VALUE`.
        suite: The suite.

    Raises:
        ConfigError: A word is none of these, or two encoders have one name.
        CheckpointError: A checkpoint is not whole.
        ModelError: A file or a folder is not there.
    """
    grouped: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith(_WEIGHTS):
            grouped.append((word.removeprefix(_WEIGHTS), []))
        elif word.startswith(_ENCODER) and grouped:
            grouped[-1][1].append(word)
        else:
            raise ConfigError(
                f"expected weights=[NAME=]WEIGHTS, and after it encoder.KEY=VALUE of these weights, got {word!r:.80}"
            )
    if not grouped:
        raise ConfigError("expected weights=[NAME=]WEIGHTS, the encoder to judge, got none")

    found = [_model(text, tuple(settings)) for text, settings in grouped]
    first = found[0]
    for yardstick in suite.yardsticks:
        if yardstick == PIXELS:
            found.append(_yardstick(PIXELS, PIXELS, suite.pixels))
        elif first.weights != PIXELS and not first.is_random:
            found.append(_yardstick(RANDOM, f"{RANDOM}:{first.weights}", first.words))

    names = [model.name for model in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{name}: expected each encoder to have a name of its own, got this twice; write weights=NAME=WEIGHTS"
            )
    return tuple(found)


def _model(text: str, settings: tuple[str, ...]) -> SuiteModel:
    name, equals, weights = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        name, weights = "", text
    if not weights:
        raise ConfigError(f"weights={text}: expected a path, or the name of weights, got nothing")

    weights = _meant(weights)
    return SuiteModel(
        name=name or _called(weights),
        weights=weights,
        words=settings,
        sha256=_digest(weights),
    )


def _yardstick(name: str, weights: str, settings: tuple[str, ...]) -> SuiteModel:
    return SuiteModel(
        name=name, weights=weights, words=settings, sha256=_digest(weights), is_yardstick=True
    )


def _place(weights: str) -> Path | None:
    """The file or folder that weights, or the architecture of random ones, are read from; None where they have none."""
    place = weights.removeprefix(f"{RANDOM}:")
    if place in (RANDOM, PIXELS) or place.startswith(TIMM):
        return None
    return Path(place)


def _meant(weights: str) -> str:
    """The weights, in absolute words; of a run directory the checkpoint that it chose, since a run goes on."""
    place = _place(weights)
    if place is None:
        return weights
    if not place.exists():
        raise ModelError(
            f"weights: expected a checkpoint, a run, an export, a file or a folder of weights, got {place}, which "
            "does not exist"
        )

    if (place / STATE).exists() or (place / CHECKPOINTS).is_dir():
        place = chosen_checkpoint(place)
    random = f"{RANDOM}:" if weights.startswith(f"{RANDOM}:") else ""
    return f"{random}{place.absolute()}"


def _called(weights: str) -> str:
    """A name for weights that have none: of a checkpoint the run's and the step's."""
    place = _place(weights)
    if place is None:
        name = weights
    elif place.parent.name == CHECKPOINTS:
        name = f"{place.parent.parent.name}-{place.name}"
    else:
        name = place.stem if place.is_file() else place.name
    if place is not None and weights.startswith(f"{RANDOM}:"):
        name = f"random-{name}"
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", name)


def _digest(weights: str) -> str:
    """SHA-256 of the bytes of weights. A checkpoint's state has the hashes of its other files."""
    place = _place(weights)
    if place is None:
        return hashlib.sha256(weights.encode()).hexdigest()
    if (place / STATE).exists():
        return _of_file(place / STATE)
    if place.is_file():
        return _of_file(place)

    digest = hashlib.sha256()
    for path in sorted(path for path in place.iterdir() if path.is_file()):
        digest.update(f"{path.name} {_of_file(path)}\n".encode())
    return digest.hexdigest()


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
