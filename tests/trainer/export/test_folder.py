"""The folder that an export makes: whole or not there, and it says what a user must know."""

import contextlib
import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from surgstream.configs.errors import SurgstreamError
from surgstream.launch.commands import run
from surgstream.trainer.batch import IMAGENET_MEAN, IMAGENET_STD
from surgstream.trainer.commands.export import export
from surgstream.trainer.data.augment import draw_transform
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.export import load_encoder, writing
from surgstream.trainer.export.folder.forms import Form
from surgstream.trainer.export.source import read_source
from surgstream.trainer.export.writing import publish
from tests.helpers.ranks import process_group, start_ranks
from tests.trainer.data.test_decode import decoder, jpeg, smooth_image
from tests.trainer.export.saved import CONFIGS, Saved, features, save


@pytest.mark.slow
def test_a_run_stands_for_its_newest_whole_checkpoint(saved: Saved, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(saved["videomae"][0], run_dir / "checkpoints" / "step_00000007")
    (run_dir / "checkpoints" / "step_00000009").mkdir()
    assert "of step_00000007 of videomae" in export(
        run_dir, tmp_path / "out", "surgstream", averaged=True
    )
    (run_dir / "checkpoints" / "step_00000007" / "state.json").unlink()
    with pytest.raises(CheckpointError, match="none of 2 checkpoints is whole"):
        export(run_dir, tmp_path / "again", "surgstream", averaged=True)
    shutil.rmtree(run_dir / "checkpoints")
    with pytest.raises(
        CheckpointError,
        match=r"expected a run directory or a whole checkpoint, got: state\.json: No",
    ):
        export(run_dir, tmp_path / "again", "surgstream", averaged=True)
    (run_dir / "checkpoints").mkdir()
    with pytest.raises(
        CheckpointError, match="expected a run that has saved a checkpoint, got one without"
    ):
        export(run_dir, tmp_path / "again", "surgstream", averaged=True)


@pytest.mark.slow
def test_the_folder_says_what_a_user_must_know(saved: Saved, tmp_path: Path) -> None:
    export(saved["surgvista"][0], tmp_path / "out", "surgstream", averaged=True)
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert sorted(os.listdir(tmp_path / "out")) == [
        "README.md",
        "ancestry.json",
        "config.json",
        "model.safetensors",
        "provenance.json",
        "recipe.yaml",
    ]

    tree = json.loads((tmp_path / "out" / "config.json").read_text())
    encoder = tree["encoder"]
    assert {key: encoder[key] for key in ("embed_dim", "depth", "num_heads", "image_size", "num_frames")} == {
        "embed_dim": 48, "depth": 3, "num_heads": 3, "image_size": 48, "num_frames": 4,
    }  # fmt: skip
    assert (tree["mean"], tree["std"]) == (list(IMAGENET_MEAN), list(IMAGENET_STD))
    assert (tree["stride"], tree["crop"]["scales"]) == (4, [1.0, 0.875, 0.75, 0.66])

    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlicense: unknown\n")
    assert f"to {tree['check']['largest_difference']:.2g} (largest difference" in card
    assert (
        "| cholec80 | laparoscopy | – | – | – | 900 | 75 % |" in card
        and "| pitvis | neurosurgery | – | – | – | 300 | 25 % |" in card
    )
    assert "step 7, 14 clips, batches of 2" in card


@pytest.mark.parametrize("fps", [None, 2.5])
def test_the_frame_rate_is_told_where_it_is_known(
    fps: float | None, saved: Saved, tmp_path: Path
) -> None:
    source = read_source(saved["videomae"][0], averaged=True)
    object.__setattr__(source.recipe.data, "fps", fps)
    publish(source, tmp_path / "out", "videomae")
    assert load_encoder(tmp_path / "out").config.fps == fps
    unknown = " of the corpus, whose frame rate the recipe does not say"
    expected = " at 2.5 frames a second: 1.6 s apart" if fps else unknown
    assert f"4, one in every 4{expected}" in (tmp_path / "out" / "README.md").read_text()


def test_what_the_checkpoint_does_not_tell_the_card_does_not(saved: Saved, tmp_path: Path) -> None:
    source = replace(read_source(saved["videomae"][0], averaged=True), datasets=())
    publish(source, tmp_path / "out", "surgstream")
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "## What it was trained on\n\nThe checkpoint does not tell." in card
        and "cholec80" not in card
    )


