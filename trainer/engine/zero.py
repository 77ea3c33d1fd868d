"""The one door to DeepSpeed: ZeRO data parallelism, and its state as full tensors.

DeepSpeed's own checkpoints fit one world size and one stage. Here the state is named full tensors (each parameter with
its two AdamW moments), which any world size and any stage can load.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import _set_pg_timeout

from surgstream.trainer.distributed import collective_timeout
from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
from surgstream.trainer.engine.guards.spikes import SpikeGuard
from surgstream.trainer.engine.parameter_groups import parameter_groups

# DeepSpeed looks for accelerators when it is imported, and warns when it has to guess.
os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")

# DeepSpeed would have torch ask NVML whether there are GPUs, which sees those of a driver that is too old for torch.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "0")

import deepspeed
from deepspeed.utils import (
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_set_local_optimizer_state,
)

MOMENTS = ("exp_avg", "exp_avg_sq")

_GUARD = "spike_guard"


class ZeroEngine:
    """A module under DeepSpeed ZeRO with torch's AdamW.

    The learning rate and the weight decay are set from outside before each step; nothing here keeps a schedule.
    """

    def __init__(
        self,
        module: nn.Module,
        optim: OptimConfig,
        parallel: ParallelConfig,
        *,
        micro_batch_size: int,
        grad_accum_steps: int,
        device: torch.device,
    ) -> None:
        """Shard `module` over the process group, with rank 0's parameters; see `ParallelConfig` and `OptimConfig`."""
        on_gpu = device.type == "cuda"
        self._bf16 = parallel.computes_in_bf16(on_gpu=on_gpu)
        self._device = device
        _leave_kernels_uncompiled()

        # lr 0 so that the step that creates the moments leaves the parameters as they are.
        optimizer = torch.optim.AdamW(
            parameter_groups(module, optim.weight_decay, optim.layer_decay),
            lr=0.0,
            betas=optim.betas,
            eps=optim.eps,
            fused=True,
        )

        self.guard = SpikeGuard(optim.spike_guard) if optim.spike_guard else None
        self.stage = parallel.zero_stage
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        # Taken now, as stage 3 empties the parameters.
        self.shapes = {name: p.shape for name, p in self._parameters.items()}
        num_trainable = sum(shape.numel() for shape in self.shapes.values())
        self._engine, *_ = deepspeed.initialize(
            model=module,
            optimizer=optimizer,
            dist_init_required=False,
            config={
                "train_micro_batch_size_per_gpu": micro_batch_size,
                "gradient_accumulation_steps": grad_accum_steps,
                "gradient_clipping": optim.clip_grad_norm,
                "zero_optimization": {
                    "stage": self.stage,
                    "overlap_comm": parallel.overlap_comm,
                    "reduce_bucket_size": parallel.bucket_elements(num_trainable),
                    # At stage 1 all gradients are there when they are reduced: a buffer only costs copies.
                    "contiguous_gradients": self.stage > 1 or parallel.overlap_comm,
                },
                **_precision(self._bf16, parallel.reduces_in_bf16(on_gpu=on_gpu)),
                "steps_per_print": 2**62,  # never
            },
        )

        # DeepSpeed reduces in a group of its own, which it gives torch's default.
        _set_pg_timeout(
            collective_timeout(parallel.timeout_seconds, device),
            self._engine.seq_data_parallel_group,
        )
        self._create_moments()

    @property
    def module(self) -> nn.Module:
        """The wrapped module; call the engine, not this, in a training step."""
        return self._engine.module  # type: ignore[no-any-return]

    def __call__(self, *inputs: Any) -> Any:
        """Run the module's forward pass under the engine's precision."""
        return self._engine(*inputs)

    def autocast(self) -> torch.autocast:
        """The engine's precision, for what is computed outside its forward pass: targets, pictures."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of one micro-batch's mean loss."""
        if self.guard:
            self.guard.add(loss)
        self._engine.backward(loss)

    def step(self, lr: float, weight_decay: float | None = None) -> None:
        """End a micro-batch; on the last of a step, clip the gradients and update the parameters.

        Args:
            lr: The step's learning rate, which each group of parameters scales by its own factor.
            weight_decay: The weight decay of the groups that are decayed; None leaves it as it is.
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
            if weight_decay is not None and group["is_decayed"]:
                group["weight_decay"] = weight_decay

        ends_step = self._engine.is_gradient_accumulation_boundary()
        with self._held() if ends_step and self._leaps() else nullcontext():
            self._engine.step()

    def _leaps(self) -> bool:
        return self.guard is not None and self.guard.forbids_step()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Leave weights and moments as they are; DeepSpeed does the rest of a step, and forgets its gradients."""
        adamw = self._engine.optimizer.optimizer
        adamw.step = lambda *_, **__: None
        try:
            yield
        finally:
            del adamw.step

    def grad_norm(self) -> float | Tensor:
        """L2 norm of the last step's full gradient, before clipping; a tensor on the device, or a number."""
        return cast("float | Tensor", self._engine.get_global_grad_norm())

    def to_state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside weights and moments."""
        return {_GUARD: self.guard.to_state()} if self.guard else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint has kept, where it has kept something."""
        if self.guard and _GUARD in state:
            self.guard.load_state(state[_GUARD])

    def values(self) -> dict[str, float]:
        """What reports tell of it: `optim/skipped_steps`, where some may be."""
        return {"optim/skipped_steps": float(self.guard.num_skipped)} if self.guard else {}

    def full_state(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield every parameter's name and its full fp32 `param`, `exp_avg` and `exp_avg_sq`.

        Collective: all ranks iterate in the same order, and one parameter at a time is assembled on each.
        """
        for name, parameter in self._parameters.items():
            tensors = {"param": safe_get_full_fp32_param(parameter)}
            for moment in MOMENTS:
                tensors[moment] = safe_get_full_optimizer_state(parameter, moment)
            yield name, tensors

    def owned(self, name: str) -> range:
        """The elements of a flattened parameter whose moments this rank keeps; each element is kept by one rank."""
        parameter = cast(Any, self._parameters[name])
        if self.stage == 3:
            size = parameter.ds_tensor.numel()
            start = size * dist.get_rank()
            # The last ranks' parts are shorter, or empty.
            return range(self.shapes[name].numel())[start : start + size]

        fragment = parameter._hp_mapping
        if fragment is None:
            return range(0)
        address = fragment.lp_fragment_address
        return range(address.start, address.start + address.numel)

    def load_moment(self, name: str, moment: str, value: Tensor) -> None:
        """Set this rank's part of an `exp_avg` or `exp_avg_sq`. Parameters themselves are loaded before wrapping.

        Args:
            name: The parameter.
            moment: Which of its moments.
            value: (n,), the elements that `owned` names.
        """
        parameter = cast(Any, self._parameters[name])
        if self.stage == 3:
            # DeepSpeed pads the last ranks' parts.
            padding = parameter.ds_tensor.numel() - value.numel()
            part = nn.functional.pad(value, (0, padding)).to(parameter.device)
            safe_set_local_optimizer_state(parameter, part, moment)
        elif value.numel():
            parameter._hp_mapping.get_optim_state_fragment(moment).copy_(value)

    def optimizer_step(self) -> int:
        """AdamW's step count: steps of this run and of the runs before it whose moments it took over."""
        return int(next(iter(self._engine.optimizer.optimizer.state.values()))["step"])

    def set_optimizer_step(self, step: int) -> None:
        """Set AdamW's step count, which its bias correction needs."""
        for state in self._engine.optimizer.optimizer.state.values():
            state["step"] = torch.full_like(state["step"], float(step))

    def _create_moments(self) -> None:
        """Create AdamW's state before the first step, so that it can be read and loaded at any time.

        A step with zero gradients and lr 0 creates it; then the step count goes back to 0. At stages 1 and 2 DeepSpeed
        is told to map parameters to their moments: left alone, it would do so in the middle of the first step, after
        the first parameter group's update, and miss the other groups.
        """
        zero = self._engine.optimizer
        flats = (
            zero.fp32_partitioned_groups_flat
            if self.stage == 3
            else zero.single_partition_of_fp32_groups
        )
        # The first group has every flat part in this step; with lr 0 its settings do not matter.
        everything, *_ = zero.optimizer.param_groups
        params = everything["params"]
        everything["params"] = list(flats)

        for flat in flats:
            flat.grad = torch.zeros_like(flat)
        zero.optimizer.step()
        for flat in flats:
            flat.grad = None
        everything["params"] = params

        if self.stage < 3:
            zero._lazy_init_hp_params_optimizer_state()
        self.set_optimizer_step(0)


def _precision(computes_in_bf16: bool, reduces_in_bf16: bool) -> dict[str, Any]:
    """DeepSpeed's settings of autocast, and of the type that gradients are summed in."""
    autocast: dict[str, Any] = {"enabled": computes_in_bf16, "dtype": "bfloat16"}
    if not reduces_in_bf16:
        # The layers whose gradients autocast would sum in bf16. Under autocast the next setting has no effect.
        autocast["lower_precision_safe_modules"] = []

    return {
        "torch_autocast": autocast,
        "communication_data_type": "bf16" if reduces_in_bf16 else "fp32",
    }


def _leave_kernels_uncompiled() -> None:
    """Tell DeepSpeed that none of its own kernels fits; none is used here.

    Left alone, DeepSpeed asks a compiler about each kernel at every start, and on a CPU takes minutes to build one that
    only inference uses.
    """
    deepspeed.ops.__compatible_ops__ = {}
