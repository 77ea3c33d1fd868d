"""Images beside videos in one corpus and one order, from a folder of pictures to runs that are resumed."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import yaml
from PIL import Image

import surgstream
from surgstream.launch.__main__ import main
from tests.end_to_end.conftest import PACKING, Corpora
from tests.end_to_end.runs import audit, metrics, newest, planned, train, words
from tests.end_to_end.test_loader_speed import measure
from tests.helpers.videos import picture_of

VIDEOS = ("foxglove", "speedwell")
IMAGES = [f"image_{number:02d}" for number in range(24)]
WEIGHTS = "data.order.weights={foxglove: 1, photographs: 2, speedwell: 1}"
PERIOD = Counter(foxglove=1, photographs=2, speedwell=1)


@pytest.fixture(scope="module")
def mixed(corpora: Corpora, tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    """Two datasets of synthetic videos and one of PNGs and JPEGs, which `min_seconds` does not leave out."""
    root = tmp_path_factory.mktemp("mixed")
    (root / "images").mkdir()
    for number, name in enumerate(IMAGES):
        picture = Image.fromarray(picture_of(number, 120 + number, 90))
        picture.save(root / "images" / f"{name}.{'png' if number % 2 else 'jpg'}")

    described = yaml.safe_load((corpora.videos / "corpus.yaml").read_text())
    datasets = [
        {
            **{key: each[key] for key in ("name", "specialty", "procedure", "licence", "hold_out")},
            "videos": str(corpora.videos / each["videos"]),
        }
        for each in described["datasets"]
        if each["name"] in VIDEOS
    ]
    datasets.append(
        {
            "name": "photographs", "specialty": "photographs", "procedure": "any",
            "licence": "CC0-1.0", "videos": ["images/*.png", "images/*.jpg"], "stills": True,
        }
    )  # fmt: skip
    (root / "corpus.yaml").write_text(yaml.safe_dump({"datasets": datasets}))

    packing = [str(root / "corpus.yaml"), str(root / "shards"), *PACKING, "min_seconds=1"]
    assert main(["pack", *packing]) == 0
    return replace(corpora, train=root / "shards")


def test_a_run_takes_both_by_their_weights_through_an_elastic_resume(
    mixed: Corpora, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = (WEIGHTS, "max_steps=3", "checkpoint.every_steps=3")
    train(mixed, run, 2, *first)
    plan = planned(mixed, run, 3 * 16, 2, *first)

    checkpoint = newest(run)
    assert checkpoint
    # Three ranks of another batch go on
    then = (WEIGHTS, "max_steps=6", "global_batch_size=12", "micro_batch_size=2")
    train(mixed, run, 3, *then)
    plan += planned(mixed, run, 3 * 12, 3, *then, checkpoint=checkpoint)

    found = audit(run)
    assert found == plan
    assert [entry["g"] for entry in found] == list(range(3 * 16 + 3 * 12))
    for start in range(0, len(found), PERIOD.total()):
        drawn = found[start : start + PERIOD.total()]
        assert Counter(entry["dataset"] for entry in drawn) == PERIOD

    images = [entry for entry in found if entry["dataset"] == "photographs"]
    assert sorted(entry["video"] for entry in images[: len(IMAGES)]) == IMAGES, "each once"
    assert {entry["anchor_frame"] for entry in images} == {0}
    assert metrics(run)[-1]["step"] == 6

    # An image is no footage
    corpus = json.loads((run / "provenance.json").read_text())["setups"][-1]["corpus"]
    hours = {dataset["name"]: dataset["hours"] for dataset in corpus["datasets"]}
    assert hours["photographs"] == 0 < hours["foxglove"]


def test_images_can_have_a_share_of_their_own(mixed: Corpora, tmp_path: Path) -> None:
    """Beside videos that are drawn by their clips."""
    order = planned(mixed, tmp_path / "run", 1000, 1, "data.order.stills_share=0.25")
    drawn = Counter(entry["dataset"] for entry in order)
    assert drawn["photographs"] == pytest.approx(250, abs=3)
    assert drawn.keys() == PERIOD.keys()


def test_batches_say_which_of_their_clips_are_images(mixed: Corpora) -> None:
    clips = surgstream.open_corpus(str(mixed.train)).clips(
        num_frames=4, image_size=32, stride=2, order={"weights": dict(PERIOD)}
    )
    for batch in islice(clips, 3):
        are_images = [name.startswith("photographs/") for name in batch["names"]]
        assert batch["stills"].tolist() == are_images
        assert any(are_images) and not all(are_images)
        for clip, is_image in zip(batch["clips"], are_images, strict=True):
            if is_image:
                assert (clip == clip[:, :1]).all()
    clips.close()


def test_the_loader_alone_is_measured_on_both(mixed: Corpora, tmp_path: Path) -> None:
    found = measure(mixed, tmp_path, 1, WEIGHTS)
    assert found["total"]["clips_per_second"] > 0


def test_what_looks_at_a_corpus_looks_at_its_images(
    mixed: Corpora, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(mixed.train)]) == 0
    capsys.readouterr()

    assert main(["inspect", str(mixed.train), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    images = next(each for each in seen["datasets"] if each["name"] == "photographs")
    assert (images["num_videos"], images["num_short"], images["hours"]) == (len(IMAGES), 0, 0)
    assert main(["inspect", str(mixed.train), "--report", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert all(name in page for name in IMAGES)

    recipe = words(mixed, tmp_path / "run", WEIGHTS, "objective.encoder.num_frames=16")
    capsys.readouterr()
    assert main(["describe", *recipe, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    of_images = next(each for each in told["datasets"] if each["name"] == "photographs")
    assert of_images["share"] == 0.5 and of_images["repeated_frames"] == 0
    assert not any(
        "photographs" in warning and "earliest one again" in warning for warning in told["warnings"]
    )
