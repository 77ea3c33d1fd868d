"""SurgMotion's terms against slow loops over their equations, its draws, and what its recipe's numbers mean."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build as build_config
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.models.config import EncoderConfig, PredictorConfig
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import SurgMotionConfig, VJepaConfig
from surgstream.trainer.objectives.masks.masking import BlockMask, block_mask, step_mask_kind
from surgstream.trainer.objectives.surgmotion import covariance_loss, variance_floor
from surgstream.trainer.objectives.terms import pairs
from surgstream.trainer.objectives.terms.motion_map import motion_map
from tests.trainer.objectives.slow_surgmotion import (
    cosine,
    mean,
    slow_motion_map,
    slow_terms,
    smooth_l1,
)
from tests.trainer.objectives.test_surgvista import clip_batch, loss_of

# 2 slices of 4 x 4 tokens.
TINY = SurgMotionConfig(
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
    masks=(
        BlockMask(num_blocks=3, scale=0.1),
        BlockMask(num_blocks=1, scale=0.5, aspect=(0.5, 0.5)),
    ),
)
WHOLE = {"gram_weight": 0.3, "covariance_weight": 0.2}
"""What adds the terms that are left out by default."""


def tiny(**changes: Any) -> Any:
    """A small objective, whose average is not where its encoder is."""
    objective = choice.build(replace(TINY, **changes), seed=11)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in [*objective.parameters(), *objective.target_encoder.parameters()]:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return objective


def clips_of(g: Sequence[int] | np.ndarray, step_draw: int = 0) -> ClipBatch:
    """Clips of noise, of which a part does not move."""
    batch = clip_batch(g, size=32, frames=4)
    batch.clips[:, :, :, 12:] = batch.clips[:, :, :1, 12:]
    return replace(batch, step_draw=step_draw)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mask_kinds": "all", **WHOLE},
        {"variance_over": "batch", "variance_weight": 2.0, "least_std": 0.7},
        {"gram_weight": 5.0, "variance_weight": 0.0},
        {"covariance_weight": 50.0, "motion_weight": 0.0},
        {"mask_kinds": "all", "variance_over": "batch", "motion_weight": 7.0, **WHOLE},
    ],
    ids=lambda changes: ", ".join(f"{key} {value}" for key, value in changes.items()) or "default",
)
def test_terms_and_gradients_equal_the_slow_reference(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "_ROWS", 5)
    objective, batch = tiny(**changes), clips_of([3, 12345, 0], step_draw=7)
    targets, predictions = objective.targets(batch), []
    objective.predictor.register_forward_hook(
        lambda module, inputs, output: predictions.append(output)
    )
    loss, metrics = objective(batch, targets)
    gradients = torch.autograd.grad(loss, predictions)

    config = objective.config
    masks = objective.draw(batch)
    motion = [slow_motion_map(clip, objective.grid) for clip in batch.clips.double().numpy()]
    predicted = [z.detach().double().requires_grad_() for z in predictions]
    by_kind = [
        slow_terms(config, motion, targets.double(), mask.masked.tolist(), z)
        for mask, z in zip(masks, predicted, strict=True)
    ]
    terms = {name: mean([each[name] for each in by_kind]) for name in by_kind[0]}
    weights = {
        "motion": 1.0,
        "variance": config.variance_weight,
        "gram": config.gram_weight,
        "covariance": config.covariance_weight,
    }
    total = sum(weight * terms[name] for name, weight in weights.items())

    for name in ("motion", "variance", *(name for name in WHOLE if getattr(config, name))):
        name = name.removesuffix("_weight")
        assert terms[name] > 1e-4
        assert metrics[f"loss/{name}"].item() == pytest.approx(terms[name].item(), rel=1e-4), name
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    assert not any(value.requires_grad for value in metrics.values())

    expected = torch.autograd.grad(total, predicted)
    for found, there in zip(gradients, expected, strict=True):
        assert (found - there).norm() < 1e-5 * there.norm()


def test_what_weighs_nothing_is_not_computed() -> None:
    objective, batch = tiny(), clips_of([1, 2])
    reported = {"prediction", "prediction_of_mean", "motion", "variance"}
    assert set(loss_of(objective, batch).metrics) == {f"loss/{name}" for name in reported}
    with_all = loss_of(tiny(**WHOLE), batch).metrics
    assert set(with_all) == {f"loss/{name}" for name in reported | {"gram", "covariance"}}


def test_without_motion_the_prediction_is_v_jepas() -> None:
    objective, batch = tiny(variance_weight=0.0), clips_of([1, 2])
    still = replace(batch, clips=batch.clips[:, :, :1].expand_as(batch.clips).clone())
    loss, metrics = loss_of(objective, still)
    assert loss == metrics["loss/motion"] == metrics["loss/prediction"]
    moving = loss_of(objective, batch).metrics
    assert moving["loss/motion"] > 1.01 * moving["loss/prediction"]


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_cosines_of_all_pairs_are_compared(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differences past 1 as well, where the smooth L1 is a line."""
    monkeypatch.setattr(pairs, "_ROWS", 4)
    generator = torch.Generator().manual_seed(2)
    predicted, true = (scale * torch.randn(2, 11, 2, generator=generator) for _ in range(2))
    differences = [
        cosine(z[i], z[j]) - cosine(h[i], h[j])
        for z, h in zip(predicted.double(), true.double(), strict=True)
        for i in range(11)
        for j in range(11)
    ]
    assert max(differences) > 1.2
    expected = mean([smooth_l1(difference) for difference in differences])
    assert pairs.gram_loss(predicted, true).item() == pytest.approx(expected.item(), rel=1e-5)
    assert pairs.gram_loss(true, true) == 0


