"""UniSurg's terms against slow loops over their equations, and what its recipe's numbers mean."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build as build_config
from surgstream.configs.loading import load
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.collapse import diversity
from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.objectives import choice, unisurg
from surgstream.trainer.objectives.config import UniSurgConfig
from surgstream.trainer.objectives.masks.masking import num_masked_tubes
from tests.trainer.objectives.slow_unisurg import slow_terms
from tests.trainer.objectives.test_surgvista import clip_batch, loss_of

# 2 slices of 4 x 4 tokens.
TINY = UniSurgConfig(
    encoder=EncoderConfig(
        embed_dim=48,
        depth=2,
        num_heads=2,
        image_size=32,
        num_frames=4,
        patch_size=8,
        positions="rope",
        drop_path=0.0,
    ),
    predictor=PredictorConfig(embed_dim=32, depth=1, num_heads=2, num_mask_tokens=1),
    mask_ratio=(0.4, 0.8),
)


def tiny(**changes: Any) -> Any:
    """A small objective, whose average is not where its encoder is."""
    objective = choice.build(replace(TINY, **changes), seed=11)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in [*objective.parameters(), *objective.target_encoder.parameters()]:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return objective


def clips_of(g: Sequence[int] | np.ndarray) -> ClipBatch:
    return clip_batch(g, size=32, frames=4)


LETTER = {
    "norm": "sum", "standardise_motion": False, "scope": "topk", "reduction": "sum", "affinities": "tokens",
    "normalise_targets": False, "normalise_variance": False,
}  # fmt: skip
"""What takes our readings back, as the recipe `unisurg_letter` does."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"standardise_motion": False, "scope": "topk", "reduction": "sum"},
        {"exclude_self": True, "top_k": 5, "gamma": 0.7, "temperature": 0.3},
        {"reduction": "sum", "least_std": 0.6, "affinity_weight": 2.0, "variance_weight": 0.0},
        {"scope": "topk", "top_k": 100},
        {"affinities": "tokens"},
        {"affinities": "tokens", "exclude_self": True, "temperature": 0.3},
        {"norm": "sum"},
        {"norm": "sum", "standardise_motion": False, "gamma": 0.02},
        {"normalise_targets": False},
        {"normalise_variance": False, "least_std": 2.0, "variance_weight": 3.0},
        LETTER,
    ],
    ids=lambda changes: ", ".join(f"{key} {value}" for key, value in changes.items()) or "ours",
)
def test_terms_and_gradients_equal_the_slow_reference(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unisurg, "_ROWS", 5)
    objective, batch = tiny(**changes), replace(clips_of([3, 12345, 0]), step_draw=7)
    targets, predictions = objective.targets(batch), []
    objective.predictor.register_forward_hook(
        lambda module, inputs, output: predictions.append(output)
    )
    loss, metrics = objective(batch, targets)
    (gradient,) = torch.autograd.grad(loss, predictions)

    predicted = predictions[0].detach().double().requires_grad_()
    motion, affinity, variance = slow_terms(objective, batch, targets, predicted)
    config = objective.config
    total = motion + config.affinity_weight * affinity + config.variance_weight * variance
    assert metrics["loss/motion"].item() == pytest.approx(motion.item(), rel=1e-5)
    assert metrics["loss/affinity"].item() == pytest.approx(affinity.item(), rel=1e-4)
    assert metrics["loss/variance"].item() == pytest.approx(variance.item(), rel=1e-4, abs=1e-7)
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    assert not any(value.requires_grad for value in metrics.values())

    (expected,) = torch.autograd.grad(total, predicted)
    assert (gradient - expected).norm() < 1e-5 * expected.norm()


def test_the_letters_scores_give_one_tube_all_weight_and_their_means_give_the_first_alike() -> None:
    """Without standardising, which nothing in the letter does, the norm decides what the softmax makes of motion."""
    clips, weights = replace(clips_of([3, 8]), clips=clips_of([3, 8]).clips * 3), {}
    for norm in ("sum", "mean"):
        objective = tiny(norm=norm, standardise_motion=False)
        weights[norm] = objective._weights(objective._scores(clips.clips))[0].topk(3, dim=1).values
    torch.testing.assert_close(weights["mean"], torch.full((2, 3), 1 / 3), atol=0.05, rtol=0)
    assert (weights["sum"][:, 0] > 0.9).all()


