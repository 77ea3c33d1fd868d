"""Dense probes of a tiny encoder on a handmade corpus with masks: ranks, kills, and what is kept."""

import io
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image

from surgstream.launch.__main__ import main
from surgstream.trainer.evaluation.metrics.samples import LabelSpace
from surgstream.trainer.evaluation.predictions.maps import read_maps
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus
from tests.helpers.layers import write_layer
from tests.helpers.ranks import finish, kill, start_ranks, surgstream, wait_for

pytestmark = pytest.mark.slow

SPLITS = {"train": ["a0", "a1", "a2"], "val": ["b0"], "test": ["c0", "c1"]}
NUM_FRAMES = 8
SPACE = LabelSpace(kind="mask", classes=("patch",))

TASK: dict[str, Any] = {
    "name": "made_up_patches",
    "version": 1,
    "title": "Made-up patches",
    "dataset": "larks",
    "kind": "mask",
    "layer": "mask",
    "classes": ["patch"],
    "split": {**SPLITS, "source": "Made up."},
    "clip": {"num_frames": 1, "stride": 1},
    "metrics": ["dice"],
    "main": "dice",
}
PROTOCOL = {
    "readout": {
        "name": "dense_linear",
        "grid": {"lrs": [1e-1, 1e-2], "weight_decays": [1e-3]},
    },
    "weights": "pixels",
    "encoder": {"image_size": 64, "num_frames": 1},
    "global_batch_size": 8,
    "micro_batch_size": 2,
    "epochs": 10,
    "validate_every_epochs": 5,
    "report_every_steps": 5,
    "data": {"order": {"open_chunks": 4, "chunk_frames": 6}, "decode": {"threads": 1}},
}


def mask(_dataset: str, video: str, frame: int) -> npt.NDArray[np.uint8]:
    """A rectangle that depends on the frame."""
    rng = np.random.default_rng([frame, *video.encode()])
    row, column = int(rng.integers(0, 3)) * 12, int(rng.integers(0, 4)) * 12
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[row : row + 20, column : column + 24] = 1
    return found


def picture(dataset: str, video: str, frame: int) -> bytes:
    """A frame whose pixels are red where the mask is."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pixels[mask(dataset, video, frame) > 0] = (220, 40, 40)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95)
    return content.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("patches")
    shards = root / "shards"
    shards.mkdir()
    videos = [video for ids in SPLITS.values() for video in ids]
    layout = {"larks": [{video: [(0, NUM_FRAMES)]} for video in videos]}
    write_corpus(shards, layout, fps=1.0, picture=picture)
    write_layer(shards, "mask", mask)
    (root / "task.yaml").write_text(yaml.safe_dump(TASK))
    (root / "protocol.yaml").write_text(yaml.safe_dump(PROTOCOL))
    return root


def begin(root: Path, run_dir: Path, world_size: int, *overrides: str) -> list[BaseProcess]:
    words = [
        "probe", str(root / "protocol.yaml"), f"task={root / 'task.yaml'}",
        f"data.corpus={root / 'shards'}", f"run_dir={run_dir}", *overrides,
    ]  # fmt: skip
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    return start_ranks(surgstream, world_size, (words, str(run_dir.with_suffix(".log"))))


def done(
    root: Path, run_dir: Path, world_size: int, *overrides: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Run a probe to its end; the predicted pictures of each test video."""
    statuses = finish(begin(root, run_dir, world_size, *overrides))
    assert statuses == [0] * world_size, run_dir.with_suffix(".log.rank0").read_text()
    maps = read_maps(run_dir / "predictions" / "test.npz")
    found = {}
    for video, predicted in maps.predictions.videos.items():
        assert predicted.predicted is not None
        numbers = predicted.predicted.tolist()
        found[video] = np.stack([maps.read(number, SPACE) for number in numbers])
    return found


def assert_alike(
    one: dict[str, npt.NDArray[np.float64]], other: dict[str, npt.NDArray[np.float64]]
) -> None:
    assert one.keys() == other.keys() == {*SPLITS["test"]}
    for video, pictures in one.items():
        assert pictures.shape == (NUM_FRAMES, HEIGHT, WIDTH)
        # Pictures have steps of 1/255
        assert abs(pictures - other[video]).max() <= 1.5 / 255, video


def test_two_ranks_are_one_and_learn_the_masks(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = done(root, tmp_path / "one", 1)
    assert_alike(one, done(root, tmp_path / "two", 2))

    for video, pictures in one.items():
        truth = np.stack([mask("larks", video, frame) for frame in range(NUM_FRAMES)])
        predicted = pictures > 0.5
        common = (predicted & (truth > 0)).sum()
        assert 2 * common / (predicted.sum() + (truth > 0).sum()) > 0.7

    # Asked once: what is there stays as it is
    file = tmp_path / "one" / "predictions" / "test.npz"
    before = file.stat().st_mtime_ns
    assert finish(begin(root, tmp_path / "one", 1)) == [0]
    assert file.stat().st_mtime_ns == before

    words = ["evaluate", str(root / "task.yaml"), str(file), "--corpus", str(root / "shards")]
    assert main(words) == 0
    assert "dice" in capsys.readouterr().out


def test_a_killed_probe_goes_on_as_if_it_had_not_been(root: Path, tmp_path: Path) -> None:
    whole = done(root, tmp_path / "whole", 1)

    run_dir = tmp_path / "killed"
    ranks = begin(root, run_dir, 1, "save_every_minutes=0.001")
    wait_for(lambda: any((run_dir / "checkpoints").glob("step_*")))
    kill(ranks)
    assert_alike(whole, done(root, run_dir, 1))


def test_ranks_and_kills_change_nothing_where_steps_draw_sizes(root: Path, tmp_path: Path) -> None:
    """Each size of an untrained transformer has other tokens, so another draw would show."""
    shape = "{embed_dim: 32, depth: 4, num_heads: 2, image_size: 32, num_frames: 2, patch_size: 8}"
    words = (
        "weights=random", f"encoder.shape={shape}", "encoder.interpolate=true", "encoder.num_frames=2",
        "readout.grid.lrs=[0.1]", "epochs=4",
    )  # fmt: skip
    sizes = "readout.image_scales=[0.5, 1, 1.5]"
    one = done(root, tmp_path / "one", 1, *words)
    whole = done(root, tmp_path / "whole", 1, *words, sizes)

    run_dir = tmp_path / "killed"
    ranks = begin(root, run_dir, 2, *words, sizes, "save_every_minutes=0.001", "micro_batch_size=1")
    wait_for(lambda: any((run_dir / "checkpoints").glob("step_*")))
    kill(ranks)
    assert_alike(done(root, run_dir, 2, *words, sizes), whole)
    assert max(abs(one[video] - whole[video]).max() for video in one) > 10 / 255


def test_a_readout_of_rows_is_refused(root: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "rows"
    assert finish(begin(root, run_dir, 1, "readout={name: linear}")) != [0]
    told = run_dir.with_suffix(".log.rank0").read_text()
    assert "readout: expected dense_linear or dense_dpt" in told
