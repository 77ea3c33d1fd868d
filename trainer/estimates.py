"""Estimates of a run's memory, time and disk space, from its recipe. Pure functions."""

import numpy as np
import numpy.typing as npt

from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import TrainingPlan
from surgstream.trainer.model_sizes import ModelSizes

GIB = 2**30

REPORT_BYTES = 5000
"""A report in `metrics.jsonl` (2 kB) and TensorBoard (3 kB), as measured in runs on four datasets."""

PICTURE_BYTES = 2 * 700_000
"""A picture in `pictures/` and again in TensorBoard, as in the demo; pictures of longer clips have up to twice that."""


def memory(config: TrainConfig, model: ModelSizes, world_size: int) -> dict[str, float]:
    """Estimate the GiB that a rank holds for the model.

    Parameters, gradients and optimizer state are fp32 and sharded as the ZeRO stage says.
    """
    stage = config.parallel.zero_stage
    trainable = model.parameters["trainable"]
    sizes = {
        "parameters": 4 * trainable / (world_size if stage == 3 else 1),
        "gradients": 4 * trainable / (world_size if stage >= 2 else 1),
        "optimizer": 12 * trainable / world_size,  # DeepSpeed's fp32 copy and both moments
        "targets": float(model.frozen_bytes),
        "activations": float(config.micro_batch_size * model.activation_bytes),
    }

    sizes["total"] = sum(sizes.values())
    return {name: round(size / GIB, 3) for name, size in sizes.items()}


def disk(
    config: TrainConfig, model: ModelSizes, plan: TrainingPlan, audit_line_bytes: float
) -> dict[str, int]:
    """The bytes that the whole run leaves in its directory; `checkpoints` counts the one that is being written, too.

    Args:
        config: The run's configuration.
        model: The sizes of its networks.
        plan: The run in numbers.
        audit_line_bytes: Bytes of a clip in the audit log.
    """
    steps = plan.last_step
    clips = steps * plan.global_batch_size

    kept = config.checkpoint.keep_last + 1
    if config.checkpoint.keep_every:
        kept += steps // config.checkpoint.keep_every
    # Rounded up: the last step reports, too.
    reports = -(-steps // config.metrics.every_steps)
    pictures = 0
    if config.metrics.pictures_every_steps:
        pictures = -(-steps // config.metrics.pictures_every_steps)

    each = model.checkpoint_bytes
    sizes = {
        "checkpoints": each * kept,
        "metrics": REPORT_BYTES * reports,
        "pictures": PICTURE_BYTES * pictures,
        "audit": round(audit_line_bytes * clips) if config.data.audit_log else 0,
    }
    return {"a_checkpoint": each, **sizes, "total": sum(sizes.values())}


def time(
    config: TrainConfig, flops_per_clip: int, plan: TrainingPlan, *, world_size: int, tflops: float
) -> dict[str, float | None]:
    """The run's time on GPUs that never wait.

    Args:
        config: The run's configuration.
        flops_per_clip: Floating point operations of training on a clip.
        plan: The run in numbers.
        world_size: GPUs.
        tflops: The sustained speed of each GPU, in 10^12 operations a second.
    """
    step_seconds = flops_per_clip * plan.global_batch_size / (tflops * 1e12 * world_size)
    hours = step_seconds * plan.last_step / 3600

    # Without saves by steps, only the last step saves.
    steps_between = min(config.checkpoint.every_steps or plan.last_step, plan.last_step)
    by_steps = steps_between * step_seconds / 60

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
        look_back: Frames from a clip's first to its last.
    """
    cut_short = np.minimum(part_frames, look_back).sum()
    return float(cut_short / part_frames.sum())


def repeated_share(part_frames: npt.NDArray[np.int64], *, num_frames: int, stride: int) -> float:
    """The share of clips' frames that repeat the earliest one, since clips look back beyond their part.

    Args:
        part_frames: (num,), frames of each part; each is the last frame of one clip.
        num_frames: Frames of a clip.
        stride: Frames from one to the next.
    """
    # Anchors that may lack frames before them.
    early = np.minimum(part_frames, (num_frames - 1) * stride)

    # Block k of `stride` anchors lacks num_frames - 1 - k frames for each of them; the last block may be shorter.
    blocks, rest = np.divmod(early, stride)
    lacking_in_blocks = stride * (blocks * (num_frames - 1) - blocks * (blocks - 1) // 2)
    lacking_in_rest = rest * (num_frames - 1 - blocks)

    lacking = lacking_in_blocks.sum() + lacking_in_rest.sum()
    return float(lacking / (num_frames * part_frames.sum()))
