"""Revisions: the stretches of an order over which corpus, weights and lanes stay the same.

A run that never changes them has one revision. A change at a resume appends another, so that the past stays what it
was: clips already drawn are drawn in the same places when the order is evaluated again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from surgstream.configs.ranges import Range
from surgstream.shards.errors import ManifestError
from surgstream.shards.order.mixture import (
    MAX_COUNT,
    STEEPEST,
    Weights,
    asked_shares,
    period_counts,
    temperature_of,
    with_share,
)

MicroBatches = Literal["by_chunk", "mixed"]


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """The drawing of clips from a corpus; choose it for the corpus and the batch, not for the machine.

    Attributes:
        weights: `uniform`: every clip as often as any other. `balanced`: every specialty, and within it every dataset,
            as often as any other. `{temperature: a}`: every dataset by its number of clips to the power of a, from 1,
            uniform, to 0, all datasets alike. Or a weight for each dataset by name; 0 leaves it out.
        stills_share: Share of the draws that are still images, of datasets packed as `stills`; `weights` hold among
            these, and among the others. null weighs all datasets together.
        open_chunks: Chunks open at a time, over all datasets. A batch mixes best with at least as many lanes as clips;
            memory over all nodes is about lanes x (chunk_frames + look-back) frames.
        chunk_frames: Least frames read together; larger chunks cost less traffic and more memory.
        micro_batches: How a step's clips are dealt to micro-batches. `by_chunk` reads least; `mixed` puts as many
            videos as possible into every micro-batch, for losses that compare its clips with each other.
        warn_repeats_above: Warn before the first step of each dataset whose clips are drawn more than this many times
            as often as an average clip of the corpus.
    """

    weights: Weights = "uniform"
    stills_share: Annotated[float, Range(0.001, 0.999)] | None = None
    open_chunks: Annotated[int, Range(1, 2**20)] = 2048
    chunk_frames: Annotated[int, Range(1, 2**24)] = 320
    micro_batches: MicroBatches = "by_chunk"
    warn_repeats_above: Annotated[float, Range(0, 1e9)] = 10.0

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with these values."""
        temperature = temperature_of(self.weights)
        if temperature is not None:
            if temperature > STEEPEST:
                yield f"weights.temperature: expected 0 to {STEEPEST:g}, got {temperature:g}"
        elif isinstance(self.weights, dict) and not any(self.weights.values()):
            yield "weights: expected at least one above 0"


@dataclass(frozen=True)
class DatasetSize:
    """A dataset, as the order sees it: it has one clip for each frame that a run shows, counted from 0.

    Whether it is of still images is not compared, since orders of before did not know it.
    """

    name: str
    specialty: str
    num_clips: int
    stills: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class DatasetRevision:
    """A dataset's part in a revision.

    Attributes:
        size: The dataset.
        asked: The share of all draws that the weights ask for.
        count: Its draws in a period of the revision; 0 leaves it out.
        k_base: Its draws before the revision, rounded up to whole epochs if its layout changed with the revision.
        lanes: The most lanes it may use.
        in_corpus: False once it has left the corpus; it is remembered in case it comes back.
    """

    size: DatasetSize
    asked: float
    count: int
    k_base: int
    lanes: int
    in_corpus: bool


@dataclass(frozen=True)
class Revision:
    """The settings that decide the draws from `start` until the next revision."""

    start: int
    weights: Weights
    lanes: int
    chunk_frames: int
    datasets: tuple[DatasetRevision, ...]
    stills_share: float | None = None

    def differences(self, sizes: Sequence[DatasetSize], config: OrderConfig) -> dict[str, str]:
        """Compare with what a run asks for now.

        Args:
            sizes: The datasets of the corpus.
            config: The configuration of the order.

        Returns:
            A clause for each of `corpus`, `weights` and `chunks` that differs, saying how.
        """
        then = {plan.size.name: plan.size for plan in self.datasets if plan.in_corpus}
        now = {size.name: size for size in sizes}

        changes = [f"{name} is gone" for name in then if name not in now]
        changes += [f"{name} is new" for name in now if name not in then]
        for name in now:
            if name in then and now[name] != then[name]:
                changes.append(f"{name} had {_say(then[name])}, now {_say(now[name])}")

        found = {"corpus": ", ".join(changes)} if changes else {}
        if self.weights != config.weights:
            found["weights"] = f"weights were {self.weights}, now {config.weights}"
        if self.stills_share != config.stills_share:
            change = f"stills_share was {self.stills_share}, now {config.stills_share}"
            found["weights"] = ", ".join(filter(None, [found.get("weights"), change]))
        if (self.lanes, self.chunk_frames) != (config.open_chunks, config.chunk_frames):
            before = f"{self.lanes} x {self.chunk_frames}"
            after = f"{config.open_chunks} x {config.chunk_frames}"
            found["chunks"] = f"open_chunks x chunk_frames were {before}, now {after}"
        return found


