"""Still images from a release's folders to numbers: made-up polyps and C3VD, as the preset packs them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image

from surgstream.launch.__main__ import main
from tests.helpers.layers import distances, pictures_in
from tests.helpers.ranks import finish, start
from tests.helpers.videos import picture_of

pytestmark = pytest.mark.slow

TRAIN = (*(f"cju{n}" for n in range(12)), *map(str, range(1, 9)))
TESTS = {
    "CVC-300": 2,
    "CVC-ClinicDB": 3,
    "CVC-ColonDB": 3,
    "ETIS-LaribPolypDB": 2,
    "Kvasir": 2,
}


def mask(id: str) -> npt.NDArray[np.bool_]:
    """A disc; of images with the same number in two sets it is another one."""
    draws = np.random.default_rng([*id.encode()])
    height, width = 48, int(draws.integers(56, 72))
    row, column = draws.integers(16, 32), draws.integers(20, 36)
    rows, columns = np.mgrid[:height, :width]
    found: npt.NDArray[np.bool_] = (rows - row) ** 2 + (columns - column) ** 2 < 15**2
    return found


def is_green(id: str) -> bool:
    return len(id) % 2 == 0 if id.startswith("Train") else int(id[-1]) % 2 == 0


def lay_polyps(root: Path, training_folders: tuple[str, str] = ("image", "mask")) -> list[str]:
    """Write images and masks in the folders of the release; returns the ids that they should have."""
    train = root / "Polyps" / "TrainDataset"
    places = {
        f"TrainDataset_{name}": (train / training_folders[0], train / training_folders[1], name)
        for name in TRAIN
    }
    for name, count in TESTS.items():
        folder = root / "Polyps" / "TestDataset" / name
        for n in map(str, range(1, count + 1)):
            places[f"{name}_{n}"] = (folder / "images", folder / "masks", n)

    for id, (images, masks, name) in places.items():
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        true = mask(id)
        picture = np.full((*true.shape, 3), 60, np.uint8)
        picture[true] = (40, 220, 40) if is_green(id) else (220, 40, 40)
        Image.fromarray(picture).save(images / f"{name}.png")
        Image.fromarray((true * 255).astype(np.uint8)).save(masks / f"{name}.png")
    return sorted(places)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stills")
    ids = lay_polyps(root / "raw")
    pack(root / "raw", root / "shards", "polyps")

    (root / "labels" / "polyps").mkdir(parents=True)
    lines = [f"{id},{'green' if is_green(id) else 'red'}" for id in ids]
    (root / "labels" / "polyps" / "colour.csv").write_text("\n".join(["video,colour", *lines, ""]))
    return root


def pack(raw: Path, out: Path, *datasets: str) -> None:
    words = ["pack", "evaluate", str(out), "--root", str(raw), "--datasets", ",".join(datasets)]
    assert main([*words, "short_side=1080"]) == 0


def masks_in(corpus: Path) -> Mapping[str, npt.NDArray[np.bool_] | None]:
    return {
        id: None if picture is None else picture > 127
        for (_, id, _), picture in pictures_in(corpus, "mask").items()
    }


@pytest.mark.parametrize("training_folders", [("image", "mask"), ("images", "masks")])
def test_each_polyp_has_its_own_mask(
    training_folders: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Sets number their images alike, and a mask that is lost is none, not that of another set."""
    ids = lay_polyps(tmp_path / "raw", training_folders)
    (tmp_path / "raw/Polyps/TestDataset/CVC-300/masks/1.png").unlink()
    pack(tmp_path / "raw", tmp_path / "shards", "polyps")
    assert f"polyps: expected 2248 videos, got {len(ids)}" in caplog.text

    found = masks_in(tmp_path / "shards")
    assert sorted(found) == ids
    for id, picture in found.items():
        if id == "CVC-300_1":
            assert picture is None
        else:
            assert picture is not None and (picture == mask(id)).all(), id


