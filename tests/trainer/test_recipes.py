"""The published recipes' files, number by number, and what a resume says when a recipe has changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.configs.presets import presets
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.lineage.known import known_families
from surgstream.trainer.mixing import look_back
from surgstream.trainer.objectives import choice
from surgstream.trainer.objectives.config import (
    SurgVistaConfig,
    VJepaConfig,
)
from surgstream.trainer.objectives.jepa_config import SaltConfig

RECIPES = Path(__file__).parent.parent.parent / "configs" / "pretrain"

PUBLISHED: dict[str, dict[str, object]] = {
    "surgvista_vitb": {
        "global_batch_size": 2048, "epochs": 200, "seed": 0, "data.fps": 1.0, "data.stride": 4,
        "data.order.weights": "uniform",
        "data.augment.crop.scales": (1.0, 0.875, 0.75, 0.66), "data.augment.crop.max_distortion": 1,
        "data.order.open_chunks": 2048,
        "data.order.chunk_frames": 320, "objective.encoder.size": "base", "objective.encoder.image_size": 224,
        "objective.encoder.num_frames": 16, "objective.encoder.patch_size": 16, "objective.encoder.tubelet_size": 2,
        "objective.encoder.drop_path": 0.1, "objective.mask_ratio": 0.85, "objective.reconstruction_decoder.depth": 4,
        "objective.reconstruction_decoder.embed_dim": 384, "objective.reconstruction_decoder.num_heads": 6,
        "objective.reconstruction_decoder.drop_path": 0.1, "objective.distillation_decoder.depth": 2,
        "objective.distillation_decoder.embed_dim": 384, "objective.distillation_decoder.num_heads": 6,
        "objective.distillation_decoder.drop_path": 0.1, "objective.reconstruction_weight": 1.0,
        "objective.distillation_weight": 0.05, "objective.smooth_l1_beta": 1.0, "objective.teacher.normalise": False,
        "objective.teacher.model": "vit_large_patch16_224", "optim.base_lr": 1.5e-4, "optim.min_lr": 1e-5,
        "optim.warmup_epochs": 40, "optim.weight_decay": 0.05, "optim.beta1": 0.9, "optim.beta2": 0.95,
        "parallel.zero_stage": 1,
    },
    "surgrec_mae_vitb": {
        "global_batch_size": 2048, "data.order.weights": "balanced", "objective.name": "videomae",
        "objective.encoder.size": "base", "objective.encoder.positions": "sinusoid", "objective.encoder.drop_path": 0.0,
        "objective.mask_ratio": 0.9, "objective.decoder.depth": 4, "objective.decoder.embed_dim": 384,
        "objective.decoder.num_heads": 6, "objective.decoder.projection_bias": False,
        "objective.decoder.drop_path": 0.0,
        "optim.base_lr": 1.5e-4, "optim.min_lr": 1e-5, "optim.warmup_epochs": 40, "optim.weight_decay": 0.05,
        "optim.beta1": 0.9, "optim.beta2": 0.95, "optim.decay": "cosine",
    },
    "surgrec_jepa_vitl": {
        "objective.name": "vjepa", "objective.encoder.size": "large", "objective.encoder.positions": "rope",
        "objective.encoder.num_frames": 16, "objective.masks": VJepaConfig().masks, "objective.ema_decay": 0.99925,
        "objective.predictor.depth": 12, "objective.predictor.embed_dim": 384, "objective.predictor.num_heads": 12,
        "optim.warmup_start_lr": 1e-4, "optim.weight_decay": 0.04, "optim.beta1": 0.9, "optim.beta2": 0.999,
        "optim.decay": "none", "data.order.weights": "balanced", "data.order.micro_batches": "mixed",
    },
    "surgrec_jepa_vitl_phase2": {
        "objective.encoder.num_frames": 64, "optim.decay": "linear", "optim.min_lr": 1e-6, "optim.warmup_epochs": 0,
    },
    "salt_teacher_vitl": {
        "objective.name": "videomae", "objective.encoder.size": "large", "objective.encoder.positions": "rope",
        "objective.decoder.positions": "rope", "objective.masks": VJepaConfig().masks,
        "global_batch_size": 3072, "optim.warmup_start_lr": 2e-4, "optim.min_lr": 1e-6, "optim.decay": "cosine",
        "optim.weight_decay": 0.04, "optim.weight_decay_end": 0.4, "optim.beta1": 0.9, "optim.beta2": 0.95,
        "optim.clip_grad_norm": 0.02,
    },
    "salt_vitl": {
        "objective.name": "salt", "objective.encoder.size": "large", "objective.encoder.positions": "rope",
        "objective.encoder.num_frames": 16, "objective.encoder.image_size": 224,
        "objective.predictor.depth": 12, "objective.predictor.embed_dim": 384, "objective.predictor.num_heads": 16,
        "objective.predictor.num_mask_tokens": 2, "objective.masks": VJepaConfig().masks,
        "objective.teacher.encoder.size": "large", "objective.normalise_targets": True,
        "global_batch_size": 3072, "optim.warmup_start_lr": 2e-4, "optim.min_lr": 1e-6, "optim.decay": "cosine",
        "optim.weight_decay": 0.04, "optim.weight_decay_end": 0.4, "optim.beta1": 0.9, "optim.beta2": 0.95,
        "optim.clip_grad_norm": 0.02,
        "data.augment.resized_crop.scale": (0.3, 1.0), "data.augment.resized_crop.ratio": (0.75, 1.35),
    },
    "unisurg_vitl_stage1": {
        "objective.name": "unisurg", "objective.encoder.size": "large", "objective.encoder.num_frames": 16,
        "objective.mask_ratio": (0.75, 0.95), "objective.top_k": 3, "objective.gamma": 2.0,
        "objective.ema_decay": 0.99925,
        "objective.affinity_weight": 0.1, "objective.temperature": 0.1, "objective.variance_weight": 0.3,
        "objective.least_std": 1.0, "objective.scope": "masked", "objective.standardise_motion": True,
        "global_batch_size": 256, "micro_batch_size": 64, "epochs": 200, "optim.base_lr": 5e-4, "optim.decay": "cosine",
        "optim.weight_decay": 0.04, "data.fps": 1.0, "data.stride": 1, "data.order.weights": "balanced",
        "data.order.micro_batches": "mixed",
        "data.augment.crop.scales": (0.875,), "data.augment.crop.offsets": "uniform",
    },
    "unisurg_vitl_stage2": {
        "objective.encoder.num_frames": 64, "global_batch_size": 64, "micro_batch_size": 16, "epochs": 80,
    },
    "surgmotion_vitl": {
        "objective.name": "surgmotion", "objective.encoder.size": "large", "objective.encoder.num_frames": 16,
        "objective.encoder.image_size": 256, "objective.masks": VJepaConfig().masks, "objective.mask_kinds": "one",
        "objective.predictor.num_heads": 12, "objective.predictor.num_mask_tokens": 1,
        "objective.ema_decay": 0.99925, "objective.motion_weight": 0.0, "objective.variance_weight": 0.0,
        "warm_start.layout": "vjepa2", "warm_start.parts": "all", "micro_batch_size": 64, "data.fps": 1.0,
        "data.augment.resized_crop.scale": (0.3, 1.0), "data.augment.resized_crop.ratio": (0.75, 1.35),
        "data.augment.flip": 0.5, "optim.weight_decay": 0.04, "optim.beta1": 0.9, "optim.beta2": 0.999,
    },
    "surgmotion_vitl_cooldown": {
        "objective.encoder.num_frames": 64, "objective.motion_weight": 2.0, "objective.variance_weight": 1.0,
        "objective.variance_over": "clip", "objective.least_std": 1.0, "objective.gram_weight": 0.0,
        "objective.covariance_weight": 0.0, "micro_batch_size": 16, "optim.decay": "cosine", "optim.min_lr": 1e-6,
    },
}  # fmt: skip


@pytest.fixture
def recipe() -> TrainConfig:
    return load(TrainConfig, RECIPES / "surgvista_vitb.yaml", [])


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_is_what_was_published(name: str) -> None:
    recipe = load(TrainConfig, RECIPES / f"{name}.yaml", [])
    for key, expected in PUBLISHED[name].items():
        value: object = recipe
        for name in key.split("."):
            value = getattr(value, name)
        assert value == expected, key


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_counted(path: Path) -> None:
    recipe = load(TrainConfig, path, [])
    objective = choice.build_on_meta(recipe.objective)
    assert objective.num_parameters()["trainable"] > 0 and sum(objective.flops().values()) > 0
    assert 0 < objective.num_visible < objective.num_tokens
    assert recipe.grad_accum_steps(1) >= 1 and recipe.run_dir == f"runs/{path.stem}"


def test_v_jepas_schedule_is_that_of_v_jepa_2() -> None:
    """12,000 steps of warm-up from 1e-4 to 5.25e-4, which stays; then, in the second phase, a line down to 1e-6."""
    first, second = (
        load(TrainConfig, RECIPES / f"surgrec_jepa_vitl{phase}.yaml", []).plan(
            num_clips=10**7, world_size=8, start=Progress(step=0, clips_seen=0, state={})
        )
        for phase in ("", "_phase2")
    )
    lrs = [first.lr(step * 3072) for step in (0, 6000, 12_000, 40_000, 59_999)]
    assert lrs == pytest.approx([1e-4, 3.125e-4, 5.25e-4, 5.25e-4, 5.25e-4])
    assert (first.last_step, second.last_step) == (60_000, 12_000)
    assert [second.lr(step * 3072) for step in (0, 6000, 12_000)] == pytest.approx(
        [5.25e-4, 2.63e-4, 1e-6]
    )


def test_v_jepa_2_1s_schedule_is_its_papers_on_any_power_of_two_of_ranks() -> None:
    """135,000 steps, 12,000 of them from 1e-4 to 5.25e-4, which stays; visible tokens count from 15,000 to 30,000."""
    config = load(TrainConfig, RECIPES / "vjepa21_vitl.yaml", [])
    beginning = Progress(step=0, clips_seen=0, state={})
    for world_size in (1, 8, 64, 128, 256):
        plan = config.plan(num_clips=10**7, world_size=world_size, start=beginning)
        assert plan.last_step == 135_000

    lrs = [plan.lr(step * 5376) for step in (0, 6000, 12_000, 134_999)]
    assert lrs == pytest.approx([1e-4, 3.125e-4, 5.25e-4, 5.25e-4])

    objective = config.objective
    assert isinstance(objective, VJepaConfig) and objective.context and objective.images
    ramps = [objective.context.ramp(step * 5376) for step in (15_000, 22_500, 30_000)]
    assert ramps == [0.0, 0.5, 1.0]
    assert round(5376 * objective.images.share) == 2304
    assert 5376 * objective.images.share * objective.images.weights[1] == pytest.approx(0.25 * 5376)


def test_v_jepa_2_1s_cool_down_goes_on_with_64_frames_down_to_1e_6() -> None:
    """12,000 steps from 6e-4 on a line to 1e-6, and visible tokens count from the first of them."""
    first, second = (
        load(TrainConfig, RECIPES / f"vjepa21_vitl{phase}.yaml", []) for phase in ("", "_cooldown")
    )
    assert second.warm_start and second.warm_start.moments
    assert second.warm_start.weights == f"{first.run_dir}/checkpoints/step_00135000"

    before, now = first.objective, second.objective
    assert isinstance(before, VJepaConfig) and isinstance(now, VJepaConfig)
    assert before.context and now.context and now.context.ramp(0) == 1.0
    at_once = replace(before.context, from_clips=0, full_at_clips=0)
    longer = replace(before.encoder, num_frames=64)
    assert now == replace(before, encoder=longer, context=at_once)
    assert second.data == first.data and second.global_batch_size == first.global_batch_size

    beginning = Progress(step=0, clips_seen=0, state={})
    for world_size in (1, 8, 64, 128, 256):
        plan = second.plan(num_clips=10**7, world_size=world_size, start=beginning)
        assert plan.last_step == 12_000
    lrs = [plan.lr(step * 5376) for step in (0, 6000, 12_000)]
    assert lrs == pytest.approx([6e-4, (6e-4 + 1e-6) / 2, 1e-6], abs=1e-9)


def test_surgmotions_schedule_is_that_of_its_released_recipes() -> None:
    """12,000 of 180,000 steps of warm-up from 1e-4 to 5.25e-4, which stays; then 6,000 on half a cosine to 1e-6."""
    first, second = (
        load(TrainConfig, RECIPES / f"surgmotion_vitl{phase}.yaml", []).plan(
            num_clips=10**7, world_size=4, start=Progress(step=0, clips_seen=0, state={})
        )
        for phase in ("", "_cooldown")
    )
    assert (first.last_step, second.last_step) == (180_000, 6_000)
    lrs = [first.lr(step * 256) for step in (0, 6000, 12_000, 179_999)]
    assert lrs == pytest.approx([1e-4, 3.125e-4, 5.25e-4, 5.25e-4])
    lrs = [second.lr(step * 64) for step in (0, 3000, 6000)]
    assert lrs == pytest.approx([5.25e-4, 2.63e-4, 1e-6])


def test_surgmotions_second_phase_begins_where_the_first_ends_and_goes_on_with_its_networks() -> (
    None
):
    first, second = (
        load(TrainConfig, RECIPES / f"surgmotion_vitl{phase}.yaml", [])
        for phase in ("", "_cooldown")
    )
    assert second.warm_start and second.warm_start.moments
    assert second.warm_start.weights == f"{first.run_dir}/checkpoints/step_00180000"
    longer = replace(first.objective.encoder, num_frames=64)
    changed = {"encoder": longer, "motion_weight": 2.0, "variance_weight": 1.0}
    assert second.objective == replace(first.objective, **changed)


def test_salts_schedule_is_as_long_as_its_run() -> None:
    """10,000 steps of warm-up from 2e-4 to 6.25e-4, 160,000 in all, and weight decay from the first to the last."""
    beginning = Progress(step=0, clips_seen=0, state={})
    student = load(TrainConfig, RECIPES / "salt_vitl.yaml", [])
    teacher = load(TrainConfig, RECIPES / "salt_teacher_vitl.yaml", [])
    plan = student.plan(num_clips=10**7, world_size=8, start=beginning)
    before = teacher.plan(num_clips=10**7, world_size=8, start=beginning)
    assert (before.last_step, plan.last_step) == (80_000, 160_000)
    assert isinstance(student.objective, SaltConfig) and student.objective.teacher.weights
    assert student.objective.teacher.weights.endswith(
        f"{teacher.run_dir}/checkpoints/step_{before.last_step:08d}"
    )
    assert student.objective.teacher.encoder.shape == teacher.objective.encoder.shape
    assert student.objective.teacher.encoder.grid == teacher.objective.encoder.grid
    steps = (0, 5000, 10_000, 85_000, 160_000)
    assert [plan.lr(step * 3072) for step in steps] == pytest.approx(
        [2e-4, 4.125e-4, 6.25e-4, (6.25e-4 + 1e-6) / 2, 1e-6], rel=1e-5
    )
    decays = [plan.weight_decay(step * 3072) for step in (0, 80_000, 160_000)]
    assert decays == pytest.approx([0.04, 0.22, 0.4])


@pytest.mark.parametrize(
    "name", ["no_distillation", "teacher_imagenet", "teacher_dinov2", "teacher_endovit"]
)
def test_an_ablation_of_surgvista_differs_by_its_teacher_alone(
    name: str, recipe: TrainConfig
) -> None:
    found = load(TrainConfig, RECIPES / f"surgvista_{name}.yaml", [])
    objective = found.objective
    assert isinstance(objective, SurgVistaConfig) and isinstance(recipe.objective, SurgVistaConfig)
    changed = replace(
        recipe.objective,
        teacher=objective.teacher,
        distillation_weight=objective.distillation_weight,
    )
    assert found == replace(recipe, run_dir=f"runs/surgvista_{name}", objective=changed)
    if objective.teacher is None:
        assert objective.distillation_weight == 0
        return

    assert objective.teacher.known_as in known_families()
    assert objective.distillation_weight == recipe.objective.distillation_weight
    assert objective.teacher.pretrained == (objective.teacher.weights is None)
    trained = choice.build_on_meta(objective).num_parameters()["trainable"]
    assert trained == (98_351_616 if name == "teacher_endovit" else 98_450_176)


def test_surgrec_maes_length_is_ours_and_said_to_be() -> None:
    """As many clips as VideoMAE's ViT-B saw of Kinetics-400: 800 epochs of 240,000 videos; its file says so."""
    path = RECIPES / "surgrec_mae_vitb.yaml"
    recipe = load(TrainConfig, path, [])
    plan = recipe.plan(
        num_clips=214_500_000, world_size=8, start=Progress(step=0, clips_seen=0, state={})
    )
    assert plan.total_draws == 800 * 240_000 and plan.last_step == 93_750
    assert (
        "The budget is ours: 192 M clips" in path.read_text() and "93,750 steps" in path.read_text()
    )
    assert -(-200 * 214_500_000 // 2048) > 20_900_000, "what it would be of every frame"


@pytest.mark.parametrize("setting", "ABCDE")
def test_a_setting_of_surgvista_differs_by_its_datasets_alone(
    setting: str, recipe: TrainConfig
) -> None:
    """So it has as many epochs, each of as many clips as the setting has frames."""
    name = f"surgvista_setting_{setting.lower()}"
    found = load(TrainConfig, RECIPES / f"{name}.yaml", [])
    subset = load(CorpusConfig, presets("pack")["surgvista"]).subsets[setting]
    assert found.data.datasets == subset
    data = replace(recipe.data, datasets=subset)
    assert found == replace(recipe, run_dir=f"runs/{name}", data=data)
    assert recipe.data.datasets is None


@pytest.mark.parametrize(
    ("setting", "videos", "frames", "steps"),
    [("a", 40, 86_344, 8433), ("b", 91, 209_061, 20_417), ("c", 134, 441_608, 43_126), ("d", 274, 1_203_159, 117_496)],
)  # fmt: skip
def test_a_setting_of_surgvista_has_the_counts_that_its_file_says(
    setting: str, videos: int, frames: int, steps: int
) -> None:
    path = RECIPES / f"surgvista_setting_{setting}.yaml"
    recipe = load(TrainConfig, path, [])
    assert recipe.data.datasets
    corpus = load(CorpusConfig, presets("pack")["surgvista"])
    expected = [
        each.expected for each in corpus.part(None, ",".join(recipe.data.datasets)).datasets
    ]
    assert sum(each.videos or 0 for each in expected) == videos
    assert sum(each.frames or 0 for each in expected) == frames
    assert f"{videos} videos and {frames:,} frames" in path.read_text().replace("\n# ", " ")

    beginning = Progress(step=0, clips_seen=0, state={})
    plan = recipe.plan(num_clips=frames, world_size=8, start=beginning)
    assert plan.last_step == steps


def test_a_cache_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        load(
            TrainConfig,
            RECIPES / "surgvista_vitb.yaml",
            ["data.cache_dir=''", "data.cache_bytes=0"],
        )
    assert "cache_dir: expected a path; addresses are not supported here, got nothing" in str(
        error.value
    )
    assert "cache_bytes: expected 1 to 1000000000000000000, got 0" in str(error.value)


def test_its_schedule(recipe: TrainConfig) -> None:
    plan = recipe.plan(
        num_clips=3_552_777, world_size=8, start=Progress(step=0, clips_seen=0, state={})
    )
    assert plan.last_step == 346_951 and plan.grad_accum_steps == 4
    warm_up = 40 * 3_552_777
    assert (
        plan.lr(0) == 0.0
        and plan.lr(warm_up // 2) == pytest.approx(6e-4)
        and plan.lr(warm_up) == 1.2e-3
    )
    assert plan.lr(120 * 3_552_777) == pytest.approx((1.2e-3 + 1e-5) / 2)
    assert plan.lr(200 * 3_552_777) == pytest.approx(1e-5)


@pytest.mark.parametrize("clips_per_epoch", [None, 614_400])
def test_another_global_batch_moves_nothing_of_the_schedule_but_its_height(
    recipe: TrainConfig, clips_per_epoch: int | None
) -> None:
    recipe = replace(recipe, clips_per_epoch=clips_per_epoch)
    halfway = Progress(step=100, clips_seen=2048 * 100, state={})
    before, after = (
        replace(recipe, global_batch_size=batch).plan(
            num_clips=3_552_777, world_size=8, start=halfway
        )
        for batch in (2048, 4096)
    )
    for name in ("draws_per_epoch", "warmup_draws", "total_draws", "end_lr"):
        assert getattr(before, name) == getattr(after, name), name
    assert after.peak_lr == 2 * before.peak_lr
    assert before.last_step == 100 + -(-(before.total_draws - halfway.clips_seen) // 2048)
    assert after.last_step == 100 + -(-(before.total_draws - halfway.clips_seen) // 4096)


def test_the_order_draws_as_many_stills_as_the_objective_expects() -> None:
    for words, got in (
        (["data.order.stills_share=0.25"], "0.25"),
        (["data.order.stills_share=null"], "None"),
    ):
        with pytest.raises(ConfigError, match=rf"images has, 0\.4286, got {got}"):
            load(TrainConfig, RECIPES / "vjepa21_vitl.yaml", words)


def test_a_floor_over_the_clips_of_a_micro_batch_needs_two() -> None:
    over_clips = ["objective.variance_over=batch", "micro_batch_size=1"]
    with pytest.raises(
        ConfigError, match=r"micro_batch_size: expected two clips or more, .* got 1"
    ):
        load(TrainConfig, RECIPES / "surgmotion_tiny.yaml", over_clips)
    load(TrainConfig, RECIPES / "surgmotion_tiny.yaml", ["micro_batch_size=1"])
    load(TrainConfig, RECIPES / "surgmotion_tiny.yaml", [over_clips[0], "micro_batch_size=2"])


def test_a_run_that_would_save_nothing_is_a_mistake() -> None:
    neither = ["checkpoint.every_steps=null", "checkpoint.every_minutes=null"]
    with pytest.raises(
        ConfigError, match="checkpoint: every_minutes: expected a number where every_steps"
    ):
        load(TrainConfig, RECIPES / "surgvista_tiny.yaml", neither)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if "vit" in name])
def test_eight_ranks_hold_the_open_chunks_of_a_corpus_of_large_frames(name: str) -> None:
    """30 kB a frame is JPEG of 320 lines and much detail, packed at the rate that the recipe takes."""
    config = load(TrainConfig, RECIPES / f"{name}.yaml")
    frames_a_chunk = config.data.order.chunk_frames + look_back(config)
    num_bytes = config.data.order.open_chunks * frames_a_chunk * 30e3
    assert num_bytes / 8 <= config.data.read.buffer_bytes
