"""The encoders that the words of a suite name."""

from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.trainer.errors import ModelError
from surgstream.trainer.suite.models import read_models
from tests.trainer.suite.made_up import suite_of

PIXELS = ("encoder.num_frames=4",)
SUITE = suite_of("phases", yardsticks=("random", "pixels"), pixels=PIXELS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vitb.pth"
    path.write_bytes(b"weights")
    return path


def test_settings_are_of_the_weights_before_them(file: Path) -> None:
    words = [f"weights=a={file}", "encoder.layout=videomae", "weights=timm:vit_tiny"]
    found = read_models(words, SUITE)
    assert [(model.name, model.weights, model.words) for model in found] == [
        ("a", str(file), ("encoder.layout=videomae",)),
        ("timm-vit_tiny", "timm:vit_tiny", ()),
        ("random", f"random:{file}", ("encoder.layout=videomae",)),
        ("pixels", "pixels", PIXELS),
    ]
    assert [model.is_yardstick for model in found] == [False, False, True, True]


def test_weights_are_known_by_their_bytes(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.pth"
    copy.write_bytes(file.read_bytes())
    one, other = read_models([f"weights={file}", f"weights={copy}"], suite_of("phases"))
    assert one.sha256 == other.sha256 and one.name != other.name

    copy.write_bytes(b"others")
    assert read_models([f"weights={copy}"], suite_of("phases"))[0].sha256 != one.sha256


def test_a_folder_is_known_by_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = read_models([f"weights={tmp_path}"], suite_of("phases"))[0].sha256
    (tmp_path / "config.json").write_text("{}")
    assert read_models([f"weights={tmp_path}"], suite_of("phases"))[0].sha256 != before


@pytest.mark.parametrize("word", ["weights=pixels", "weights=random"])
def test_what_has_no_architecture_gets_no_random_twin(word: str) -> None:
    names = [
        model.name for model in read_models([f"{word}"], suite_of("phases", yardsticks=("random",)))
    ]
    assert len(names) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["encoder.layout=videomae"], "expected weights="),
        (["weights=pixels", "seed=3"], "got 'seed=3'"),
        (
            ["weights=a=pixels", "weights=a=timm:x"],
            "a: expected each encoder to have a name of its own",
        ),
        (["weights="], "got nothing"),
    ],
)
def test_other_words_are_refused(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_models(words, suite_of("phases"))


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing_here, which does not exist"):
        read_models([f"weights={tmp_path}/nothing_here"], suite_of("phases"))
