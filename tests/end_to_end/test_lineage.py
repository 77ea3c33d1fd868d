"""What weights descend from, handed down from run to run; and runs that would be judged by what they have seen."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surgstream.launch.__main__ import main
from surgstream.trainer.engine.checkpoint_files import read_state, state_bytes
from surgstream.trainer.evaluation.predictions.stored import read_predictions
from surgstream.trainer.lineage.ancestry import Ancestry, hashed_id
from surgstream.trainer.lineage.reading import ancestry_of
from tests.end_to_end import runs
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.finetuning import VIDEOS, Hospital
from tests.end_to_end.runs import log, newest
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus
from tests.helpers.ranks import finish, start

SHORT = ("max_steps=4", "objective.encoder.patch_size=8", "objective.encoder.num_heads=2")


def noise(dataset: str, video: str, frame: int) -> bytes:
    """A picture that no other frame shows."""
    keyed = np.random.default_rng([*dataset.encode(), *video.encode(), frame])
    pixels = keyed.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).resize((WIDTH, HEIGHT)).save(content, "JPEG")
    return content.getvalue()


def packed(folder: Path, dataset: str, *videos: str) -> Corpora:
    """A corpus of one dataset, each video of 40 frames."""
    folder.mkdir()
    layout = {dataset: [{video: [(0, 40)]} for video in videos]}
    write_corpus(folder, layout, picture=noise)
    return Corpora(train=folder, held_out=folder, videos=folder)


def pretrained(folder: Path, name: str, corpus: Corpora, *overrides: str) -> Path:
    """The newest checkpoint of a short run."""
    runs.train(corpus, folder / name, 1, *SHORT, *overrides)
    found = newest(folder / name)
    assert found
    return found


def shown(ancestry: Ancestry) -> list[dict[str, str]]:
    """Of each corpus the ids by dataset, in the order in which they were trained on."""
    return [{each.dataset: each.videos for each in corpus.shown} for corpus in ancestry.corpora]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="module")
def hospital(folder: Path) -> Hospital:
    (folder / "hospital").mkdir()
    return Hospital(folder / "hospital")


@pytest.fixture(scope="module")
def chain(folder: Path) -> list[Path]:
    """Checkpoints of a run, and of one that began with it on another corpus, and went on."""
    first = pretrained(folder, "first", packed(folder / "ward", "ward", "w1", "w2"))
    knees = packed(folder / "knees", "knee", "k1", "k2")
    begun = ("warm_start.moments=false", f"warm_start.weights={first}")
    pretrained(folder, "second", knees, *begun)
    # What a run began with need not be there when it is resumed
    shutil.move(first, folder / "moved")
    second = pretrained(folder, "second", knees, *begun, "max_steps=6")
    shutil.move(folder / "moved", first)
    return [first, second]


def test_a_checkpoint_tells_its_corpus_and_those_before_it(chain: list[Path], folder: Path) -> None:
    first, second = (ancestry_of(str(each)) for each in chain)
    assert shown(first) == [{"ward": "w1 w2"}] and shown(second) == [
        {"ward": "w1 w2"},
        {"knee": "k1 k2"},
    ]
    assert first.foreign == second.foreign == (), "its teacher is random"
    places = [corpus.address for corpus in second.corpora]
    assert places == [str(folder / "ward"), str(folder / "knees")]
    states = [read_state(each) for each in chain]
    assert [corpus.manifest for corpus in second.corpora] == [each["manifest"] for each in states]
    assert chain[1].name == "step_00000006" and "resuming" in log(folder / "second")


@pytest.fixture(scope="module")
def tuned(chain: list[Path], hospital: Hospital, folder: Path) -> Path:
    """A fine-tuning that began with an export of the chain's end."""
    assert main(["export", str(chain[1]), str(folder / "export")]) == 0
    start = (f"warm_start={{weights: {folder / 'export'}, parts: encoder}}", "max_steps=2")
    hospital.finetune(folder / "tuned", 1, *start)
    return folder / "tuned"


def test_exports_and_fine_tunings_hand_down_all_of_it(
    tuned: Path, hospital: Hospital, folder: Path
) -> None:
    text = (folder / "export" / "ancestry.json").read_text()
    assert str(folder) not in text and "w1" not in text

    found = ancestry_of(str(tuned))
    ward, knee, hip = shown(found)
    assert ward == {"ward": " ".join(sorted(hashed_id("ward", id) for id in ("w1", "w2")))}
    assert [*knee] == ["knee"]
    assert hip == {"hip": " ".join(VIDEOS["train"])}, "what was shown, and no more of its corpus"
    assert found.foreign == () and found.corpora[2].address == str(hospital.folder / "corpus")


def test_a_fine_tuning_has_its_papers_too(tuned: Path, hospital: Hospital, folder: Path) -> None:
    (setup,) = json.loads((tuned / "provenance.json").read_text())["setups"]
    weights = (folder / "export" / "model.safetensors").read_bytes()
    assert setup["weights"] == {
        "start": {"name": str(folder / "export"), "sha256": hashlib.sha256(weights).hexdigest()}
    }
    assert [each["name"] for each in setup["corpus"]["datasets"]] == ["hip"]
    assert [each["datasets"] for each in setup["descends_from"]["corpora"]] == [
        ["ward"], ["knee"], ["hip"],
    ]  # fmt: skip


