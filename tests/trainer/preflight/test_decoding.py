"""Decoding on GPUs that nobody has here: what is compared, with what, and what follows from it."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from surgstream.configs.loading import load
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.commands.preflight import preflight
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.graphs import Graph, clips_graph
from surgstream.trainer.distributed import RankInfo, leave
from surgstream.trainer.errors import DecodeError, PreflightError
from surgstream.trainer.preflight import decoding
from surgstream.trainer.preflight.checklist import Checklist
from surgstream.trainer.preflight.decoding import (
    Pixels,
    difference,
    examine_decoding,
    gpu_problem,
    take_sample,
)
from surgstream.trainer.preflight.judgement.decoding import gpu_decodes
from surgstream.trainer.preflight.judgement.findings import find_problems
from surgstream.trainer.preflight.judgement.report import GpuDecoding, RankReport
from surgstream.trainer.preflight.judgement.table import render
from surgstream.trainer.preflight.rendezvous import Rendezvous
from surgstream.trainer.preflight.store import Corpora
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus
from tests.trainer.preflight.reports import NEEDS, cluster

CPU = torch.device("cpu")
ON_CPU = DecodeConfig(device="cpu", threads=1)
SIZE, NUM_FRAMES = 32, 4
SEGFAULT = "GPU decoding ended with signal 11 (SIGSEGV)"


def picture(dataset: str, video: str, frame: int) -> bytes:
    """A smooth picture with halved chroma, as the packer writes it."""
    seed = sum(f"{dataset}{video}{frame}".encode())
    colours = np.random.default_rng(seed).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    data = io.BytesIO()
    image = Image.fromarray(colours).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    image.save(data, "JPEG", quality=90, subsampling="4:2:0")
    return data.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, picture=picture)
    return folder


def recipe(folder: Path, *overrides: str) -> TrainConfig:
    shape = [f"objective.encoder.image_size={SIZE}", f"objective.encoder.num_frames={NUM_FRAMES}"]
    words = [f"data.corpus={folder}", "held_out=null", *shape, *overrides]
    return load(TrainConfig, "configs/pretrain/surgvista_tiny.yaml", words)


def sample_of(folder: Path) -> decoding.Sample:
    return take_sample(recipe(folder), open_storage(str(folder)))


def test_a_sample_is_64_pictures_from_all_over_the_corpus(folder: Path) -> None:
    sample = sample_of(folder)
    assert len(sample.frames) == 64 and sample.transform.windows.shape == (16, 4)
    assert sample.decoded(ON_CPU, CPU).shape == (16, 3, NUM_FRAMES, SIZE, SIZE)
    seen = {bytes(frame) for frame in sample.frames}
    for dataset, video, frame in (("cataract", "v0", 39), ("cataract", "v1", 9), ("knee", "a", 8)):
        near = {picture(dataset, video, frame + i) for i in range(-4, 5) if frame + i >= 0}
        assert near & seen, f"{dataset}/{video}"


def test_one_clip_is_enough_where_it_has_more_pictures(folder: Path) -> None:
    config = recipe(folder, "objective.encoder.num_frames=128")
    sample = take_sample(config, open_storage(str(folder)))
    assert len(sample.frames) == 128 and len(sample.transform.windows) == 1


def test_a_sample_is_cut_as_in_the_run_and_not_augmented_further(folder: Path) -> None:
    words = "data.augment={resized_crop: {}, flip: 1.0, rand_augment: {}, erase: {}}"
    sample = take_sample(recipe(folder, words), open_storage(str(folder)))
    assert not sample.transform.changes_pixels
    assert not np.array_equal(sample.transform.windows, sample_of(folder).transform.windows)


def test_stills_are_of_one_picture_in_a_sample(tmp_path: Path) -> None:
    photos = {f"p{number}": [(0, 1)] for number in range(40)}
    write_corpus(
        tmp_path, {"knee": [{"a": [(0, 40)]}], "photos": [photos]}, picture=picture,
        stills=["photos"],
    )  # fmt: skip
    sample = sample_of(tmp_path)
    num_stills = int(sample.stills.sum())
    assert 0 < num_stills < 16 and len(sample.stills) == 16
    assert len(sample.frames) == num_stills + (16 - num_stills) * NUM_FRAMES
    found = sample.decoded(ON_CPU, CPU)
    assert found.shape == (16, 3, NUM_FRAMES, SIZE, SIZE)
    for clip, is_still in zip(found, sample.stills, strict=True):
        assert (clip == clip[:, :1]).all() == is_still


def on_gpu(sample: decoding.Sample, *, whole_frames: bool) -> Pixels:
    """What the GPU's graph makes of a sample, run on the CPU."""
    graph = Graph(
        clips_graph,
        image_size=SIZE,
        whole_frames=whole_frames,
        device="cpu",
        batch_size=len(sample.frames),
        num_threads=1,
        device_id=None,
    )
    corners = sample.transform.windows.reshape(-1, 2, 2)[:, :, ::-1]
    corners = np.repeat(corners, NUM_FRAMES, axis=0)
    start, end = (np.ascontiguousarray(corners[:, i]) for i in (0, 1))
    images = graph.run(jpeg=list(sample.frames), start=start, end=end)
    pixels = np.array(images.as_tensor()).reshape(-1, NUM_FRAMES, 3, SIZE, SIZE)
    return pixels.transpose(0, 2, 1, 3, 4)


