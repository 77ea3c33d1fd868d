"""Estimates of a run's memory, time and disk space, from its recipe. Pure functions."""

import math
from dataclasses import dataclass

from surgstream.shards.reading.locations import SizedTable
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.config import ParallelConfig
from surgstream.trainer.engine.schedules import TrainingPlan
from surgstream.trainer.model_sizes import ModelSizes

GIB = 2**30

_MAX_GATHERED_PARAMETERS = 10**9
"""Elements that DeepSpeed keeps gathered at stage 3, if they are used again."""

REPORT_BYTES = 5000
"""A report in `metrics.jsonl` (2 kB) and TensorBoard (3 kB), as measured in runs on four datasets."""

PICTURE_BYTES = 2 * 700_000
"""A picture in `pictures/` and again in TensorBoard, as in the demo; pictures of longer clips have up to twice that."""


MTTF_HOURS_OF_1024_GPUS = 7.9
"""The mean time to failure of a job of 1,024 GPUs in Meta's research clusters (Revisiting Reliability in Large-Scale
Machine Learning Research Clusters, HPCA 2025, arXiv:2410.21680); that of other jobs is inverse to their GPUs."""


EVALUATION_TFLOPS = 300
"""Operations a second that a GPU is taken to do in evaluations, in 10^12: some 30 % of what an H100 can in bf16."""


def evaluation_hours(flops: float) -> float:
    """Hours of one GPU that an evaluation's operations take."""
    return flops / (EVALUATION_TFLOPS * 1e12) / 3600


@dataclass(frozen=True, kw_only=True)
class Failures:
    """How often a run fails, and what that costs.

    Attributes:
        mttf_hours: Mean time to failure of the run; None is that of Meta's clusters.
        start_seconds: Time from a failure to where a checkpoint is read: queue, preflight, imports, compilation.
        restore_seconds: Time to read a checkpoint.
        save_seconds: Time that a save keeps the GPUs waiting.
    """

    mttf_hours: float | None = None
    start_seconds: float = 300.0
    restore_seconds: float = 30.0
    save_seconds: float = 5.0

    def mttf_seconds(self, num_gpus: int) -> float:
        """Mean time to failure of the run on this many GPUs."""
        return 3600 * (self.mttf_hours or MTTF_HOURS_OF_1024_GPUS * 1024 / num_gpus)


def memory(config: TrainConfig, model: ModelSizes, world_size: int) -> dict[str, float]:
    """Estimate the GiB that a GPU holds for the model at the most, which is during the backward pass.

    Parameters, gradients and optimizer state are fp32 and sharded as the ZeRO stage says. At stage 3 the parameters are
    there twice: the rank's part, and all that were gathered, which DeepSpeed keeps until the backward pass is through.
    """
    stage = config.parallel.zero_stage
    trainable = model.parameters["trainable"]
    gathered = min(trainable, _MAX_GATHERED_PARAMETERS)
    sizes = {
        "parameters": 4 * (gathered + trainable / world_size if stage == 3 else trainable),
        "gradients": 4 * trainable / (world_size if stage >= 2 else 1),
        "reduction": float(reduction_bytes(config.parallel, trainable, on_gpu=True)),
        "optimizer": 12 * trainable / world_size,  # DeepSpeed's fp32 copy and both moments
        "targets": float(model.frozen_bytes),
        "activations": float(config.micro_batch_size * model.activation_bytes),
    }

    sizes["total"] = sum(sizes.values())
    return {name: round(size / GIB, 3) for name, size in sizes.items()}


def reduction_bytes(parallel: ParallelConfig, num_trainable: int, *, on_gpu: bool) -> int:
    """The bytes of the buffers that gradients are collected in during the backward pass, to be reduced together.

    DeepSpeed has one for each type that it sums in, all of one size; at stages 1 and 2 they are of the gradients' own
    type, and there twice where communication overlaps. Stage 1 has none otherwise: it copies gradients after the
    backward pass, when the activations have gone.
    """
    stage = parallel.zero_stage
    if stage == 1 and not parallel.overlap_comm:
        return 0

    element_bytes = {2 if parallel.reduces_in_bf16(on_gpu=on_gpu) else 4}
    if parallel.computes_in_bf16(on_gpu=on_gpu):
        element_bytes.add(4)  # those of norms and tokens, in fp32

    elements = parallel.bucket_elements(num_trainable)
    if stage == 3:
        return elements * sum(element_bytes)
    copies = 2 if parallel.overlap_comm else 1
    return elements * 4 * len(element_bytes) * copies


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
    if config.task and config.select.by == "best":
        kept += 1
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


