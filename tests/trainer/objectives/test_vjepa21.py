"""V-JEPA 2.1's switches against slow loops: levels, the loss of visible tokens, images beside videos."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build as build_config
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.models.config import EncoderConfig, Grid, PredictorConfig
from surgstream.trainer.models.predictor import Predictor
from surgstream.trainer.models.vit import num_parameters
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import ObjectiveConfig, VJepaConfig
from surgstream.trainer.objectives.masks.distances import distances_to_masked
from surgstream.trainer.objectives.masks.masking import BlockMask
from surgstream.trainer.objectives.vjepa import VJepa
from surgstream.trainer.objectives.vjepa_config import ContextConfig, ImagesConfig
from surgstream.trainer.warm_start import warm_start
from tests.trainer.objectives.slow_vjepa21 import slow_distance, slow_levels, slow_loss
from tests.trainer.objectives.test_surgvista import clip_batch, loss_of

ENCODER = EncoderConfig(
    embed_dim=16,
    depth=3,
    num_heads=2,
    image_size=32,
    num_frames=4,
    patch_size=8,
    positions="rope_scaled",
    levels=(1, 3),
    images=True,
    drop_path=0.0,
)
CONFIG = VJepaConfig(
    encoder=ENCODER,
    predictor=PredictorConfig(embed_dim=16, depth=1, num_heads=2, num_mask_tokens=3),
    masks=(BlockMask(num_blocks=2, scale=0.2), BlockMask(num_blocks=1, scale=0.5)),
    context=ContextConfig(weight=0.5, image_weight=0.7, from_clips=100, full_at_clips=300),
    images=ImagesConfig(share=0.6, loss_share=0.5, masks=(BlockMask(num_blocks=2, scale=0.15),)),
)
STILLS = [False, True, True, False, True]


def objective_of(config: VJepaConfig = CONFIG) -> VJepa:
    """A small objective, with weights of some size, whose average is not where its encoder is."""
    made = choice.build(config, seed=5)
    assert isinstance(made, VJepa)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in [*made.parameters(), *made.target_encoder.parameters()]:
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return made


def batch_of(stills: list[bool] = STILLS, step_draw: int = 150) -> ClipBatch:
    """Clips of noise, of which some are stills: the same frame throughout."""
    batch = clip_batch(range(7, 7 + len(stills)), 32, 4)
    clips = batch.clips.clone()
    for row, is_still in enumerate(stills):
        if is_still:
            clips[row] = clips[row][:, :1]
    return replace(batch, clips=clips, stills=np.array(stills), step_draw=step_draw)


def in_double(objective: VJepa, batch: ClipBatch) -> tuple[VJepa, ClipBatch]:
    return objective.double(), replace(batch, clips=batch.clips.double())


SWITCHES: dict[str, dict[str, Any]] = {
    "all": {},
    "of_videos_alone": {"images": None, "encoder": replace(ENCODER, images=False)},
    "without_context": {"context": None},
    "all_distances_alike": {"context": ContextConfig(by_distance=False)},
    "one_level": {"encoder": replace(ENCODER, levels=())},
    "loss_by_clips": {"images": ImagesConfig(share=0.6)},
}


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
@pytest.mark.parametrize(
    "stills", [STILLS, [False] * 3, [True] * 3], ids=["both", "videos", "images"]
)
def test_the_loss_and_its_gradient_are_those_of_the_equations(
    changes: dict[str, Any], stills: list[bool]
) -> None:
    config = replace(CONFIG, **changes)
    objective, batch = in_double(objective_of(config), batch_of(stills))
    loss = loss_of(objective, batch).loss
    ramp = 0.25 if config.context and config.context.from_clips else 1.0
    expected = slow_loss(objective, batch, ramp)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)

    names, parameters = zip(*objective.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    for name, gradient, slow in zip(names, found, wanted, strict=True):
        is_idle = slow is None or not slow.any()
        if is_idle:
            assert gradient is None or not gradient.any(), name
        else:
            torch.testing.assert_close(gradient, slow, rtol=1e-5, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    "stills", [STILLS, [False] * 3, [True] * 3], ids=["both", "videos", "images"]
)
def test_every_parameter_has_a_gradient_whatever_a_rank_sees(stills: list[bool]) -> None:
    objective = objective_of()
    loss_of(objective, batch_of(stills)).loss.backward()
    without = [name for name, parameter in objective.named_parameters() if parameter.grad is None]
    assert without == []


def test_metrics_are_the_same_whatever_a_micro_batch_holds() -> None:
    """Steps average them by name, over micro-batches and ranks."""
    objective = objective_of()
    found = [loss_of(objective, batch_of(stills)) for stills in (STILLS, [False] * 3, [True] * 3)]
    assert len({tuple(sorted(output.metrics)) for output in found}) == 1
    for output in found:
        videos, images = output.metrics["loss/videos"], output.metrics["loss/images"]
        assert output.loss.item() == pytest.approx((videos + images).item(), rel=1e-6)
    assert found[1].metrics["loss/images"] == 0 and found[2].metrics["loss/videos"] == 0


def test_micro_batches_of_one_kind_have_in_the_mean_the_loss_of_both_by_its_shares() -> None:
    """[J11]: r L_image + (1 - r) L_video, at the share of images that is drawn."""
    objective = objective_of(replace(CONFIG, context=None)).double()
    images = replace(batch_of([True] * 3), clips=batch_of([True] * 3).clips.double())
    videos = replace(batch_of([False] * 2), clips=batch_of([False] * 2).clips.double())
    of_images, of_videos = (
        loss_of(objective, batch).metrics["loss/prediction"] for batch in (images, videos)
    )
    whole = (3 * loss_of(objective, images).loss + 2 * loss_of(objective, videos).loss) / 5
    assert whole.item() == pytest.approx(0.5 * of_images.item() + 0.5 * of_videos.item())


@given(st.data())
def test_distances_are_those_of_a_search(data: st.DataObject) -> None:
    grid = Grid(*(data.draw(st.integers(1, 4)) for _ in range(3)))
    if grid.num_tokens < 2:
        grid = Grid(2, 1, 1)
    order = data.draw(st.permutations(range(grid.num_tokens)))
    cut = data.draw(st.integers(1, grid.num_tokens - 1))
    used = data.draw(st.integers(cut + 1, grid.num_tokens))
    visible, masked = order[:cut], order[cut:used]
    found = distances_to_masked(grid, torch.tensor([visible]), torch.tensor([masked]))
    expected = [slow_distance(grid, token, masked) for token in visible]
    assert found[0].tolist() == pytest.approx(expected, rel=1e-6) and found.min() >= 1


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 3000))
def test_the_weight_of_visible_tokens_grows_by_a_line(start: int, length: int, seen: int) -> None:
    context = ContextConfig(from_clips=start, full_at_clips=start + length)
    ramp = context.ramp(seen)
    if seen >= start + length:
        assert ramp == 1
    elif seen <= start:
        assert ramp == 0
    else:
        assert ramp == pytest.approx((seen - start) / length)


def test_what_is_judged_has_the_whole_weight() -> None:
    objective, batch = objective_of(), batch_of(step_draw=0)
    assert [part.context_weight for part in objective.draw(batch)] == [0, 0]
    weights = [part.context_weight for part in objective.eval().draw(batch)]
    assert weights == pytest.approx([0.5, 0.7])


def test_levels_are_normed_each_by_itself_and_the_last_one_is_the_encoder() -> None:
    encoder, clips = objective_of().encoder, batch_of([False] * 2).clips
    visible = torch.tensor([[0, 3, 9], [1, 2, 30]])
    levels = encoder.at_levels(clips, visible)
    torch.testing.assert_close(levels[..., 16:], encoder(clips, visible))
    for clip, tokens, found in zip(clips, visible, levels, strict=True):
        torch.testing.assert_close(found, torch.cat(slow_levels(encoder, clip, tokens), dim=-1))


def test_an_image_is_a_slice_of_its_own() -> None:
    """Its tokens have the places of a clip's first slice, and weights of their own."""
    encoder, clips = objective_of().encoder, batch_of([False] * 2).clips
    image = clips[:, :, :1]
    assert encoder(image).shape == (2, 16, 16)
    torch.testing.assert_close(encoder(image, torch.arange(16).expand(2, -1)), encoder(image))
    with torch.no_grad():
        # A tubelet of two equal frames whose halves add up to the image's weights is that image
        per_frame = encoder.embedding.image_projection.weight.unflatten(1, (3, 1, 64)) / 2
        encoder.embedding.projection.weight.copy_(per_frame.expand(-1, -1, 2, -1).flatten(1))
        encoder.embedding.projection.bias.copy_(encoder.embedding.image_projection.bias)
        encoder.embedding.modality.of_videos.copy_(encoder.embedding.modality.of_images)
    tokens = torch.arange(16).expand(2, -1)
    still = image.expand(-1, -1, 4, -1, -1)
    torch.testing.assert_close(encoder(still, tokens), encoder(image), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_flops_are_those_that_pytorch_counts() -> None:
    found = {}
    for is_image in (False, True):
        objective, batch = objective_of(), batch_of([is_image] * 8)
        counted: dict[str, int] = {}
        (part,) = objective.draw(batch)
        counts = [(mask.visible.shape[1], mask.masked.shape[1]) for mask in part.masks]
        encoder, predictor = objective.encoder, objective.predictor
        counted["encoder"] = sum(encoder.flops(v, of_image=is_image) for v, _ in counts)
        counted["predictor"] = sum(predictor.flops(*count) for count in counts)
        num_tokens = 16 if is_image else 32
        counted["target_encoder"] = encoder.flops(num_tokens, backward=False, of_image=is_image)
        with sdpa_kernel(SDPBackend.MATH):
            with FlopCounterMode(display=False) as average:
                targets = objective.targets(batch)
            with FlopCounterMode(display=False) as rest:
                objective(batch, targets).loss.backward()
        assert average.get_total_flops() == 8 * counted.pop("target_encoder")
        assert rest.get_total_flops() == 8 * sum(counted.values())
        found[is_image] = objective.flops()
    assert found[False] == found[True], "a share of each, whatever this batch holds"


def test_flops_of_the_mean_clip_lie_between_those_of_a_video_and_of_an_image() -> None:
    mean = objective_of().flops()
    videos = objective_of(
        replace(CONFIG, images=None, encoder=replace(ENCODER, images=False))
    ).flops()
    assert all(mean[name] < videos[name] for name in videos)
    rarely = objective_of(replace(CONFIG, images=ImagesConfig(share=0.001))).flops()
    assert all(rarely[name] == pytest.approx(videos[name], rel=1e-3) for name in videos)


@pytest.mark.slow
def test_batches_of_any_kinds_are_compiled(traces: CompileCounterWithBackend) -> None:
    """Whole, or it would fail: both kinds, one alone, one clip of a kind, and sizes that differ."""
    objective = objective_of()
    batches = [
        batch_of(stills)
        for stills in (
            STILLS,
            *([True] * images + [False] * (4 - images) for images in range(5)),
            [True, True, False, False, True, False],
        )
    ]
    plain = [loss_of(objective, batch).loss.item() for batch in batches]
    objective.compile_parts(backend=traces, fullgraph=True)
    compiled = [loss_of(objective, batch).loss.item() for batch in batches]
    assert compiled == pytest.approx(plain, rel=1e-5)


@pytest.mark.slow
def test_pictures_and_checks_of_collapse_are_of_videos_if_there_are_any() -> None:
    objective = objective_of().eval()
    assert {row.shape for row in objective.pictures(batch_of()).values()} == {(2, 3, 4, 32, 32)}
    assert {row.shape for row in objective.pictures(batch_of([True] * 3)).values()} == {
        (3, 3, 4, 32, 32)
    }
    features = objective.collapse_features(batch_of())
    assert features["targets"].shape == features["predictions"].shape
    assert features["targets"].shape[1] == 32, "both levels"


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"encoder": {"levels": [3, 1]}}, "levels: expected blocks in ascending order, the last one (3) among them"),
        ({"encoder": {"levels": [1, 2]}}, "levels: expected blocks in ascending order, the last one (3) among them"),
        ({"images": None}, "expected true where objective.images is given, and false elsewhere, got true"),
        ({"images": {"share": 0.5, "masks": []}}, "images: masks: expected at least one kind"),
        ({"context": {"from_clips": 5}}, "context: full_at_clips: expected from_clips (5) or more, got 0"),
        ({"encoder": {"num_frames": 1, "tubelet_size": 1}}, "num_frames: expected two or more with images"),
        ({"encoder": {"positions": "sincos"}}, "encoder.positions: expected rope or rope_scaled"),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(tree: dict[str, Any], message: str) -> None:
    given_tree: dict[str, Any] = {
        "encoder": {
            "embed_dim": 16,
            "depth": 3,
            "num_heads": 2,
            "positions": "rope_scaled",
            "drop_path": 0.0,
            "images": True,
        }
        | tree.pop("encoder", {}),
        "images": {"share": 0.5},
    }
    with pytest.raises(ConfigError) as raised:
        build_config(VJepaConfig, given_tree | tree, where="test")
    assert message in str(raised.value)