def test_the_recipe_of_the_letter_has_its_switches_and_nothing_else_of_its_own() -> None:
    ours, letter = (
        load(TrainConfig, Path("configs/pretrain") / f"{name}.yaml", ["run_dir=anywhere"])
        for name in ("unisurg_vitl_stage1", "unisurg_letter")
    )
    assert letter == replace(ours, objective=replace(ours.objective, **LETTER))


@pytest.mark.slow
def test_under_bf16_affinities_stay_in_fp32_and_pictures_can_be_drawn() -> None:
    objective, batch = tiny().eval(), clips_of([3, 8])
    predicted, true = torch.randn(2, 9, 48), torch.randn(2, 9, 48)
    plain = unisurg.affinity_loss(predicted, true, 0.1, exclude_self=False)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(unisurg.affinity_loss(predicted, true, 0.1, exclude_self=False), plain)
        rows = objective.pictures(batch)
        found = [diversity(vectors) for vectors in objective.collapse_features(batch).values()]
    assert all(row.isfinite().all() and row.shape == (2, 3, 4, 32, 32) for row in rows.values())
    assert all(value.isfinite() for measured in found for value in measured.values())


@pytest.mark.slow
def test_masks_of_any_ratio_pass_through_the_same_graph(graphs: CompileCounterWithBackend) -> None:
    objective = tiny(encoder=replace(TINY.encoder, depth=1))
    batches = [replace(clips_of([g, g + 1]), step_draw=g) for g in range(10, 120, 10)]
    plain = [loss_of(objective, batch).loss.item() for batch in batches]
    assert len({objective.draw(batch)[0].masked.shape for batch in batches}) > 4
    objective.compile_parts(backend=graphs, fullgraph=True)
    compiled, counts = [], []
    for batch in batches:
        compiled.append(loss_of(objective, batch).loss.item())
        counts.append(graphs.frame_count)
    assert compiled == pytest.approx(plain, rel=1e-4)
    assert set(counts) == {counts[0]}, (
        "one graph of all sizes, since the first has more masked than visible tokens"
    )


@pytest.mark.parametrize("normalised", [True, False])
def test_targets_are_the_averages_features_scaled_to_unit_variance_or_raw(normalised: bool) -> None:
    objective, batch = tiny(normalise_targets=normalised), clips_of([1, 2])
    targets = objective.targets(batch)
    features = objective.target_encoder(batch.clips)
    expected = (features - features.mean(-1, keepdim=True)) / torch.sqrt(
        features.var(-1, correction=0, keepdim=True) + 1e-5
    )
    torch.testing.assert_close(targets, expected if normalised else features)
    assert not targets.requires_grad
    assert not torch.allclose(
        targets, F.layer_norm(objective.encoder(batch.clips), (48,)), atol=1e-2
    )


def test_everything_learns_but_the_average() -> None:
    objective, batch = tiny(), clips_of([1, 2])
    loss_of(objective, batch).loss.backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in objective.parameters()
    )
    assert all(parameter.grad is None for parameter in objective.target_encoder.parameters())
    assert not any("target" in name for name in objective.state_dict())


def test_the_average_follows_in_its_own_time() -> None:
    objective = tiny(ema_decay=0.9)
    before = {name: tensor.clone() for name, tensor in objective.averages().items()}
    objective.after_optimizer_step()
    parameters = dict(objective.named_parameters())
    assert {*before} == {name for name in parameters if name.startswith("encoder.")}
    for name, average in objective.averages().items():
        torch.testing.assert_close(average, 0.9 * before[name] + 0.1 * parameters[name])


def test_a_new_average_is_the_encoder_and_moves_with_the_rest() -> None:
    objective = choice.build(TINY, seed=3)
    assert all(
        torch.equal(t, dict(objective.named_parameters())[name])
        for name, t in objective.averages().items()
    )
    assert objective.double().target_encoder.norm.weight.dtype == torch.float64


def test_the_ratio_is_drawn_once_a_step_and_evaluations_take_the_mean() -> None:
    objective = tiny()

    def num_masked(g: Sequence[int] | np.ndarray, step_draw: int) -> int:
        return objective.draw(replace(clips_of(g), step_draw=step_draw))[0].masked.shape[1]

    drawn = {
        step_draw: {num_masked(g, step_draw) for g in ([1], [2, 3], [900])}
        for step_draw in range(0, 4000, 16)
    }
    assert all(len(counts) == 1 for counts in drawn.values()), (
        "all micro-batches of a step hide equally many"
    )
    assert {counts.pop() // 2 for counts in drawn.values()} == set(
        range(num_masked_tubes(objective.grid, 0.4), 13)
    )
    objective.eval()
    assert num_masked([1], 16) == num_masked([5], 32) == 2 * num_masked_tubes(objective.grid, 0.6)