@pytest.mark.slow
def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    with process_group():
        checkpoint, _ = save(CONFIGS["videomae"], tmp_path / "run", order={})
    with pytest.raises(CheckpointError, match=r"state\.json: order"):
        export(checkpoint, tmp_path / "out", "surgstream", averaged=True)


def test_a_folder_that_gives_other_features_is_not_made(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_bytes = Form.to_bytes

    def wrong(form: Form, state: dict[str, torch.Tensor], encoder: Any) -> bytes:
        return to_bytes(form, {name: tensor * 1.001 for name, tensor in state.items()}, encoder)

    monkeypatch.setattr(Form, "to_bytes", wrong)
    with pytest.raises(
        ModelError,
        match=r"expected surgstream to read the features .* got others, by up to 0\.\d+; no",
    ):
        export(saved["vjepa"][0], tmp_path / "out", "vjepa2", averaged=True)
    assert not any(tmp_path.iterdir())


def killed_while_comparing(checkpoint: Path, out: Path) -> None:
    def kill(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    writing.check = kill  # type: ignore[assignment]
    export(checkpoint, out, "surgstream", averaged=True)


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_half(saved: Saved, tmp_path: Path) -> None:
    checkpoint, objective = saved["videomae"]
    (process,) = start_ranks(killed_while_comparing, 1, (checkpoint, tmp_path / "out"))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert os.listdir(tmp_path) == [
        ".out.partial"
    ]  # what was written is there, and nobody takes it for an export

    export(checkpoint, tmp_path / "out", "surgstream", averaged=True)
    assert os.listdir(tmp_path) == ["out"]
    clips = torch.zeros(1, 3, 4, 48, 48)
    assert torch.equal(load_encoder(tmp_path / "out")(clips), features(objective, clips))


def test_of_several_exports_to_one_folder_one_is_there_and_whole(
    saved: Saved, tmp_path: Path
) -> None:
    checkpoint, _ = saved["vjepa"]

    def write(weights: str) -> str | None:
        with contextlib.suppress(SurgstreamError):
            export(checkpoint, tmp_path / "out", "surgstream", averaged=weights == "average")
            return weights
        return None

    with ThreadPoolExecutor(2) as pool:
        (done,) = filter(None, pool.map(write, ("average", "trained")))
    assert sorted(os.listdir(tmp_path)) == ["out"]
    export(checkpoint, tmp_path / "alone", "surgstream", averaged=done == "average")
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_place_that_is_taken_is_left_as_it_is(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(saved["videomae"][0], tmp_path / "out", "surgstream", averaged=True)  # it was empty
    before = (tmp_path / "out" / "config.json").read_bytes()
    (tmp_path / "file").touch()
    for taken in ("out", "file"):
        with pytest.raises(ModelError, match=f"{taken}: exists and is not empty"):
            export(saved["videomae"][0], tmp_path / taken, "videomae", averaged=True)
    assert (tmp_path / "out" / "config.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["file", "out"]


def test_frames_are_prepared_as_held_out_clips_are(saved: Saved, tmp_path: Path) -> None:
    export(saved["videomae"][0], tmp_path / "out", "surgstream", averaged=True)
    encoder = load_encoder(tmp_path / "out")
    images = [smooth_image(seed) for seed in range(2)]
    centred = draw_transform("centre", 0, np.array([0]), np.array([images[0].size]))
    expected = decoder("cpu").decode([jpeg(image) for image in images], centred)

    decoded = torch.stack([torch.from_numpy(np.array(image)) for image in images])
    object.__setattr__(encoder.config.encoder, "image_size", 32)
    prepared = encoder.prepare(decoded)
    assert prepared.shape == expected.shape == (1, 3, 2, 32, 32)
    assert (
        prepared - expected
    ).abs().mean() < 0.02  # JPEG's own error is about a grey level, 0.017
    assert torch.equal(encoder.prepare(torch.stack([decoded, decoded]))[1], prepared[0])


def test_clips_and_frames_of_another_shape_are_refused(saved: Saved, tmp_path: Path) -> None:
    export(saved["videomae"][0], tmp_path / "out", "surgstream", averaged=True)
    encoder = load_encoder(str(tmp_path / "out"))
    with pytest.raises(
        ModelError, match=r"clips: expected the shape \(B, 3, 4, 48, 48\), got \(1, 3, 2, 48, 48\)"
    ):
        encoder(torch.zeros(1, 3, 2, 48, 48))
    with pytest.raises(
        ModelError,
        match=r"frames: expected \(T, H, W, 3\) or .* got \(4, 9, 9, 3\) of torch.float32",
    ):
        encoder.prepare(torch.zeros(4, 9, 9, 3))
    with pytest.raises(
        ModelError, match=r"frames: expected .* bytes, got \(4, 9, 9, 3\) of torch.float64"
    ):
        encoder.prepare(np.zeros((4, 9, 9, 3)))


def test_frames_may_be_an_array(saved: Saved, tmp_path: Path) -> None:
    export(saved["videomae"][0], tmp_path / "out", "surgstream", averaged=True)
    encoder = load_encoder(tmp_path / "out")
    frames = np.arange(4 * 60 * 50 * 3, dtype=np.uint8).reshape(4, 60, 50, 3)
    assert torch.equal(encoder.prepare(frames), encoder.prepare(torch.from_numpy(frames)))
    turned = frames[..., ::-1]  # as OpenCV's pictures become RGB
    assert torch.equal(encoder.prepare(turned), encoder.prepare(torch.from_numpy(turned.copy())))


def test_what_is_no_exported_folder_is_refused(saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"config.json: expected what surgstream export wrote, got: No such file"
    ):
        load_encoder(tmp_path)
    export(saved["videomae"][0], tmp_path / "out", "surgstream", averaged=True)
    config = tmp_path / "out" / "config.json"
    told = config.read_text()
    larger = (
        ('"depth": 2', '"depth": 3'),
        ('"embed_dim": 32', '"embed_dim": 8192'),
        ('"patch_size": 8', '"patch_size": 24'),
    )
    for ours, other in larger:
        config.write_text(told.replace(ours, other))
        with pytest.raises(
            ModelError,
            match=r"model.safetensors: expected the encoder that config.json tells of, . blo",
        ):
            load_encoder(tmp_path / "out")
    config.write_text(told)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    save_file({**weights, "encoder.extra": torch.zeros(1)}, tmp_path / "out" / "model.safetensors")
    with pytest.raises(
        ModelError,
        match=r"expected the encoder that config.json tells of: .*Unexpected key.* .extra",
    ):
        load_encoder(tmp_path / "out")
    config.write_text(config.read_text().replace('"layout": "surgstream"', '"layout": "surgvista"'))
    with pytest.raises(
        ModelError,
        match="expected an encoder that surgvista has a place for, got sinusoid positions",
    ):
        load_encoder(tmp_path / "out")
    config.write_text("[]")
    with pytest.raises(
        ModelError, match=r"config.json: expected what surgstream export wrote, got no such JSON"
    ):
        load_encoder(tmp_path / "out")


def test_the_help_page_tells_the_layouts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("export", ["--help"])
    page = capsys.readouterr().out
    assert all(
        word in page
        for word in ("RUN_OR_CHECKPOINT", "load_encoder", "videomae", "surgvista", "vjepa2")
    )