def test_an_encoder_without_images_and_levels_begins_with_what_it_has_a_place_for(
    tmp_path: Path,
) -> None:
    """As fine-tuning does: of videos both say the same."""
    trained = objective_of()
    save_file(
        {
            name: weight.detach()
            for name, weight in trained.encoder.state_dict(prefix="encoder.").items()
        },
        tmp_path / "encoder.safetensors",
    )
    plain = replace(ENCODER, images=False, levels=())
    objective = choice.build(replace(CONFIG, encoder=plain, images=None, context=None), seed=1)
    settings = WarmStartConfig(weights=str(tmp_path / "encoder.safetensors"), parts="encoder")
    warm_start(settings, objective, plain)
    clips = batch_of([False] * 2).clips
    torch.testing.assert_close(
        objective.encoder(clips), trained.encoder(clips), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "name", ["surgvista", "videomae", "unisurg", "surgmotion", "salt", "supervised"]
)
def test_other_objectives_refuse_what_they_would_not_train(name: str) -> None:
    config = next(each for each in get_args(ObjectiveConfig) if each().name == name)
    encoder = replace(config().encoder, levels=(6, config().encoder.shape.depth), images=True)
    found = " ".join(config(encoder=encoder).problems())
    assert "encoder.levels: expected none, which vjepa alone trains" in found
    assert "encoder.images: expected false, as vjepa alone" in found