def effective_time(
    failures: Failures, num_gpus: int, minutes_between_saves: float | None
) -> dict[str, float | None]:
    """The expected effective training time ratio (ETTR) of a run that fails now and then.

    Args:
        failures: How often it fails, and what that costs.
        num_gpus: GPUs of the run.
        minutes_between_saves: Training from one save to the next; None where it is not known.

    Returns:
        The best minutes between saves with their ratio, and the ratio at `minutes_between_saves`.
    """
    mttf = failures.mttf_seconds(num_gpus)
    best = best_interval(failures.save_seconds, mttf)
    between = None
    if minutes_between_saves is not None:
        between = effective_ratio(60 * minutes_between_saves, failures, mttf)

    return {
        "mttf_hours": mttf / 3600,
        "start_seconds": failures.start_seconds,
        "restore_seconds": failures.restore_seconds,
        "save_seconds": failures.save_seconds,
        "best_minutes_between_saves": best / 60,
        "best_ratio": effective_ratio(best, failures, mttf),
        "minutes_between_saves": minutes_between_saves,
        "ratio": between,
    }


def best_interval(save_seconds: float, mttf_seconds: float) -> float:
    """The seconds of training between saves that waste least, by Daly's higher-order estimate.

    A higher order estimate of the optimum checkpoint interval for restart dumps, FGCS 22 (2006), equation 37:
    sqrt(2 d M) (1 + sqrt(d / 2M) / 3 + (d / 2M) / 9) - d for d < 2M, else M, where d is the time of a save and M the
    mean time to failure.
    """
    if save_seconds >= 2 * mttf_seconds:
        return mttf_seconds
    x = save_seconds / (2 * mttf_seconds)
    first_order = math.sqrt(2 * save_seconds * mttf_seconds)
    return first_order * (1 + math.sqrt(x) / 3 + x / 9) - save_seconds


def effective_ratio(interval_seconds: float, failures: Failures, mttf_seconds: float) -> float:
    """The share of a long run's time that is training which need not be repeated.

    With failures at exponential distances, also during saves and restarts, a segment of training t and a save d takes
    M exp(R / M) (exp((t + d) / M) - 1) on average, where R is the time of a restart and M the mean time to failure
    (Daly 2006, equation 20).

    Args:
        interval_seconds: Training from one save to the next.
        failures: What saves and restarts cost.
        mttf_seconds: Mean time to failure.
    """
    restart = failures.start_seconds + failures.restore_seconds
    segment = interval_seconds + failures.save_seconds
    # Divided by exp((t + d) / M) above and below, which may be too large for a float.
    share = math.exp(-(restart + segment) / mttf_seconds) / -math.expm1(-segment / mttf_seconds)
    return interval_seconds / mttf_seconds * share


def cut_short_share(table: SizedTable, dataset: str, look_back: int) -> float:
    """The share of a dataset's clips that would begin before their part of a video does.

    Args:
        table: The clips.
        dataset: The dataset.
        look_back: Frames from a clip's first to its last.
    """
    return table.clips_cut_short(dataset, look_back) / _num_clips(table, dataset)


def repeated_share(table: SizedTable, dataset: str, *, num_frames: int, stride: int) -> float:
    """The share of clips' frames that repeat the earliest one, since clips look back beyond their part.

    Args:
        table: The clips.
        dataset: The dataset.
        num_frames: Frames of a clip.
        stride: Frames from one to the next.
    """
    # The k-th frame before the last is lacking in all clips that look back farther than their part.
    lacking = sum(table.clips_cut_short(dataset, k * stride) for k in range(1, num_frames))
    return lacking / (num_frames * _num_clips(table, dataset))


def _num_clips(table: SizedTable, dataset: str) -> int:
    return {size.name: size.num_clips for size in table.sizes()}[dataset]
