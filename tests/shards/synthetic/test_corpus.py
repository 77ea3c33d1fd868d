"""The corpus that `surgstream synth` makes, as its user finds it."""

import csv
import math
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from surgstream.launch.__main__ import main
from surgstream.shards.synthetic.clock import read_frame_number
from surgstream.shards.synthetic.config import FPS, SynthConfig
from surgstream.shards.synthetic.corpus import write_video
from surgstream.shards.synthetic.description import corpus_file, readme
from surgstream.shards.synthetic.exercises import EXERCISES
from surgstream.shards.synthetic.film import CLASSES
from surgstream.shards.synthetic.planning import VideoJob, plan
from surgstream.shards.synthetic.procedures import DATASETS
from tests.shards.synthetic.test_clock import through_jpeg

pytestmark = pytest.mark.slow

SECONDS, SEED = 1.5, 3


@dataclass(frozen=True)
class Video:
    """One video of the corpus and what lies beside it."""

    root: Path
    dataset: dict
    path: Path

    @property
    def id(self) -> str:
        return self.path.stem

    @cached_property
    def pictures(self) -> np.ndarray:
        return decode(self.path, "rgb24")

    @cached_property
    def masks(self) -> np.ndarray:
        return decode(self.path.parent.parent / "masks" / f"{self.id}.mkv", "gray")

    @cached_property
    def depth(self) -> np.ndarray:
        return decode(self.path.parent.parent / "depth" / f"{self.id}.mkv", "gray16le")

    @cached_property
    def labels(self) -> list[dict[str, str]]:
        with (self.root / self.dataset["labels"]["phase"].format(video=self.id)).open(
            newline=""
        ) as file:
            return list(csv.DictReader(file))


def decode(path: Path, pixel_format: str) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack(
            [frame.to_ndarray(format=pixel_format) for frame in container.decode(video=0)]
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "corpus"
    assert main(["synth", str(out), "--seconds", str(SECONDS), "--seed", str(SEED)]) == 0
    return out


@pytest.fixture(scope="module")
def corpus(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "corpus.yaml").read_text())


@pytest.fixture(scope="module")
def videos(root: Path, corpus: dict[str, Any]) -> list[Video]:
    """Those of operations, which are trained on."""
    return videos_of(root, corpus)


@pytest.fixture(scope="module")
def all_videos(root: Path) -> list[Video]:
    return videos_of(root, yaml.safe_load((root / "evaluate.yaml").read_text()))


def videos_of(root: Path, corpus: dict[str, Any]) -> list[Video]:
    return [
        Video(root, dataset, path)
        for dataset in corpus["datasets"]
        for path in sorted(root.glob(dataset["videos"]))
    ]


def test_the_corpus_file_describes_datasets_of_unequal_sizes(
    root: Path, corpus: dict[str, Any]
) -> None:
    datasets = corpus["datasets"]
    sizes = [len(list(root.glob(dataset["videos"]))) for dataset in datasets]
    assert len(datasets) >= 4
    assert len({dataset["name"] for dataset in datasets}) == len(datasets)
    assert len({dataset["specialty"] for dataset in datasets}) >= 3
    assert 10 <= sum(sizes) <= 14
    assert len(set(sizes)) > 1
    assert sum(sizes) == sum(len(list(root.glob(f"{each.name}/*/*.mp4"))) for each in DATASETS)
    for dataset in datasets:
        assert set(dataset) == {
            "name",
            "specialty",
            "procedure",
            "videos",
            "hold_out",
            "labels",
            "licence",
        }


def test_every_dataset_holds_out_some_videos_and_keeps_some(
    root: Path, corpus: dict[str, Any]
) -> None:
    for dataset in corpus["datasets"]:
        ids = {path.stem for path in root.glob(dataset["videos"])}
        assert len(ids) >= 2
        assert set() < set(dataset["hold_out"]) < ids
        assert dataset["hold_out"] == sorted(ids)[-len(dataset["hold_out"]) :]


def test_videos_are_h264_at_25_fps_of_unequal_lengths_and_sizes(videos: list[Video]) -> None:
    sizes, seconds = set(), []
    for video in videos:
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert stream.average_rate == FPS == 25
            sizes.add((stream.width, stream.height))
            seconds.append(stream.frames / FPS)
    assert len(sizes) >= 3
    assert len(set(seconds)) > len(seconds) / 2
    assert np.mean(seconds) == pytest.approx(SECONDS, abs=0.02)


