"""What a run will take, reckoned from its recipe: memory, time, room on a disk. Pure functions."""

import numpy as np
import numpy.typing as npt

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Plan
from surgstream.trainer.objectives.base import Objective

GIB = 2**30

REPORT_BYTES = 5000
"""Of a report in `metrics.jsonl` (2 kB) and TensorBoard (3 kB), as measured of runs on four datasets."""

PICTURE_BYTES = 2 * 700_000
"""Of a picture, in `pictures/` and again in TensorBoard, as the demo's; those of longer clips have up to twice that."""


def memory(config: TrainConfig, objective: Objective, world_size: int) -> dict[str, float]:
    """Estimate the GiB that a rank holds for the model.

    Parameters, gradients and optimizer state are fp32 and sharded as the ZeRO stage says. For its backward pass a
    transformer block in bf16 keeps about 34 bytes for each token and unit of width (Korthikanti et al. 2022, equation
    2, without the attention scores that fused kernels recompute), or 4 under activation checkpointing.
    """
    stage, activations = config.parallel.zero_stage, 0
    trainable = objective.num_parameters()["trainable"]
    for network, tokens in objective.passes():
        kept_bytes = 4 if network.activation_checkpointing else 34
        activations += tokens * network.shape.embed_dim * network.shape.depth * kept_bytes

    sizes = {
        "parameters": 4 * trainable / (world_size if stage == 3 else 1),
        "gradients": 4 * trainable / (world_size if stage >= 2 else 1),
        "optimizer": 12 * trainable / world_size,  # DeepSpeed's fp32 copy and both moments
        "targets": 4.0 * objective.num_frozen(),
        "activations": float(config.micro_batch_size * activations),
    }

    return {
        name: round(size / GIB, 3) for name, size in {**sizes, "total": sum(sizes.values())}.items()
    }


def checkpoint_bytes(objective: Objective) -> int:
    """Of one checkpoint: fp32 parameters, both moments of each, and averages."""
    averaged = sum(average.numel() for average in objective.averages().values())
    return 4 * (3 * objective.num_parameters()["trainable"] + averaged)


def disk(
    config: TrainConfig, objective: Objective, plan: Plan, audit_line_bytes: float
) -> dict[str, int]:
    """Bytes that the whole run leaves in its directory; `checkpoints` with the one that is being written.

    Args:
        config: The run's configuration.
        objective: What it trains.
        plan: The run in numbers.
        audit_line_bytes: Of a clip in the audit log.
    """
    steps, clips = plan.last_step, plan.last_step * plan.global_batch_size
    each, settings = checkpoint_bytes(objective), config.checkpoint
    kept = settings.keep_last + 1 + (steps // settings.keep_every if settings.keep_every else 0)
    pictured = config.report.pictures_every_steps

    sizes = {
        "checkpoints": each * kept,
        "metrics": REPORT_BYTES * -(-steps // config.report.every_steps),
        "pictures": PICTURE_BYTES * -(-steps // pictured) if pictured else 0,
        "audit": round(audit_line_bytes * clips) if config.data.audit_log else 0,
    }

    return {"a_checkpoint": each, **sizes, "total": sum(sizes.values())}


def time(
    config: TrainConfig, flops_per_clip: int, plan: Plan, *, world_size: int, tflops: float
) -> dict[str, float | None]:
    """How long the run takes on GPUs that are never kept waiting.

    Args:
        config: The run's configuration.
        flops_per_clip: Of training on it.
        plan: The run in numbers.
        world_size: GPUs.
        tflops: What each of them does in a second, sustained.
    """
    step_seconds = flops_per_clip * plan.global_batch_size / (tflops * 1e12 * world_size)
    hours = step_seconds * plan.last_step / 3600
    # Without saves every so many steps there is the one at the end.
    by_steps = (
        min(config.checkpoint.every_steps or plan.last_step, plan.last_step) * step_seconds / 60
    )

    return {
        "tflops": tflops,
        "step_seconds": step_seconds,
        "clips_per_second": plan.global_batch_size / step_seconds,
        "hours": hours,
        "gpu_hours": hours * world_size,
        "minutes_between_saves": min(by_steps, config.checkpoint.every_minutes or by_steps),
    }


def cut_short_share(part_frames: npt.NDArray[np.int64], look_back: int) -> float:
    """The share of clips that would begin before their part of a video does.

    Args:
        part_frames: (num,), frames of each part; each is the last frame of one clip.
        look_back: How many frames before its last one a clip begins.
    """
    return float(np.minimum(part_frames, look_back).sum() / part_frames.sum())


def repeated_share(part_frames: npt.NDArray[np.int64], *, num_frames: int, stride: int) -> float:
    """The share of what clips show that is their earliest frame again, since they look back beyond their part.

    Args:
        part_frames: (num,), frames of each part; each is the last frame of one clip.
        num_frames: Of a clip.
        stride: Frames from one to the next.
    """
    early = np.minimum(
        part_frames, (num_frames - 1) * stride
    )  # anchors that may lack frames before them
    blocks, rest = np.divmod(
        early, stride
    )  # in each block of `stride` anchors as many frames are lacking
    lacking = stride * (blocks * (num_frames - 1) - blocks * (blocks - 1) // 2) + rest * (
        num_frames - 1 - blocks
    )
    return float(lacking.sum() / (num_frames * part_frames.sum()))
