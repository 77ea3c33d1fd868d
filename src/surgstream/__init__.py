"""Pretraining for surgical video foundation models; its rooms are the folders of the same names.

For notebooks and scripts, whatever is named here comes from `surgstream.trainer.api`, and is imported when it is first
used, so that `import surgstream` takes no torch.

    >>> import surgstream
    >>> corpus = surgstream.open_corpus("shards")
    >>> for batch in corpus.clips(num_frames=16, image_size=224, batch_size=8):
    ...     batch["clips"]  # (8, 3, 16, 224, 224)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgstream.trainer.api.corpus import Corpus, open_corpus
    from surgstream.trainer.api.encoding import VideoFeatures, features, load_encoder
    from surgstream.trainer.api.judging import Evaluation, evaluate

__all__ = [
    "Corpus",
    "Evaluation",
    "VideoFeatures",
    "evaluate",
    "features",
    "load_encoder",
    "open_corpus",
]

_ROOMS = {
    "Corpus": "corpus",
    "open_corpus": "corpus",
    "VideoFeatures": "encoding",
    "features": "encoding",
    "load_encoder": "encoding",
    "Evaluation": "judging",
    "evaluate": "judging",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'surgstream' has no attribute {name!r}")
    return getattr(importlib.import_module(f"surgstream.trainer.api.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    """What there is, for completion."""
    return [*__all__, *globals()]