@pytest.mark.parametrize("whole_frames", [True, False])
def test_the_gpu_s_graph_gives_near_enough_pixels(whole_frames: bool, folder: Path) -> None:
    sample = sample_of(folder)
    expected = sample.decoded(ON_CPU, CPU)
    found = on_gpu(sample, whole_frames=whole_frames)
    assert difference(found, expected) == ""
    assert np.abs(found - expected).max() > 0, "it is another one than the CPU's"


LEVEL = 1 / (255 * np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1))
"""A grey level of each channel, normalised."""


@pytest.mark.parametrize(
    ("levels", "rows", "near"),
    [(1.4, SIZE, True), (-1.4, SIZE, True), (1.6, SIZE, False), (15, 3, True), (40, 1, False)],
)
def test_one_frame_that_is_off_is_seen_among_all(levels: float, rows: int, near: bool) -> None:
    expected = np.zeros((4, 3, 16, SIZE, SIZE), np.float32)
    found = expected.copy()
    found[2, :, 5, :rows] += levels * LEVEL
    assert (difference(found, expected) == "") == near


def test_the_difference_is_told_in_grey_levels() -> None:
    expected = np.zeros((1, 3, 1, SIZE, SIZE), np.float32)
    assert difference(expected + 20 * LEVEL[:, None], expected) == (
        "GPU decoding gave other pixels than the CPU's: a frame is 20.0 grey levels off (expected at most 1.5), "
        "100.0% of its values by more than 16 (expected at most 2%)"
    )
    assert "clips of shape (1, 3, 1, 31, 32)" in difference(expected[..., 1:, :], expected)


@pytest.mark.slow
def test_a_child_decodes_and_its_pixels_are_the_cpu_s(folder: Path) -> None:
    assert gpu_problem(sample_of(folder), ON_CPU, CPU, 120) == ""


def test_what_becomes_of_the_child_is_the_end_of_the_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_child(action: Any, seconds: float) -> Pixels:
        assert seconds == 7
        with pytest.raises(DecodeError, match="expected a GPU"):
            action()
        raise PreflightError("ended with signal 11 (SIGSEGV)")

    monkeypatch.setattr(decoding, "in_child", in_child)
    assert gpu_problem(sample_of(folder), DecodeConfig(device="gpu"), CPU, 7) == SEGFAULT


@pytest.mark.gpu
def test_the_gpu_decodes(folder: Path) -> None:
    whole_frames = DecodeConfig(device="gpu")
    assert gpu_problem(sample_of(folder), whole_frames, torch.device("cuda", 0), 120) == ""


