"""What an encoder takes, clip after clip."""

import pytest
import torch
from torch import Tensor, nn

from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.encoders import latency
from surgstream.trainer.encoders.latency import measure_passes


def test_one_clip_is_encoded_again_and_again_without_gradients() -> None:
    encoder = nn.Linear(8, 3)
    seen: list[Tensor] = []

    def encode(clips: Tensor) -> Tensor:
        seen.append(clips)
        assert not torch.is_grad_enabled()
        return encoder(clips)

    cost = measure_passes(encode, encoder, num_frames=2, image_size=8, rank_info=RankInfo())
    assert cost.parameters == 8 * 3 + 3
    assert cost.ms_per_clip > 0 and cost.ms_per_frame == cost.ms_per_clip / 2

    assert len(seen) == 6
    assert all(clips is seen[0] for clips in seen) and seen[0].shape == (1, 3, 2, 8, 8)


@pytest.mark.parametrize(
    ("seconds", "expected"), [([70.0], 70.0), ([50.0, 20.0], 20.0), ([30.0, 20.0, 10.0], 15.0)]
)
def test_passes_that_take_minutes_are_few(
    seconds: list[float], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nobody waits for six passes of a large encoder on a CPU."""
    left = iter(seconds)
    monkeypatch.setattr(latency, "_timed", lambda *_: next(left))
    cost = measure_passes(lambda clips: clips, nn.Identity(), 1, 4, RankInfo())
    assert cost.ms_per_clip == 1e3 * expected
    assert next(left, None) is None


def test_the_generator_of_a_run_is_left_alone() -> None:
    before = torch.get_rng_state()
    measure_passes(lambda clips: clips, nn.Identity(), 1, 4, RankInfo())
    assert torch.equal(torch.get_rng_state(), before)