def test_of_one_value_alone_nothing_is_known() -> None:
    alone = torch.randn(1, 1, 8, requires_grad=True)
    for term in (
        variance_floor(alone, 1.0, 0),
        variance_floor(alone, 1.0, 1),
        covariance_loss(alone),
    ):
        assert term == 0
    assert variance_floor(torch.zeros(1, 2, 8), 1.0, 1).item() == pytest.approx(1 - 1e-4**0.5)


def test_a_step_draws_one_kind_of_mask_for_all_ranks_and_an_evaluation_takes_all() -> None:
    objective = tiny()

    def kinds(g: list[int], step_draw: int) -> list[int]:
        """The kinds of the masks that are drawn, each of which is told by its tokens."""
        found = []
        for _, masked in objective.draw(clips_of(g, step_draw)):
            (kind,) = (
                kind
                for kind, blocks in enumerate(TINY.masks)
                if np.array_equal(
                    block_mask(objective.grid, blocks, 11, kind, np.array(g))[1], masked
                )
            )
            found.append(kind)
        return found

    drawn = []
    for step_draw in range(0, 640, 16):
        first, *others = (kinds(g, step_draw) for g in ([1, 2], [3], [900, 4, 7]))
        assert len(first) == 1 and others == [first, first]
        drawn += first
    assert 10 < sum(drawn) < 30, "of 40 steps"
    assert drawn == [step_mask_kind(2, 11, step_draw) for step_draw in range(0, 640, 16)]

    objective.eval()
    assert kinds([1, 2], 0) == kinds([1, 2], 16) == [0, 1]


def test_kinds_are_drawn_equally_often_and_by_the_seed() -> None:
    draws = range(0, 30_000, 10)
    counts = np.bincount([step_mask_kind(3, 5, draw) for draw in draws])
    assert counts.tolist() == pytest.approx([1000] * 3, abs=100)
    assert [step_mask_kind(3, 6, draw) for draw in draws] != [
        step_mask_kind(3, 5, draw) for draw in draws
    ]
    assert {step_mask_kind(1, 5, draw) for draw in draws} == {0}


def test_the_hardest_draws_show_most_tokens() -> None:
    objective, batch = tiny(), clips_of([0, 1])
    shown = objective.draw(objective.worst_case(batch))[0].visible.shape[1]
    tried = [
        objective.draw(replace(batch, step_draw=g))[0].visible.shape[1] for g in range(0, 128, 2)
    ]
    assert shown >= max(tried) > min(tried)


def test_a_step_costs_the_mean_of_its_kinds_and_the_memory_of_the_largest() -> None:
    one, every = tiny(), tiny(mask_kinds="all")
    of_one, of_every = one.flops(), every.flops()
    for network in ("encoder", "predictor"):
        assert 2 * of_one[network] == pytest.approx(of_every[network], abs=1)
    assert of_one["target_encoder"] == of_every["target_encoder"]

    large, small = one.counts
    assert large.visible > small.visible
    assert [num_tokens for _, num_tokens in one.passes()] == [large.visible, sum(large)]
    assert [num_tokens for _, num_tokens in every.passes()] == [
        large.visible, small.visible, sum(large), sum(small)
    ]  # fmt: skip
    assert one.passes()[0].transformer == TINY.encoder


