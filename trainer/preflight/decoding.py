"""Decoding on the GPU: does it give the CPU's pixels, and does the process that tries it live?"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from surgstream.shards.order.sequence import RankShare
from surgstream.shards.reading.clips import ClipShape
from surgstream.shards.reading.feed import Reading
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.reading.passes import ClipPass, Selection
from surgstream.shards.storage.stores import Storage
from surgstream.trainer.batch import IMAGENET_STD
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.augment import ClipTransform, draw_transform
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.decode import ClipDecoder
from surgstream.trainer.errors import DecodeError, PreflightError
from surgstream.trainer.preflight.checklist import Checklist
from surgstream.trainer.preflight.child import in_child
from surgstream.trainer.preflight.judgement.report import GpuDecoding
from surgstream.trainer.preflight.rendezvous import Rendezvous
from surgstream.trainer.preflight.store import Corpora

SECONDS = 25.0
"""To try decoding on the GPU: most of it is a new process that imports what it needs."""

NUM_JPEGS = 64

NO_GPU = "data.decode.device: expected a GPU for gpu, this rank has none"

FRAME_LEVELS = 1.5
"""The most grey levels of 255 that a frame may be off on average. The GPU's graph, run on a CPU, is off by 0.2, for it
rounds once less; chroma that is repeated where the CPU interpolates it would add 0.9."""

FAR_LEVELS = 16.0
FAR_SHARE = 0.02
"""The most values of a frame that may be further off than that. Up to 0.2 % are, at the edges, where the GPU's filter
sees what lies beyond the window; a band of blocks that are another frame's is more, be it little on average."""

Pixels = npt.NDArray[np.float32]


def examine_decoding(
    config: TrainConfig, meeting: Rendezvous, checks: Checklist, corpora: Corpora | None
) -> GpuDecoding | None:
    """Try the GPU of one rank a node, for which the others wait; None elsewhere, and where the CPU is to decode."""
    if config.data.decode.device == "cpu":
        return None

    rank_info = meeting.rank_info
    found = None
    if config.data.decode.device == "gpu" and rank_info.device.type != "cuda":
        found = GpuDecoding(problem=NO_GPU, is_asked_for=True)
    elif corpora and rank_info.local_rank == 0 and rank_info.device.type == "cuda":
        found = _try_gpu(config, rank_info.device, checks, corpora)
    meeting.all_ok("decode", checks.at_most(2 * SECONDS))
    return found


def _try_gpu(
    config: TrainConfig, device: torch.device, checks: Checklist, corpora: Corpora
) -> GpuDecoding | None:
    """Decode pictures of the corpus on a GPU; None where they could not be read."""
    decode = config.data.decode
    is_asked_for = decode.device == "gpu"
    sample = checks.run(
        "decode",
        lambda: take_sample(config, corpora.storage),
        seconds=10,
        advice="see whether this node reaches the store",
        fatal=is_asked_for,
    )
    if sample is None:
        return None

    on_gpu = replace(decode, device="gpu")
    problem = checks.run(
        "decode",
        lambda: gpu_problem(sample, on_gpu, device, checks.at_most(SECONDS - 5)),
        seconds=SECONDS,
        advice="set data.decode.device=cpu",
        fatal=is_asked_for,
    )
    if problem is None:
        return None
    return GpuDecoding(problem=problem, is_asked_for=is_asked_for)


@dataclass(frozen=True)
class Sample:
    """Clips of the corpus to try decoders with.

    Attributes:
        frames: Their JPEGs, clip by clip.
        transform: Their windows.
        stills: Which of them are stills, of one JPEG each.
        num_frames: Frames a clip.
        image_size: Height and width of the model's input in pixels.
    """

    frames: Sequence[npt.NDArray[np.uint8]]
    transform: ClipTransform
    stills: npt.NDArray[np.bool_]
    num_frames: int
    image_size: int

    def decoded(self, config: DecodeConfig, device: torch.device) -> Pixels:
        """Decode the sample as a run does: normalised clips (B, C, T, H, W), in host memory.

        Raises:
            DecodeError: It cannot be decoded.
        """
        decoder = ClipDecoder(
            config,
            max_clips=len(self.stills),
            num_frames=self.num_frames,
            image_size=self.image_size,
            device=device,
        )
        return decoder.decode(self.frames, self.transform, self.stills).cpu().numpy()


def take_sample(config: TrainConfig, storage: Storage) -> Sample:
    """Read clips from all over the corpus, with the crops of a run: some 64 JPEGs, or one clip where that has more.

    Of stills there are fewer: each is a JPEG.

    Raises:
        SurgstreamError: The corpus cannot be read.
    """
    encoder = config.objective.encoder
    data = config.data
    table = FrameTable.open(storage, fps=data.fps, check=False, datasets=data.datasets)
    num_clips = max(1, NUM_JPEGS // encoder.num_frames)
    clips = ClipPass(
        table,
        Selection(num_clips=num_clips),
        shape=ClipShape(num_frames=encoder.num_frames, stride=data.stride),
        rank_share=RankShare(
            rank=0, world_size=1, micro_batch_size=num_clips, global_batch_size=num_clips
        ),
        reading=Reading(read=data.read, limits=data.limits),
        chunk_frames=data.order.chunk_frames,
    )
    with clips:
        batch = next(iter(clips))

    draws = np.array([clip.draw for clip in batch], np.int64)
    sizes = np.array([(clip.width, clip.height) for clip in batch], np.int64)
    # What is done to pixels after decoding would make large differences of small ones
    windows = draw_transform(data.augment, config.seed, draws, sizes).windows
    return Sample(
        frames=list(itertools.chain.from_iterable(clip.frames for clip in batch)),
        transform=ClipTransform(windows=windows),
        stills=np.array([clip.is_still for clip in batch]),
        num_frames=encoder.num_frames,
        image_size=encoder.image_size,
    )


def gpu_problem(sample: Sample, config: DecodeConfig, device: torch.device, seconds: float) -> str:
    """What is wrong with decoding on the GPU: the beginning of a sentence, or nothing.

    Args:
        sample: What to decode.
        config: How a run would decode on the GPU.
        device: The GPU.
        seconds: The time for the child that tries it.
    """
    on_cpu = DecodeConfig(device="cpu", threads=config.threads)
    try:
        expected = sample.decoded(on_cpu, torch.device("cpu"))
    except DecodeError as error:
        return f"GPU decoding was not tried, since the CPU cannot decode its sample: {error}"

    try:
        found = in_child(partial(sample.decoded, config, device), seconds)
    except PreflightError as error:
        return f"GPU decoding {error}"
    return difference(found, expected)


def difference(found: Pixels, expected: Pixels) -> str:
    """Compare normalised clips (B, C, T, H, W): in how far they are not those of the CPU, nothing if near enough."""
    if found.shape != expected.shape:
        return f"GPU decoding gave clips of shape {found.shape}, expected {expected.shape}"

    std = np.array(IMAGENET_STD, np.float32).reshape(1, 3, 1, 1, 1)
    levels = 255 * std * np.abs(found - expected)
    mean = levels.mean(axis=(1, 3, 4)).max()
    far = (levels > FAR_LEVELS).mean(axis=(1, 3, 4)).max()
    if mean <= FRAME_LEVELS and far <= FAR_SHARE:
        return ""
    return (
        f"GPU decoding gave other pixels than the CPU's: a frame is {mean:.1f} grey levels off "
        f"(expected at most {FRAME_LEVELS:g}), {far:.1%} of its values by more than "
        f"{FAR_LEVELS:g} (expected at most {FAR_SHARE:.0%})"
    )
