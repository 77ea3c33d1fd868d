"""The settings of the online probe."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from surgstream.configs.places import Anywhere
from surgstream.configs.ranges import Range


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """A readout of the features, fitted to labels and tested during training; the model is not trained on them.

    Attributes:
        label: The kind of label, as in the corpus file; of no use beside a task.
        task: A task instead, whose training videos the readout is fitted to, and whose validation videos it is judged
            by, never the test videos: the name of one in `configs/evaluate/tasks`, or a file; with `@FOLD` one of its
            folds.
        labels: The folder of the task's labels, or its `s3://` address; null takes those in the corpus.
        readout: `linear` is ridge regression on the mean of the tokens. `attentive`, on a task alone, lets a learned
            query attend to all of them; they are kept in the host's memory, each rank those of its share of the clips.
        corpus: The corpus that the readout is fitted to, and that has all videos of a task; null takes `data.corpus`.
        test_corpus: A corpus of other videos to test it on; null takes `held_out.corpus`. Not beside a task.
        clips: Clips to fit it to, evenly spread over the corpus, or over the training videos of the task.
        test_clips: Clips to test it on, likewise.
        every_steps: The interval, in steps; 0 is never.
        lrs: Learning rates of attentive readouts, which are trained together with AdamW; the best on a fifth of the
            training videos is taken.
        epochs: Passes of attentive readouts over their clips.
        num_heads: Attention heads of each of their blocks.
        self_blocks: Their blocks of self-attention before the block of the query.
    """

    label: str = "phase"
    task: str | None = None
    labels: Anywhere | None = None
    readout: Literal["linear", "attentive"] = "linear"
    corpus: Anywhere | None = None
    test_corpus: Anywhere | None = None
    clips: Annotated[int, Range(2, 10**9)] = 512
    test_clips: Annotated[int, Range(1, 10**9)] = 512
    every_steps: Annotated[int, Range(0, 10**9)] = 1000
    lrs: tuple[Annotated[float, Range(1e-12, 1e3)], ...] = (3e-3, 1e-3, 3e-4)
    epochs: Annotated[int, Range(1, 10**5)] = 20
    num_heads: Annotated[int, Range(1, 256)] = 16
    self_blocks: Annotated[int, Range(0, 64)] = 0

    def problems_beside(self, *, width: int, has_held_out: bool) -> Iterator[str]:
        """Yield what does not fit together, or not the recipe.

        Args:
            width: Width of the encoder's tokens.
            has_held_out: Whether the recipe has held-out videos.
        """
        if self.task is None:
            if self.test_corpus is None and not has_held_out:
                yield "probe.test_corpus: expected a corpus where held_out is null, got nothing"
            if self.labels:
                yield f"probe.labels: expected null where there is no task, got {self.labels}"
            if self.readout == "attentive":
                yield "probe.task: expected a task beside an attentive readout, got nothing"
            return

        if self.test_corpus:
            yield (
                "probe.test_corpus: expected null beside a task, whose videos are all in probe.corpus, "
                f"got {self.test_corpus}"
            )
        if self.readout == "linear":
            return
        if not self.lrs or len({*self.lrs}) < len(self.lrs):
            yield f"probe.lrs: expected one or more, each once, got {list(self.lrs)}"
        if width % self.num_heads:
            yield (
                f"probe.num_heads: expected a divisor of the encoder's width {width}, got "
                f"{self.num_heads}"
            )
