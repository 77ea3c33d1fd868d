"""Video teachers: any encoder of clips that can be read teaches with the features that it has anywhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from surgstream.trainer.commands.export import export
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.config import DataConfig
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.models.images.timm_vit import timm
from surgstream.trainer.models.published import LAYOUTS
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from surgstream.trainer.models.videos.teacher import VideoTeacher
from surgstream.trainer.networks import build_objective, teach
from surgstream.trainer.objectives.salt import Salt
from tests.trainer.export.saved import CONFIGS, FITTING, Saved, clips_for, features
from tests.trainer.objectives.test_salt import TINY as SALT_TINY
from tests.trainer.test_warm_start import like_vjepa2, state_of


def taught(weights: Path, name: str, **settings: Any) -> VideoTeacher:
    """A teacher of the numbers of one of the small objectives, with weights that were read."""
    encoder = settings.pop("encoder", CONFIGS[name].encoder)
    config = VideoTeacherConfig(weights=str(weights), encoder=encoder, **settings)
    with torch.device("meta"):
        teacher = VideoTeacher(config)
    teach(teacher)
    return teacher


def assert_teaches(teacher: VideoTeacher, name: str, saved: Saved) -> None:
    """Its features are those of the objective that was saved, of its average where there is one."""
    clips = clips_for(CONFIGS[name])
    torch.testing.assert_close(teacher(clips), features(saved[name][1], clips))
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any(module.training for module in teacher.modules())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_of_any_objective_teaches(name: str, saved: Saved) -> None:
    assert_teaches(taught(saved[name][0], name), name, saved)


@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for name, fitting in FITTING.items() for layout in fitting]
)
def test_an_export_in_any_layout_teaches(
    name: str, layout: Any, saved: Saved, tmp_path: Path
) -> None:
    export(saved[name][0], tmp_path / "out", layout, averaged=True)
    assert_teaches(taught(tmp_path / "out", name), name, saved)


@pytest.mark.parametrize(
    ("name", "layout"),
    [("surgvista", "surgvista"), ("videomae", "videomae"), ("vjepa", "vjepa2")],
)
def test_a_published_file_teaches(name: str, layout: str, saved: Saved, tmp_path: Path) -> None:
    objective, encoder = saved[name][1], CONFIGS[name].encoder
    state = state_of(objective)
    weights = LAYOUTS[layout].export(state, encoder)
    content: dict[str, Any] = {"model": weights}
    if layout == "vjepa2":
        averages = LAYOUTS[layout].export(state | dict(objective.averages()), encoder)
        content = like_vjepa2(weights, averages)

    torch.save(content, tmp_path / "weights.pth")
    assert_teaches(taught(tmp_path / "weights.pth", name, layout=layout), name, saved)


def test_a_run_is_built_with_its_teacher(saved: Saved) -> None:
    """The student keeps its weights, and targets are those of what was read."""
    checkpoint, source = saved["videomae"]
    numbers = CONFIGS["videomae"].encoder
    student = replace(
        SALT_TINY.encoder,
        image_size=numbers.image_size,
        num_frames=numbers.num_frames,
        patch_size=numbers.patch_size,
    )
    teacher = VideoTeacherConfig(weights=str(checkpoint), encoder=numbers)
    config = TrainConfig(
        run_dir="x",
        global_batch_size=2,
        micro_batch_size=2,
        epochs=1,
        data=DataConfig(corpus="y"),
        objective=replace(SALT_TINY, encoder=student, teacher=teacher, normalise_targets=False),
    )
    found = build_objective(config, torch.device("cpu"))
    assert isinstance(found, Salt)
    clips = clips_for(CONFIGS["videomae"])
    torch.testing.assert_close(found.features(clips), features(source, clips))
    assert not any(parameter.is_meta for parameter in found.parameters())


def test_a_teacher_in_bf16_is_read_in_fp32(saved: Saved) -> None:
    teacher = taught(saved["videomae"][0], "videomae", dtype="bf16")
    assert {parameter.dtype for parameter in teacher.parameters()} == {torch.bfloat16}
    clips = clips_for(CONFIGS["videomae"])
    expected = features(saved["videomae"][1], clips)
    error = (teacher(clips).float() - expected).norm() / expected.norm()
    assert error < 0.02


def test_what_is_no_encoder_of_such_clips_is_refused(saved: Saved, tmp_path: Path) -> None:
    checkpoint, _ = saved["videomae"]
    numbers = CONFIGS["videomae"].encoder
    missing = tmp_path / "missing.pth"
    with pytest.raises(
        ModelError, match=r"^objective\.teacher: weights: .*, got .*missing.pth, which does not"
    ):
        taught(missing, "videomae")

    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / checkpoint.name).symlink_to(checkpoint)
    with pytest.raises(ModelError, match=r"got the run .*; its newest is .*step_0*7$"):
        taught(run, "videomae")

    with pytest.raises(
        ModelError, match=r"^objective\.teacher: encoder: expected the numbers of .* shape"
    ):
        taught(checkpoint, "videomae", encoder=replace(numbers, embed_dim=48))
    with pytest.raises(ModelError, match="2 attention heads, not 4"):
        taught(checkpoint, "videomae", encoder=replace(numbers, num_heads=4))

    broken = tmp_path / "step_00000007"
    broken.mkdir()
    (broken / "state.json").write_text("{}")
    with pytest.raises((CheckpointError, ModelError)):
        taught(broken, "videomae")


def test_a_folder_of_an_image_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "test_vit"}')
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="expected an encoder of clips, got"):
        taught(tmp_path, "videomae")