def test_weights_of_both_kinds_keep_the_mean() -> None:
    images = ImagesConfig(share=0.25, loss_share=0.5)
    video, image = images.weights
    assert math.isclose(0.75 * video + 0.25 * image, 1) and math.isclose(0.25 * image, 0.5)
    assert ImagesConfig(share=0.25).weights == (1, 1)


# docs/recipes_next.md, "Encoders and predictors in integers": size, heads, levels, and the parameters of the encoder
# and, but for B, whose published one is distilled, of a predictor of 24 blocks with so many mask tokens.
PUBLISHED: dict[str, tuple[str, int, tuple[int, ...], int, int, int]] = {
    "B": ("base", 12, (3, 6, 9, 12), 86_833_152, 0, 0),
    "L": ("large", 16, (6, 12, 18, 24), 304_680_960, 6, 50_333_824),
    "g": ("giant", 22, (10, 20, 30, 40), 1_013_267_968, 8, 55_400_704),
    "G": ("gigantic", 26, (12, 24, 38, 48), 1_845_216_768, 8, 59_433_472),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_sizes_have_the_published_parameters(size: str) -> None:
    name, num_heads, levels, of_encoder, num_mask_tokens, of_predictor = PUBLISHED[size]
    encoder: Any = EncoderConfig(
        size=name, num_heads=num_heads, image_size=256, positions="rope_scaled", levels=levels, images=True,
        drop_path=0.0,
    )  # fmt: skip
    predictor = PredictorConfig(depth=24, num_mask_tokens=num_mask_tokens or 8)
    config = VJepaConfig(
        encoder=encoder,
        predictor=predictor,
        context=ContextConfig(),
        images=ImagesConfig(share=0.5),
    )
    counts = choice.build_on_meta(config).num_parameters()
    assert counts["encoder"] == counts["target_encoder"] == of_encoder
    if of_predictor:
        assert counts["predictor"] == of_predictor


@pytest.mark.parametrize(("size", "parameters"), [("base", 22_874_752), ("large", 22_973_056)])
def test_predictors_of_a_distillation_have_the_published_parameters(
    size: Any, parameters: int
) -> None:
    """One level in, and features of G, 1,664 wide, out, of masked and of visible tokens; 8 mask tokens."""
    encoder = EncoderConfig(size=size, positions="rope_scaled", images=True)
    with torch.device("meta"):
        predictor = Predictor(
            PredictorConfig(num_mask_tokens=8), encoder, out_dim=1664, predicts_visible=True
        )
    assert num_parameters(predictor) == parameters