def test_all_that_is_made_is_evaluated_on(root: Path, all_videos: list[Video]) -> None:
    assert sorted(video.path for video in all_videos) == sorted(root.rglob("*.mp4"))
    for dataset in yaml.safe_load((root / "evaluate.yaml").read_text())["datasets"]:
        assert "hold_out" not in dataset


def test_every_frame_tells_its_number_even_small_and_as_jpeg(all_videos: list[Video]) -> None:
    for video in all_videos:
        for number, picture in enumerate(video.pictures):
            assert read_frame_number(picture) == number
            assert read_frame_number(through_jpeg(picture, short_side=80)) == number


def test_every_second_has_a_phase_in_the_order_of_the_procedure(all_videos: list[Video]) -> None:
    procedures = {dataset.name: dataset.procedure for dataset in (*DATASETS, *EXERCISES)}
    for video in all_videos:
        order = [phase.name for phase in procedures[video.dataset["name"]].phases]
        places = [order.index(row["phase"]) for row in video.labels]
        assert [int(row["second"]) for row in video.labels] == list(
            range(math.ceil(len(video.pictures) / FPS))
        )
        assert places == sorted(places)


def test_a_triplet_stands_for_every_instrument_in_the_mask_and_for_no_other(
    all_videos: list[Video],
) -> None:
    seen = 0
    for video in all_videos:
        for row in video.labels:
            triplets = [triplet.split("/") for triplet in row["triplets"].split(";") if triplet]
            mask = video.masks[int(row["second"]) * FPS]
            assert {CLASSES[instrument] for instrument, _, _ in triplets} == set(
                np.unique(mask)
            ) - {0}
            assert all(
                (verb == "null_verb") == (target == "null_target") for _, verb, target in triplets
            )
            seen += len(triplets)
    assert seen > 10


def test_masks_and_depth_fit_the_pictures(all_videos: list[Video]) -> None:
    for video in all_videos:
        assert video.masks.shape == video.depth.shape == video.pictures.shape[:3]
        assert video.depth.dtype == np.uint16
        inside = video.depth > 0
        assert np.all(inside[video.masks > 0])
        assert 0.4 < inside.mean() < 0.9
        assert np.array_equal(inside, np.broadcast_to(inside[:1], inside.shape))
        brightness = video.pictures.mean(axis=-1)
        assert brightness[:, inside[0]].mean() > 50
        height, width = inside.shape[1:]
        rim = brightness[:, ~inside[0] & ~corners(height, width)]
        assert rim.mean() < 8


def test_videos_move_and_do_not_flicker(videos: list[Video]) -> None:
    for video in videos:
        pictures = video.pictures[:, ::2, ::2].astype(np.float32)
        next_frame = np.abs(pictures[1:] - pictures[:-1]).mean()
        after_a_while = np.abs(pictures[15:] - pictures[:-15]).mean()
        assert next_frame > 0.2
        assert after_a_while > 1.5 * next_frame


@pytest.mark.parametrize("dataset", [dataset.name for dataset in (*DATASETS, *EXERCISES)])
def test_the_same_seed_and_length_give_the_same_bytes(
    root: Path, tmp_path: Path, dataset: str
) -> None:
    job = next(
        job for job in plan(SynthConfig(seconds=SECONDS, seed=SEED)) if job.dataset.name == dataset
    )
    again = written_alone(job, tmp_path)
    assert len(again) == 4
    assert again == {path: (root / dataset / path).read_bytes() for path in again}


def test_another_seed_gives_another_corpus(root: Path, tmp_path: Path) -> None:
    job = plan(SynthConfig(seconds=SECONDS, seed=SEED + 1))[0]
    for path, data in written_alone(job, tmp_path).items():
        assert data != (root / job.dataset.name / path).read_bytes()