def test_everything_learns_but_the_average() -> None:
    objective, batch = tiny(**WHOLE), clips_of([1, 2])
    loss_of(objective, batch).loss.backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in objective.parameters()
    )
    assert all(parameter.grad is None for parameter in objective.target_encoder.parameters())


@pytest.mark.slow
def test_under_bf16_terms_stay_in_fp32_and_pictures_can_be_drawn() -> None:
    objective, batch = tiny().eval(), clips_of([3, 8])
    generator = torch.Generator().manual_seed(0)
    predicted, true = (torch.randn(2, 9, 48, generator=generator) for _ in range(2))
    plain = (pairs.gram_loss(predicted, true), covariance_loss(predicted))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert (pairs.gram_loss(predicted, true), covariance_loss(predicted)) == plain
        rows = objective.pictures(batch)
    assert all(row.isfinite().all() and row.shape == (2, 3, 4, 32, 32) for row in rows.values())

    # Heat has three times its value in red, up to 1
    red = rows["motion"][:, 0, ::2, ::8, ::8].flatten(1)
    expected = (3 * motion_map(batch.clips, objective.grid)).clamp(max=1.0)
    torch.testing.assert_close(red, expected)
    assert expected.max() > 0.1 and expected.min() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["compile_parts", "compile_blocks"])
def test_both_kinds_of_masks_pass_through_the_same_graphs(
    way: str, traces: CompileCounterWithBackend
) -> None:
    """As long as both hide more tokens than they show, as published ones do; else there is one more."""
    masks = (BlockMask(num_blocks=5, scale=0.3), BlockMask(num_blocks=2, scale=0.7))
    objective = tiny(covariance_weight=0.1, masks=masks)
    batches = [clips_of([g, g + 1], step_draw=g) for g in range(0, 24, 2)]
    drawn = [objective.draw(batch)[0] for batch in batches]
    assert all(visible.shape[1] < masked.shape[1] for visible, masked in drawn)
    assert len({masked.shape for _, masked in drawn}) > 2
    plain = [loss_of(objective, batch).loss.item() for batch in batches]
    assert {step_mask_kind(2, 11, batch.step_draw) for batch in batches} == {0, 1}
    getattr(objective, way)(backend=traces, fullgraph=True)
    compiled, counts = [], []
    for batch in batches:
        compiled.append(loss_of(objective, batch).loss.item())
        counts.append(traces.frame_count)
    assert compiled == pytest.approx(plain, rel=1e-5)
    assert counts[0] > 0 and set(counts) == {counts[0]}, (
        "later masks pass through the graphs of the first"
    )


def test_a_floor_over_clips_is_0_of_one_clip() -> None:
    objective = tiny(variance_over="batch")
    assert loss_of(objective, clips_of([1])).metrics["loss/variance"] == 0
    assert loss_of(objective, clips_of([1, 2])).metrics["loss/variance"] > 0


@pytest.mark.parametrize(
    ("size", "num_heads", "encoder", "predictor"),
    [("large", None, 303_885_312, 22_082_560), ("giant", 22, 1_012_173_952, 22_377_856)],
)
def test_published_sizes_have_the_networks_of_v_jepa_2(
    size: Any, num_heads: int | None, encoder: int, predictor: int
) -> None:
    numbers = replace(SurgMotionConfig().encoder, size=size, num_heads=num_heads)
    objective = choice.build_on_meta(SurgMotionConfig(encoder=numbers))
    assert objective.num_parameters() == {
        "encoder": encoder,
        "predictor": predictor,
        "target_encoder": encoder,
        "total": encoder + predictor,
        "trainable": encoder + predictor,
    }
    assert SurgMotionConfig().masks == VJepaConfig().masks


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"masks": []}, "masks: expected at least one kind"),
        ({"mask_kinds": "two"}, "mask_kinds: expected"),
        ({"encoder": {"positions": "sincos"}}, "encoder.positions: expected rope"),
        (
            {"encoder": {"num_frames": 1, "tubelet_size": 1}},
            "encoder.num_frames: expected two frames or more, to see motion, got 1",
        ),
        ({"ema_decay": 1.0}, "ema_decay: expected 0 to 0.9999999, got 1.0"),
        ({"gram_weight": -1.0}, "gram_weight: expected 0 to"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build_config(SurgMotionConfig, tree, where="test")
    assert message in str(raised.value)