def first_revision(start: int, sizes: Sequence[DatasetSize], config: OrderConfig) -> Revision:
    """A revision that knows no past: every dataset begins its first epoch.

    Args:
        start: First draw of the revision.
        sizes: The datasets of the corpus.
        config: Weights and lanes.

    Returns:
        The revision. Each dataset has its share of the lanes, and at least one.

    Raises:
        ManifestError: The corpus has no datasets, or one without clips or with too many.
        ConfigError: The weights do not fit the datasets.
    """
    if not sizes:
        raise ManifestError("the corpus is empty: expected at least one dataset; pack some videos")
    for size in sizes:
        _check_num_clips(size)

    num_clips = {size.name: size.num_clips for size in sizes}
    specialties = {size.name: size.specialty for size in sizes}
    shares = asked_shares(config.weights, specialties, num_clips)
    if config.stills_share is not None:
        stills = {size.name for size in sizes if size.stills}
        shares = with_share(shares, stills, config.stills_share)

    # One period of uniform weights is one pass over the corpus.
    is_one_pass = config.weights == "uniform" and config.stills_share is None
    counts = num_clips if is_one_pass else period_counts(shares)

    plans = (
        DatasetRevision(
            size=size,
            asked=float(shares[size.name]),
            count=counts[size.name],
            k_base=0,
            lanes=max(1, round(config.open_chunks * shares[size.name])),
            in_corpus=True,
        )
        for size in sizes
    )
    return Revision(
        start,
        config.weights,
        config.open_chunks,
        config.chunk_frames,
        tuple(plans),
        config.stills_share,
    )


def next_revision(
    last: Revision,
    drawn: Sequence[int],
    start: int,
    sizes: Sequence[DatasetSize],
    config: OrderConfig,
) -> Revision:
    """The revision that follows another when corpus, weights or lanes change.

    Where a dataset's clips and lanes stay the same, it goes on within its epoch; lanes stay when only weights change,
    because another grid would lose the clips that the epoch still owes. Otherwise it starts its next epoch. Datasets
    keep their index: those that left the corpus stay in the list, undrawn, and new ones come last.

    Args:
        last: The revision before.
        drawn: Draws of each of its datasets before `start`.
        start: First draw of the new revision.
        sizes: The datasets of the corpus.
        config: Weights and lanes.

    Returns:
        The new revision.

    Raises:
        ManifestError: As `first_revision`.
        ConfigError: As `first_revision`.
    """
    fresh = first_revision(start, sizes, config)
    arriving = {plan.size.name: plan for plan in fresh.datasets}
    keeps_chunks = last.chunk_frames == config.chunk_frames

    plans = []
    for old, k in zip(last.datasets, drawn, strict=True):
        new = arriving.pop(old.size.name, None)
        if new is None:
            plans.append(replace(old, asked=0.0, count=0, k_base=k, in_corpus=False))
            continue

        lanes = old.lanes if keeps_chunks and last.lanes == config.open_chunks else new.lanes
        keeps_clips = new.size.num_clips == old.size.num_clips
        goes_on = keeps_chunks and keeps_clips and lanes == old.lanes

        # Epochs count on, or the random choices of an earlier epoch would come again.
        next_epoch = -(-k // old.size.num_clips)
        k_base = k if goes_on else next_epoch * new.size.num_clips
        plans.append(replace(new, lanes=lanes, k_base=k_base))

    # The arrivals that remain are new.
    return replace(fresh, datasets=(*plans, *arriving.values()))


def _check_num_clips(size: DatasetSize) -> None:
    if 0 < size.num_clips <= MAX_COUNT:
        return
    remedy = "split it in two"
    if not size.num_clips:
        remedy = "raise data.fps, its parts are shorter than a frame"
    raise ManifestError(
        f"dataset {size.name}: expected between 1 and {MAX_COUNT} clips, "
        f"got {size.num_clips}; {remedy}"
    )


def _say(size: DatasetSize) -> str:
    return f"{size.num_clips} clips of {size.specialty}"
