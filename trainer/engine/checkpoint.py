"""Checkpoints that survive crashes and fit any world size and ZeRO stage.

A checkpoint is a directory `step_00001000` that holds `state.json` and safetensors files with every parameter, its two
AdamW moments and, where the objective keeps one, its moving average, as full fp32 tensors. It is written beside its
final name and renamed when every byte is on disk, so what bears the name and has a `state.json` is whole; sizes and
hashes in that, its own among them, show what was damaged later.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from surgstream.configs.files import open_regular
from surgstream.shards.storage.durable import sync, sync_folder
from surgstream.trainer.distributed import all_gather, barrier, from_main
from surgstream.trainer.engine.checkpoint_files import (
    STATE,
    damage,
    file_name,
    newest_whole,
    read_state,
    state_bytes,
    unreadable,
)
from surgstream.trainer.engine.config import CheckpointConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.zero import MOMENTS, ZeroEngine
from surgstream.trainer.errors import CheckpointError, SaveError
from surgstream.trainer.runs.files import checkpoint_name, checkpoints_in

log = logging.getLogger(__name__)

_FILE_BYTES = 1 << 28


def save_checkpoint(
    root: Path, engine: ZeroEngine, progress: Progress, averages: Mapping[str, Tensor] | None = None
) -> Path:
    """Write a checkpoint; collective over all ranks.

    Each parameter is assembled on all ranks in turn and kept by one of them, which writes it in files of about 256 MiB.

    Args:
        root: The run's checkpoint directory, shared by all ranks.
        engine: The engine to save.
        progress: Where the run stands.
        averages: The moving averages of some parameters, by their names; the same on all ranks.

    Returns:
        The directory of the checkpoint.

    Raises:
        SaveError: On every rank, when any rank could not write; nothing half-written is left.
    """
    final = root / checkpoint_name(progress.step)
    partial = root / f".partial-{final.name}"
    rank, world_size = dist.get_rank(), dist.get_world_size()
    writer = _ShareWriter(partial, rank)
    if rank == 0:
        writer.attempt(lambda: _make_anew(partial))
    barrier()  # nobody writes before the folder is there
    for index, (name, state) in enumerate(engine.full_state()):
        if index % world_size == rank:
            writer.add(
                name, state | ({"average": averages[name]} if averages and name in averages else {})
            )
    writer.flush()
    reports = all_gather((writer.files, writer.error))  # comes back when all ranks have written
    errors = [f"rank {r}: {error}" for r, (_, error) in enumerate(reports) if error]
    if rank == 0 and not errors:
        files = {name: entry for share, _ in reports for name, entry in share.items()}
        counts = {"step": progress.step, "g": progress.g, "optimizer_step": engine.optimizer_step()}
        content = {**counts, "files": files, **progress.state}
        writer.attempt(lambda: _publish(partial, final, content))  # renamed, it is a checkpoint
    if rank == 0 and (errors or writer.error):
        shutil.rmtree(partial, ignore_errors=True)
    errors += [error for error in all_gather(writer.error if not errors else None) if error]
    if errors:
        raise SaveError(
            f"{final}: could not save: {'; '.join(errors)}; earlier checkpoints are as they were"
        )
    return final


def find_checkpoint(root: Path, wanted: str) -> Path | None:
    """Choose the checkpoint to resume from; collective, rank 0 decides.

    Args:
        root: The run's checkpoint directory.
        wanted: `auto`, `none` or a path; see `ResumeConfig`.

    Returns:
        The checkpoint's directory, or None to start anew.

    Raises:
        CheckpointError: A named checkpoint is not whole, or `none` was asked for where checkpoints exist.
    """
    return from_main(lambda: _choose(root, wanted))


def load_parameters(checkpoint: Path, module: torch.nn.Module) -> None:
    """Load the checkpoint's parameters into a module that is not yet wrapped by an engine.

    Raises:
        CheckpointError: The module's parameters are not the checkpoint's, or these cannot be read.
    """
    _load(
        checkpoint, "param", {name: p for name, p in module.named_parameters() if p.requires_grad}
    )


def load_averages(checkpoint: Path, averages: Mapping[str, Tensor]) -> None:
    """Load the checkpoint's moving averages.

    Args:
        checkpoint: The checkpoint's directory.
        averages: What to fill, by the names of the parameters.

    Raises:
        CheckpointError: They are not the checkpoint's, or these cannot be read.
    """
    _load(checkpoint, "average", averages)


def _load(checkpoint: Path, kind: str, wanted: Mapping[str, Tensor]) -> None:
    """Copy a checkpoint's tensors of one kind, all of them, into those of the same names, all of them."""
    left, differences = dict(wanted), []
    what = "" if kind == "param" else f"the {kind} of "
    with torch.no_grad():
        for name, value in tensors(checkpoint, kind):
            if name not in left:
                differences.append(f"{what}{name} is not in the model")
            elif left[name].shape != value.shape:
                shape = tuple(left[name].shape)
                differences.append(
                    f"{what}{name} has shape {tuple(value.shape)}, the model's has {shape}"
                )
            else:
                left.pop(name).copy_(value)  # what stays in `left` has no tensor
    differences += [f"{what}{name} is not in the checkpoint" for name in left]
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise CheckpointError(
            f"{checkpoint}: fits another model: {'; '.join(differences[:5])}{more}"
        )