def test_the_hardest_draws_show_most_tokens() -> None:
    objective, batch = tiny(), clips_of([0, 1])
    hardest = objective.worst_case(batch)
    shown = objective.draw(hardest)[0].visible.shape[1]
    assert torch.equal(hardest.clips, batch.clips)
    assert shown >= max(
        objective.draw(replace(batch, step_draw=g))[0].visible.shape[1] for g in range(0, 128, 2)
    )
    ((_, most), _) = objective.passes()
    assert shown <= most == 2 * (16 - num_masked_tubes(objective.grid, 0.4))


def test_published_configuration_has_the_networks_of_v_jepa_2() -> None:
    objective = choice.build_on_meta(UniSurgConfig())
    assert objective.num_parameters() == {
        "encoder": 303_885_312,
        "predictor": 22_082_560,
        "target_encoder": 303_885_312,
        "total": 325_967_872,
        "trainable": 325_967_872,
    }
    assert objective.num_tokens == 1568 and objective.num_visible == 8 * (196 - 166)


class LargestTensor(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that any operation makes."""

    largest = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        result = function(*arguments, **(keywords or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


@pytest.mark.parametrize("exclude_self", [False, True])
def test_affinities_by_rows_have_the_same_gradients(
    exclude_self: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unisurg, "_ROWS", 4)
    generator = torch.Generator().manual_seed(2)
    vectors, true = (torch.randn(2, 11, 6, generator=generator) for _ in range(2))
    gradients = []
    for loss_of_vectors in (unisurg.affinity_loss, unisurg.affinity_loss_by_rows):
        predicted = vectors.clone().requires_grad_()
        loss_of_vectors(predicted, true, 0.2, exclude_self=exclude_self).backward()
        gradients.append(predicted.grad)
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("affinities", ["tubes", "tokens"])
def test_64_frames_need_no_memory_for_pairs_of_tokens(affinities: str) -> None:
    encoder = replace(
        TINY.encoder, depth=1, embed_dim=32, image_size=112, num_frames=64, patch_size=8
    )
    objective = choice.build(
        replace(
            TINY, encoder=encoder, mask_ratio=(0.85, 0.85), affinities=affinities, exclude_self=True
        ),
        seed=0,
    )
    assert objective.num_tokens == 6272
    batch = clip_batch([1], size=112, frames=64)
    with LargestTensor() as seen:
        loss_of(objective, batch).loss.backward()
    assert 6272 * 128 <= seen.largest < 6272**2 // 10


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"mask_ratio": [0.9, 0.8]},
            "mask_ratio: expected the least and the most share, got [0.9, 0.8]",
        ),
        (
            {"mask_ratio": [0.5, 1.0]},
            "mask_ratio: expected some of a slice's 196 tokens masked and some visible",
        ),
        (
            {"encoder": {"positions": "sincos"}},
            "encoder.positions: expected rope or rope_scaled, which the predictor shares, got sincos",
        ),
        (
            {"encoder": {"drop_path": 0.1}},
            "encoder.drop_path: expected 0, this objective drops nothing, got 0.1",
        ),
        ({"ema_decay": 1.0}, "ema_decay: expected 0 to 0.9999999, got 1.0"),
        (
            {"mask_ratio": [0.006, 0.5]},
            "mask_ratio: expected two masked tubes or more, to compare motion, got 0.006",
        ),
        ({"encoder": {"num_heads": 64, "embed_dim": 576}}, "heads of an even width of 6 or more"),
        (
            {"predictor": {"num_heads": 96}},
            "num_heads: expected heads of an even width of 6 or more",
        ),
        ({"top_k": 0}, "top_k: expected 1 to 65536, got 0"),
        ({"temperature": 0.0}, "temperature: expected 0.0001 to 10000, got 0.0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    tree: dict[str, dict[str, float]]
    | dict[str, dict[str, int]]
    | dict[str, dict[str, str]]
    | dict[str, float]
    | dict[str, int]
    | dict[str, list[float]],
    message: str,
) -> None:
    with pytest.raises(ConfigError) as raised:
        build_config(UniSurgConfig, tree, where="test")
    assert message in str(raised.value)