def test_a_folder_that_is_not_empty_is_left_alone(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(root.rglob("*"))
    assert main(["synth", str(root), "--seconds", "1"]) == 1
    assert capsys.readouterr().err == (
        f"surgstream synth: {root}: exists and is not empty; choose another folder or delete it\n"
    )
    assert sorted(root.rglob("*")) == before


def start_synth(*words: str) -> subprocess.Popen[str]:
    """Start `surgstream synth` in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "surgstream", "synth", *words],
        cwd=Path(__file__).parents[3],
        start_new_session=True,
        # As a terminal leaves it: a shell's background commands, and what they start, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_leaves_no_process_and_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start_synth(out, "--seconds", "60")
    deadline = time.monotonic() + 60
    while not list(out.rglob("*.mp4")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (process.send_signal if how == signal.SIGKILL else partial(os.killpg, process.pid))(how)
    _, errors = process.communicate(timeout=30)  # until the last worker has closed its end
    assert "Traceback" not in errors
    assert out.exists() == (how == signal.SIGKILL)
    if out.exists():
        monkeypatch.chdir(out)
        assert main(["synth", ".", "--seconds", "0.1"]) == 0
        datasets = {dataset.name for dataset in (*DATASETS, *EXERCISES)}
        described = {"README.md", "corpus.yaml", "evaluate.yaml"}
        assert {path.name for path in out.iterdir()} == datasets | described


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "inf", "1e9"])
def test_a_length_that_makes_no_corpus_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["synth", str(tmp_path / "out"), f"--seconds={seconds}"])
    assert "--seconds: expected 0.1 to " in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path: Path) -> None:
    command = (
        "import sys; from surgstream.launch.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, "synth", str(tmp_path / "out"), "--seconds", "0.3"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"\nsurgstream synth: {tmp_path / 'out'}: could not write the corpus: File too large\n"
    )
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def written_alone(job: VideoJob, folder: Path) -> dict[Path, bytes]:
    """What one video's files hold when they are written by this process, without the pool."""
    place = folder / job.dataset.name
    for kind in ("videos", "labels", "masks", "depth"):
        (place / kind).mkdir(parents=True)
    write_video(folder, job, lambda frames: None)
    return {path.relative_to(place): path.read_bytes() for path in place.rglob("*.*")}


def corners(height: int, width: int) -> np.ndarray:
    """Where the squares of the frame number stand, with a little room around them."""
    side = min(height, width) / 16 * 3 + 4
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    return (np.minimum(rows, height - 1 - rows) < side) & (
        np.minimum(columns, width - 1 - columns) < side
    )


def test_more_videos_without_what_gives_phases_away(tmp_path: Path) -> None:
    config = SynthConfig(seconds=0.1, times=2, frame_numbers=False)
    jobs = plan(config)
    described = yaml.safe_load(corpus_file(jobs, config.times))["datasets"]
    for dataset, made in zip(described, DATASETS, strict=True):
        videos = [job for job in jobs if job.dataset is made]
        assert len(videos) == 2 * made.num_videos
        assert len(dataset["hold_out"]) == 2 * made.num_held_out

        for kind in ("videos", "labels", "masks", "depth"):
            (tmp_path / made.name / kind).mkdir(parents=True)
        write_video(tmp_path, videos[-1], lambda _: None)
        with pytest.raises(ValueError, match="found none that check out"):
            read_frame_number(
                decode(tmp_path / made.name / "videos" / f"{videos[-1].video}.mp4", "rgb24")[0]
            )
    page = readme(jobs, config)
    assert "--times 2 --no-frame-numbers" in page and "Squares" not in page


@pytest.mark.parametrize("times", ["0", "21"])
def test_other_numbers_of_videos_are_refused(
    times: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["synth", str(tmp_path / "out"), "--times", times])
    assert (
        f"--times: expected a whole number from 1 to 20, got '{times}'" in capsys.readouterr().err
    )


def test_one_dataset_is_the_same_whatever_else_is_made(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--datasets", "foxglove", "--seconds", str(SECONDS), "--seed", str(SEED)]
    assert main(["synth", str(out), *words]) == 0
    assert "1 dataset, 2 videos" in capsys.readouterr().out

    made = sorted(path.relative_to(out) for path in (out / "foxglove").rglob("*.*"))
    assert len(made) == 4 * 2
    for path in made:
        assert (out / path).read_bytes() == (root / path).read_bytes(), path
    for name in ("corpus.yaml", "evaluate.yaml"):
        (dataset,) = yaml.safe_load((out / name).read_text())["datasets"]
        assert dataset["name"] == "foxglove"
    assert "larkspur" not in (out / "README.md").read_text()


def test_a_dataset_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", str(tmp_path / "out"), "--datasets", "larkspr"]) == 2
    assert "got 'larkspr'; did you mean 'larkspur'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
