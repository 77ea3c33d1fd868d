"""The settings of the online probe."""

from dataclasses import dataclass
from typing import Annotated

from surgstream.configs.places import Anywhere
from surgstream.configs.ranges import Range


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """A linear readout of the features, fitted to labels and tested during training; the model is not trained on them.

    Attributes:
        label: The kind of label, as in the corpus file.
        corpus: The corpus that the readout is fitted to; null takes `data.corpus`.
        test_corpus: A corpus of other videos to test it on; null takes `held_out.corpus`.
        clips: Clips to fit it to, evenly spread over the corpus.
        test_clips: Clips to test it on.
        every_steps: The interval, in steps; 0 is never.
    """

    label: str = "phase"
    corpus: Anywhere | None = None
    test_corpus: Anywhere | None = None
    clips: Annotated[int, Range(2, 10**9)] = 512
    test_clips: Annotated[int, Range(1, 10**9)] = 512
    every_steps: Annotated[int, Range(0, 10**9)] = 1000
