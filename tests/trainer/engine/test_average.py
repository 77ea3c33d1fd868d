"""Averages follow the fp32 masters that DeepSpeed keeps, whatever is computed in bf16."""

from dataclasses import replace

import pytest
import torch
from deepspeed.utils import safe_get_full_fp32_param

from surgstream.trainer.engine.config import OptimConfig, ParallelConfig
from surgstream.trainer.engine.zero import ZeroEngine
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import SurgMotionConfig, VJepaConfig
from tests.trainer.objectives.test_surgmotion import TINY as SURGMOTION_TINY
from tests.trainer.objectives.test_surgvista import clip_batch
from tests.trainer.objectives.test_vjepa import TINY as VJEPA_TINY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("tiny", [VJEPA_TINY, SURGMOTION_TINY], ids=lambda tiny: tiny.name)
@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("autocast", ["none", "bf16"])
def test_the_average_is_that_of_the_masters(
    tiny: VJepaConfig | SurgMotionConfig, stage: int, autocast: str, alone: None
) -> None:
    config = replace(tiny, ema_decay=0.9)
    objective = choice.build(config, seed=1)
    engine = ZeroEngine(
        objective, OptimConfig(weight_decay=0.04), ParallelConfig(zero_stage=stage, autocast=autocast),  # type: ignore[arg-type]
        micro_batch_size=2, grad_accum_steps=1, device=torch.device("cpu"),
    )  # fmt: skip
    expected = {name: average.double().clone() for name, average in objective.averages().items()}
    begin = {name: average.clone() for name, average in expected.items()}
    parameters = dict(objective.named_parameters())
    for step in range(4):
        batch = clip_batch([2 * step, 2 * step + 1], 32, config.encoder.num_frames)
        with engine.autocast():
            targets = objective.targets(batch)
        engine.backward(engine(batch, targets).loss)
        engine.step(lr=1e-2)
        objective.after_optimizer_step()
        for name, average in expected.items():
            master = safe_get_full_fp32_param(parameters[name]).double()
            expected[name] = config.ema_decay * average + (1 - config.ema_decay) * master
    for name, average in objective.averages().items():
        assert average.dtype == torch.float32
        torch.testing.assert_close(average.double(), expected[name], rtol=0, atol=1e-6, msg=name)
        assert not torch.equal(expected[name], begin[name]), name