def test_sequences_of_c3vd_have_their_depth(tmp_path: Path) -> None:
    for sequence in ("cecum_t1_a", "desc_t4_a", "screening_1"):
        folder = tmp_path / "raw" / "C3VD" / sequence
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(picture_of(number)).save(folder / f"{number:04d}_color.png")
            Image.fromarray(distances(number)).save(folder / f"{number:04d}_depth.tiff")
            Image.fromarray(distances(number)).save(folder / f"{number:04d}_normals.tiff")
    pack(tmp_path / "raw", tmp_path / "shards", "c3vd")

    found = pictures_in(tmp_path / "shards", "depth")
    assert {key[1] for key in found} == {"cecum_t1_a", "desc_t4_a"} and len(found) == 6
    for (_, _, frame), picture in found.items():
        assert picture is not None
        assert np.abs(picture / 100 - distances(frame) / 65535 * 100).max() <= 0.005 + 1e-9


def probe(root: Path, run_dir: Path, *words: str) -> Path:
    """Probe raw pixels on the packed images; returns the test predictions."""
    common = [
        f"data.corpus={root / 'shards'}", f"run_dir={run_dir}", "weights=pixels",
        "encoder.image_size=64", "encoder.num_frames=4", "micro_batch_size=4",
    ]  # fmt: skip
    log = run_dir.with_suffix(".log")
    assert finish(start(["probe", *words, *common], 1, log)) == [0], _said(log)
    return run_dir / "predictions" / "test.npz"


def _said(log: Path) -> str:
    return "".join(path.read_text() for path in log.parent.glob(f"{log.name}*"))


def evaluated(out: Path, *words: str) -> Iterator[tuple[str, str]]:
    """Score predictions; the text of each file that is written."""
    assert main(["evaluate", *words, "--out", str(out)]) == 0
    for name in ("result.json", "table.md", "report.html"):
        yield name, (out / name).read_text()


def test_masks_of_stills_are_learned_and_each_set_is_scored(root: Path, tmp_path: Path) -> None:
    predicted = probe(
        root, tmp_path / "run", "dense_tiny", "task=polyp_masks", "readout.grid.lrs=[0.1]",
        "clips_per_epoch=320", "epochs=2",
    )  # fmt: skip
    words = ("polyp_masks", str(predicted), "--corpus", str(root / "shards"))
    texts = dict(evaluated(tmp_path / "result", *words))

    result = json.loads(texts["result.json"])
    assert {part["title"]: part["num_videos"] for part in result["parts"].values()} == TESTS
    values = {id: value["value"] for id, value in result["rows"][0]["values"].items()}
    constant = result["rows"][1]["values"]
    assert values["dice"] > 0.4 > constant["dice"]["value"]
    # The whole is the mean over all images
    of_sets = [
        part["num_videos"] * values[f"dice_{name}"] for name, part in result["parts"].items()
    ]
    assert values["dice"] == pytest.approx(sum(of_sets) / sum(TESTS.values()))
    for name in ("table.md", "report.html"):
        assert "dice_clinic, %" in texts[name] and "CVC-ColonDB 3 of 380" in texts[name]


def test_classes_of_stills_are_learned(root: Path, tmp_path: Path) -> None:
    task = {
        "name": "colours",
        "version": 1,
        "title": "Colours of made-up polyps",
        "dataset": "polyps",
        "kind": "class",
        "labels": {"files": "polyps/colour.csv", "column": "colour"},
        "classes": ["red", "green"],
        "split": {"train": ["TrainDataset_*"], "test": ["CVC-*", "Kvasir_*"], "source": "Ours."},
        "clip": {"num_frames": 4, "stride": 0},
        "parts": {"cvc": {"videos": ["CVC-*"], "expected": 8}},
        "metrics": ["accuracy"],
        "main": "accuracy",
    }
    (tmp_path / "colours.yaml").write_text(yaml.safe_dump(task))
    labels = str(root / "labels")
    predicted = probe(
        root, tmp_path / "run", "probe_linear", f"task={tmp_path / 'colours.yaml'}", f"labels={labels}",
        "readout.grid.lrs=[0.1]", "readout.grid.weight_decays=[0.0]", "epochs=20", "global_batch_size=16",
    )  # fmt: skip
    words = (str(tmp_path / "colours.yaml"), str(predicted), "--labels", labels)
    result = json.loads(dict(evaluated(tmp_path / "result", *words))["result.json"])
    assert result["num_videos"] == 10 and result["parts"]["cvc"]["num_videos"] == 8
    assert result["rows"][0]["values"]["accuracy_cvc"]["value"] == 1.0