def test_a_picture_that_nobody_can_decode_is_not_the_gpu_s_fault(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    found = gpu_problem(sample_of(tmp_path), DecodeConfig(device="gpu"), CPU, 1)
    assert found.startswith("GPU decoding was not tried, since the CPU cannot decode its sample: ")


@pytest.fixture(scope="module")
def meeting() -> Rendezvous:
    return Rendezvous(RankInfo(), 10)


@pytest.mark.parametrize(
    ("device", "local_rank", "visible", "found"),
    [
        ("auto", 0, "cuda", GpuDecoding(problem=SEGFAULT, is_asked_for=False)),
        ("gpu", 0, "cuda", GpuDecoding(problem=SEGFAULT, is_asked_for=True)),
        ("cpu", 0, "cuda", None),
        ("auto", 1, "cuda", None),
        ("auto", 0, "cpu", None),
        ("gpu", 1, "cpu", GpuDecoding(problem=decoding.NO_GPU, is_asked_for=True)),
    ],
)
def test_one_gpu_a_node_is_tried_where_the_recipe_lets_it_decode(
    device: str,
    local_rank: int,
    visible: str,
    found: GpuDecoding | None,
    folder: Path,
    meeting: Rendezvous,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = recipe(folder, f"data.decode.device={device}")

    def problem(sample: decoding.Sample, tried: DecodeConfig, gpu: torch.device, _: float) -> str:
        assert len(sample.frames) == 64 and gpu.type == "cuda"
        assert tried == replace(config.data.decode, device="gpu")
        return SEGFAULT

    monkeypatch.setattr(decoding, "gpu_problem", problem)
    monkeypatch.setattr(RankInfo, "device", torch.device(visible, 0))
    monkeypatch.setattr(meeting, "rank_info", RankInfo(local_rank=local_rank))
    checks = Checklist(meeting, CPU, 30)
    assert examine_decoding(config, meeting, checks, Corpora(config)) == found
    assert not checks.failures


def tried(num_nodes: int, *problems: str, is_asked_for: bool = False) -> list[RankReport]:
    """A cluster of eight GPUs a node, the first of which has been tried."""
    reports = cluster(num_nodes)
    for node, problem in enumerate(problems):
        result = GpuDecoding(problem=problem, is_asked_for=is_asked_for)
        reports[8 * node] = replace(reports[8 * node], decoding=result)
    return reports


@pytest.mark.parametrize(
    ("reports", "decodes"),
    [
        (tried(2, "", ""), True),
        (tried(2, "", SEGFAULT), False),
        (tried(2, ""), False),
        (tried(2), False),
    ],
    ids=["all", "one crashed", "one was not tried", "none was tried"],
)
def test_gpus_decode_when_that_of_every_node_was_seen_to(
    reports: list[RankReport], decodes: bool
) -> None:
    assert gpu_decodes(reports) == decodes


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_a_gpu_that_crashes_forbids_a_run_that_asks_for_it_alone(is_asked_for: bool) -> None:
    reports = tried(2, "", SEGFAULT, is_asked_for=is_asked_for)
    (problem,) = find_problems(reports, NEEDS)
    assert problem.fatal == is_asked_for and problem.ranks == (8,) and problem.check == "decode"
    assert problem.sentence == SEGFAULT + (
        "; set data.decode.device=cpu"
        if is_asked_for
        else "; the run decodes on the CPU; set data.decode.device=cpu"
    )


def test_the_table_says_where_a_run_decodes() -> None:
    assert "JPEGs are decoded on the GPUs" in render(tried(2, "", ""), [])
    assert "JPEGs are decoded on the CPUs" in render(tried(2, "", SEGFAULT), [])
    assert "decoded" not in render(tried(2), [])


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["", SEGFAULT])
def test_what_preflight_has_seen_goes_with_the_run(
    problem: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examined(*_: Any) -> GpuDecoding:
        return GpuDecoding(problem=problem, is_asked_for=False)

    monkeypatch.setattr("surgstream.trainer.preflight.examination.examine_decoding", examined)
    monkeypatch.setattr("surgstream.trainer.preflight.examination.MEASURE_SECONDS", 0.1)
    config = recipe(folder, f"run_dir={tmp_path / 'run'}")
    try:
        rank_info = preflight(config, RankInfo(), with_step=False)
    finally:
        leave()
    assert rank_info == RankInfo(gpu_decodes=not problem)
