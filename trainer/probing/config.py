"""How often, and on which labels, the online probe is fitted and tested."""

from dataclasses import dataclass
from typing import Annotated

from surgstream.configs.places import Anywhere
from surgstream.configs.ranges import Range


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Labels that a linear readout of the features is asked about during training, and nothing is trained on.

    Attributes:
        label: The kind of label, as in the corpus file.
        corpus: What the readout is fitted to; null takes `data.corpus`.
        test_corpus: Other videos, to ask about; null takes `held_out.corpus`.
        clips: Clips to fit it to, evenly spread over the corpus.
        test_clips: Clips to ask about.
        every_steps: How often, in steps; 0 is never.
    """

    label: str = "phase"
    corpus: Anywhere | None = None
    test_corpus: Anywhere | None = None
    clips: Annotated[int, Range(2, 10**9)] = 512
    test_clips: Annotated[int, Range(1, 10**9)] = 512
    every_steps: Annotated[int, Range(0, 10**9)] = 1000