def told(run_dir: Path, split: str = "test") -> dict[str, Any]:
    about = read_predictions(run_dir / "predictions" / f"{split}.npz").about
    leaks: dict[str, Any] = about["leaks"]
    return leaks


def test_predictions_tell_what_was_found(tuned: Path) -> None:
    """An export tells no place, so that names alone are compared."""
    for split in ("val", "test"):
        assert told(tuned, split)["found"] == [] and told(tuned, split)["unknown"] == []
    assert told(tuned)["by"] == ["names"] and not told(tuned)["all_pictures"]
    assert "leaks, test split: clean by names only" in log(tuned)


@pytest.mark.parametrize("key", ["ancestry", "leaks"])
def test_a_state_that_says_nonsense_of_leaks_is_not_resumed(
    key: str, tuned: Path, hospital: Hospital, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(tuned, run_dir)
    checkpoint = newest(run_dir)
    assert checkpoint
    state = read_state(checkpoint) | {key: {"found": "none"}}
    (checkpoint / "state.json").write_bytes(state_bytes(state))
    assert finish(hospital.begin(run_dir, 1, "max_steps=3")) == [1]
    assert f"state.json: {key}: " in log(run_dir) and "Traceback" not in log(run_dir)


def test_random_weights_are_clean(hospital: Hospital, folder: Path) -> None:
    hospital.finetune(folder / "random", 1, "max_steps=1")
    assert told(folder / "random")["by"] == [] and told(folder / "random")["all_pictures"]


@pytest.fixture(scope="module")
def seen(folder: Path) -> Path:
    """Weights that were trained on a test video of the hospital's task, by its name."""
    return pretrained(folder, "seen", packed(folder / "leak", "hip", "g", "x"))


def test_contaminated_weights_are_refused_before_they_train(
    seen: Path, hospital: Hospital, folder: Path
) -> None:
    start = (f"warm_start={{weights: {seen}, parts: encoder}}", "max_steps=2")
    assert finish(hospital.begin(folder / "refused", 2, *start)) == [1, 1]
    said = log(folder / "refused")
    assert "expected weights that were trained on no video that they are judged by" in said
    assert "1 of 3 test videos: g (g by name: hip/g of" in said and "Traceback" not in said
    assert newest(folder / "refused") is None


def test_a_probe_goes_by_the_same_and_keeps_what_it_compared(
    seen: Path, hospital: Hospital, folder: Path
) -> None:
    def probed(name: str, *overrides: str) -> list[int]:
        given = (
            f"weights={seen}",
            f"task={hospital.folder / 'phases.yaml'}",
            f"labels={hospital.folder / 'labels'}",
            f"data.corpus={hospital.folder / 'corpus'}",
            f"run_dir={folder / name}",
            *overrides,
        )
        return finish(
            start(["probe", "probe_ridge", *given], 1, (folder / name).with_suffix(".log"))
        )

    assert probed("no_probe") == [1]
    assert "1 of 3 test videos: g (g by name: hip/g of" in log(folder / "no_probe")
    assert not (folder / "no_probe" / "predictions").exists()

    # Where the test is not asked, only videos to validate on count
    assert probed("val_alone", "test=false") == [0], log(folder / "val_alone")
    assert probed("probe", "leaks=allow") == [0], log(folder / "probe")
    for split in ("val", "test"):
        assert {each["video"] for each in told(folder / "probe", split)["found"]} == {"g"}
    assert len([*(folder / "probe" / "leaks").glob("leaks_*.json")]) == 1


def test_where_it_is_allowed_the_clean_remainder_is_scored_beside_the_whole(
    seen: Path, hospital: Hospital, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = (f"warm_start={{weights: {seen}, parts: encoder}}", "max_steps=2", "leaks=allow")
    run_dir = folder / "allowed"
    hospital.finetune(run_dir, 1, *start)
    assert {each["video"] for each in told(run_dir)["found"]} == {"g"}

    words = [
        "evaluate",
        str(hospital.folder / "phases.yaml"),
        f"ours={run_dir}/predictions/test.npz",
    ]
    place = ["--labels", str(hospital.folder / "labels"), "--out", str(folder / "result")]
    assert main([*words, *place]) == 0
    assert "| contaminated 1 of 3 |" in capsys.readouterr().out
    result = json.loads((folder / "result" / "result.json").read_text())
    ours, remainder = result["rows"][:2]
    assert ours["leaks"]["mark"] == "contaminated" and ours["leaks"]["videos"] == ["g"]
    assert (remainder["name"], remainder["kind"]) == ("ours, clean 2 videos", "remainder")
    assert sorted(remainder["per_video"]) == ["h", "i"]

    # Allowed once and no more, the run goes by what was found when it began
    assert finish(hospital.begin(run_dir, 1, *start, "leaks=refuse", "max_steps=3")) == [1]
    assert "1 of 3 test videos: g" in log(run_dir)
