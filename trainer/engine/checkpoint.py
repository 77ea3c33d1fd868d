"""Checkpoints that survive crashes and fit any world size and ZeRO stage.

A checkpoint is a directory `step_00001000` that holds `state.json` and safetensors files with every parameter, its two
AdamW moments and, where the objective keeps one, its moving average, as full fp32 tensors. It is written under another
name and renamed when every byte is on disk, so what bears the name and has a `state.json` is whole. The sizes and
hashes in `state.json`, its own among them, show what was damaged later.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from surgstream.shards.storage.durable import sync, sync_folder
from surgstream.trainer.distributed import all_gather, barrier
from surgstream.trainer.engine.checkpoint_files import (
    STATE,
    file_name,
    read_state,
    state_bytes,
)
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.engine.stored_tensors import stored_tensors
from surgstream.trainer.engine.zero import MOMENTS, ZeroEngine
from surgstream.trainer.errors import CheckpointError, SaveError
from surgstream.trainer.runs.files import checkpoint_name

_FILE_BYTES = 1 << 28


def save_checkpoint(
    root: Path, engine: ZeroEngine, progress: Progress, averages: Mapping[str, Tensor] | None = None
) -> Path:
    """Write a checkpoint; collective over all ranks.

    Each parameter is assembled on all ranks in turn and kept by one of them, which writes it in files of about 256 MiB.

    Args:
        root: The run's checkpoint directory, shared by all ranks.
        engine: The engine to save.
        progress: The steps and draws done, and the state to save with them.
        averages: The moving averages of some parameters, by their names; the same on all ranks.

    Returns:
        The directory of the checkpoint.

    Raises:
        SaveError: On every rank, when any rank could not write; nothing half-written is left.
    """
    final = root / checkpoint_name(progress.step)
    partial = root / f".partial-{final.name}"
    is_main = dist.get_rank() == 0
    writer = _ShareWriter(partial, dist.get_rank())

    if is_main:
        writer.attempt(lambda: make_anew(partial))
    barrier()  # no rank writes before the folder is there
    _write_share(writer, engine, averages or {})

    # Comes back when all ranks have written.
    reports = all_gather((writer.files, writer.error))
    errors = [f"rank {rank}: {error}" for rank, (_, error) in enumerate(reports) if error]
    if is_main and not errors:
        content = _content(engine, progress, [files for files, _ in reports])
        # Renamed, it is a checkpoint.
        writer.attempt(lambda: publish(partial, final, state_bytes(content)))
    if is_main and (errors or writer.error):
        shutil.rmtree(partial, ignore_errors=True)

    published = all_gather(None if errors else writer.error)
    errors += [error for error in published if error]
    if errors:
        problems = "; ".join(errors)
        raise SaveError(
            f"{final}: could not save: {problems}; earlier checkpoints are as they were"
        )
    return final


def load_parameters(checkpoint: Path, module: torch.nn.Module) -> None:
    """Load the checkpoint's parameters into a module that is not yet wrapped by an engine.

    Raises:
        CheckpointError: The module's parameters are not the checkpoint's, or these cannot be read.
    """
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    _load(checkpoint, "param", trained)


def load_averages(checkpoint: Path, averages: Mapping[str, Tensor]) -> None:
    """Load the checkpoint's moving averages.

    Args:
        checkpoint: The checkpoint's directory.
        averages: Tensors to fill, by the names of the parameters.

    Raises:
        CheckpointError: They are not the checkpoint's, or these cannot be read.
    """
    _load(checkpoint, "average", averages)


def load_moments(checkpoint: Path, engine: ZeroEngine) -> None:
    """Load AdamW's moments and step count into an engine whose parameters are loaded already.

    Each rank reads the elements whose moments it keeps, so that all ranks together read the moments once.

    Raises:
        CheckpointError: The moments are not those of the engine's parameters, or cannot be read.
    """
    missing = {
        f"{moment} of {name}": shape for moment in MOMENTS for name, shape in engine.shapes.items()
    }
    for stored in stored_tensors(checkpoint, MOMENTS):
        what = f"{stored.kind} of {stored.name}"
        if what not in missing:
            raise CheckpointError(f"{checkpoint}: {what} is of no parameter, or there twice")

        expected = missing.pop(what)
        if stored.shape != expected:
            raise CheckpointError(
                f"{checkpoint}: {what}: expected shape {tuple(expected)} as the parameter's, "
                f"got {tuple(stored.shape)}"
            )
        part = stored.part(engine.owned(stored.name))
        engine.load_moment(stored.name, stored.kind, part)

    if missing:
        raise CheckpointError(f"{checkpoint}: {min(missing)} is missing")
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
    for stored in stored_tensors(checkpoint, (wanted,)):
        yield stored.name, stored.whole()


def _load(checkpoint: Path, kind: str, wanted: Mapping[str, Tensor]) -> None:
    """Copy all tensors of one kind from a checkpoint into the tensors of the same names."""
    missing = dict(wanted)
    differences = []
    what = "" if kind == "param" else f"the {kind} of "
    with torch.no_grad():
        for name, value in tensors(checkpoint, kind):
            if name not in missing:
                differences.append(f"{what}{name} is not in the model")
                continue
            expected = missing[name].shape
            if value.shape != expected:
                shapes = f"shape {tuple(value.shape)}, the model's has {tuple(expected)}"
                differences.append(f"{what}{name} has {shapes}")
                continue
            missing.pop(name).copy_(value)
    differences += [f"{what}{name} is not in the checkpoint" for name in missing]

    if differences:
        first = "; ".join(differences[:5])
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise CheckpointError(f"{checkpoint}: fits another model: {first}{more}")


class _ShareWriter:
    """Collects one rank's share of the tensors and writes them in files of about 256 MiB; remembers the first error."""

    def __init__(self, directory: Path, rank: int) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.error: str | None = None
        self._directory = directory
        self._rank = rank
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


def _write_share(writer: _ShareWriter, engine: ZeroEngine, averages: Mapping[str, Tensor]) -> None:
    """Write every world-size-th parameter; collective, since each is assembled on all ranks."""
    world_size = dist.get_world_size()
    for index, (name, state) in enumerate(engine.full_state()):
        if index % world_size != dist.get_rank():
            continue
        if name in averages:
            state = state | {"average": averages[name]}
        writer.add(name, state)
    writer.flush()


def _content(
    engine: ZeroEngine, progress: Progress, shares: Sequence[Mapping[str, dict[str, Any]]]
) -> dict[str, Any]:
    """The content of `state.json`, with the files that the ranks wrote."""
    files: dict[str, dict[str, Any]] = {}
    for share in shares:
        files |= share
    return {
        "step": progress.step,
        "g": progress.clips_seen,
        "optimizer_step": engine.optimizer_step(),
        "files": files,
        **progress.state,
    }


def make_anew(directory: Path) -> None:
    """Make an empty folder, whatever was there."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def publish(partial: Path, final: Path, state: bytes) -> None:
    """Write the state beside files that are on disk, and give them all the checkpoint's name.

    Raises:
        OSError: It cannot be done.
    """
    _write_durably(partial / STATE, state)
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