def load_moments(checkpoint: Path, engine: ZeroEngine) -> None:
    """Load AdamW's moments and step count into an engine whose parameters are loaded already.

    Raises:
        CheckpointError: The moments are not those of the checkpoint's parameters, or cannot be read.
    """
    shapes = {name: value.shape for name, value in tensors(checkpoint, "param")}
    for moment in MOMENTS:
        left = dict(shapes)  # what has no moment yet; a second one finds nothing
        for name, value in tensors(checkpoint, moment):
            if left.pop(name, None) != value.shape:
                raise CheckpointError(
                    f"{checkpoint}: {moment} of {name} has shape {tuple(value.shape)}, it has not"
                )
            engine.load_moment(name, moment, value)
        if left:
            raise CheckpointError(f"{checkpoint}: expected {moment} of {min(left)}, which has none")
    engine.set_optimizer_step(read_state(checkpoint)["optimizer_step"])


def tensors(checkpoint: Path, wanted: str) -> Iterator[tuple[str, Tensor]]:
    """Read the tensors of one kind, from the files that the state names.

    Args:
        checkpoint: The checkpoint's directory.
        wanted: `param`, `exp_avg`, `exp_avg_sq` or `average`.

    Yields:
        The name of a parameter and the tensor, fp32.

    Raises:
        CheckpointError: A file is missing or malformed, or a tensor is of another type.
    """
    for file in sorted(read_state(checkpoint)["files"]):
        try:
            open_regular(checkpoint / file).close()
            with safe_open(checkpoint / file, framework="pt") as content:
                for key in content.keys():  # noqa: SIM118 - not a dictionary
                    kind, _, name = key.partition("/")
                    if kind != wanted:
                        continue
                    tensor = content.get_tensor(key)
                    if tensor.dtype != torch.float32:
                        raise unreadable(
                            checkpoint, f"{file}: {key}: expected fp32, got {tensor.dtype}"
                        )
                    yield name, tensor
        except (OSError, SafetensorError) as error:
            raise unreadable(checkpoint, error) from None


def prune(root: Path, config: CheckpointConfig, saved: Path) -> None:
    """Delete checkpoints that need not be kept, and what killed saves left behind. Rank 0 calls it, after a save.

    Checkpoints of later steps than the one just saved are neither counted nor deleted: the run was resumed from before
    them, so they are damaged, or somebody's second thoughts.
    """
    for leftover in root.glob(".partial-*"):
        _remove(leftover)
    steps = sorted(step for step in map(_step, checkpoints_in(root)) if step <= _step(saved))
    before = [0, *steps]
    for step, last in zip(steps[: -config.keep_last], before, strict=False):
        if config.keep_every == 0 or step // config.keep_every == last // config.keep_every:
            _remove(root / checkpoint_name(step))


def _remove(folder: Path) -> None:
    """Delete a checkpoint, its state first: what cannot be deleted stays whole, what is deleted in part is none."""
    try:
        (folder / STATE).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        reason = error.strerror or error
        log.warning(
            "%s: cannot be deleted: %s; training goes on, and its room stays taken", folder, reason
        )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step_"))


class _ShareWriter:
    """Collects one rank's share of the tensors and writes them in files of about 256 MiB; remembers the first error."""

    def __init__(self, directory: Path, rank: int) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.error: str | None = None
        self._directory, self._rank = directory, rank
        self._tensors: dict[str, Tensor] = {}

    def add(self, name: str, tensors: dict[str, Tensor]) -> None:
        for kind, tensor in tensors.items():
            self._tensors[f"{kind}/{name}"] = tensor.detach().to("cpu", copy=True).contiguous()
        if sum(tensor.nbytes for tensor in self._tensors.values()) >= _FILE_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._tensors:
            self.attempt(self._write)
            self._tensors.clear()

    def attempt(self, action: Callable[[], None]) -> None:
        """Run `action` unless something failed before. Other ranks wait for this one: errors are kept, not raised."""
        if self.error is None:
            try:
                action()
            except (OSError, SafetensorError) as error:
                self.error = getattr(error, "strerror", None) or str(error)

    def _write(self) -> None:
        name = file_name(self._rank, len(self.files))
        data = save(self._tensors)
        _write_durably(self._directory / name, data)
        self.files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _choose(root: Path, wanted: str) -> Path | None:
    if wanted == "auto":
        return newest_whole(root)
    checkpoints = checkpoints_in(root)
    if wanted == "none":
        if checkpoints:
            raise CheckpointError(
                f"{root}: holds checkpoints, and resume is none; choose another run_dir, or auto"
            )
        return None
    if found := damage(Path(wanted)):
        raise CheckpointError(f"{wanted}: not a whole checkpoint: {found}")
    if checkpoints and checkpoints[0].name > Path(wanted).name:
        raise CheckpointError(
            f"{root}: holds checkpoints newer than {wanted}; choose another run_dir or delete them"
        )
    return Path(wanted)


def _make_anew(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def _publish(partial: Path, final: Path, state: dict[str, Any]) -> None:
    _write_durably(partial / STATE, state_bytes(state))
    sync_folder(partial)
    if final.exists():  # damaged: the run resumed from before it and is here again
        aside = partial.with_name(f"{partial.name}-damaged")
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
    partial.rename(final)
    sync_folder(final.parent)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        sync(file)
