"""Folders, files and addresses as users write them."""

import argparse
from pathlib import Path

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load, to_tree
from surgstream.configs.places import expanded, to_folder, to_place
from surgstream.launch.__main__ import main
from surgstream.trainer.config import TrainConfig

RECIPE = Path("configs/pretrain/surgvista_tiny.yaml")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("BUCKET", "s3://bucket")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("~/runs/a", "/home/me/runs/a"),
        ("~", "/home/me"),
        ("$DATA/x", "/data/x"),
        ("${DATA}2/x", "/data2/x"),
        ("$BUCKET/corpus", "s3://bucket/corpus"),
        ("a/~b/$", "a/~b/$"),
        ("videos/{video}.csv", "videos/{video}.csv"),
        ("s3://bucket/corpus", "s3://bucket/corpus"),
        ("file:///data/x", "file:///data/x"),
        ("./s3:/x", "./s3:/x"),
        ("12:30.mp4", "12:30.mp4"),
    ],
)
def test_home_and_variables_are_expanded(written: str, meant: str) -> None:
    assert expanded(written) == to_place(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        *(
            "s3:/bucket/x",
            "s3:bucket/x",
            "S3://bucket/x",
            "s3://",
            "s3:///x",
            "file:/x",
            "file:x",
            "file://host/x",
        ),
        *("http://host/x", "https:/x", "gs://bucket/x", "hdfs:/x"),
    ],
)
def test_half_an_address_is_refused_with_what_to_write(written: str) -> None:
    with pytest.raises(
        ValueError, match=r"expected a path, s3://BUCKET/PREFIX or file:///PATH, got '.*:\.\.\.'"
    ):
        expanded(written)
    with pytest.raises(argparse.ArgumentTypeError, match="expected a path"):
        to_folder(written)


def test_what_is_not_set_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"expected a variable that is set, got \$UNSET, which is not"
    ):
        expanded("/scratch/${UNSET}/x")
    with pytest.raises(ValueError, match="got '~nobody-of-this-name'"):
        expanded("~nobody-of-this-name/x")
    with pytest.raises(ValueError, match="got nothing; is a variable of the shell not set"):
        expanded("")


def test_no_password_of_an_address_is_repeated() -> None:
    with pytest.raises(ValueError) as caught:
        expanded("http://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_places_of_a_recipe_are_expanded_where_it_is_read() -> None:
    words = [
        "run_dir=~/runs/a",
        "data.corpus=$BUCKET/c",
        "warm_start=$DATA/w.pt",
        "resume=${DATA}/step_00000001",
    ]
    config = load(TrainConfig, RECIPE, words)
    assert (config.run_dir, config.data.corpus) == ("/home/me/runs/a", "s3://bucket/c")
    assert config.warm_start is not None
    assert (config.warm_start.weights, config.resume.checkpoint) == (
        "/data/w.pt",
        "/data/step_00000001",
    )


def test_what_only_a_node_knows_is_expanded_there(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(TrainConfig, RECIPE, ["data.cache_dir=/local/$UNSET/c"]).data
    assert to_tree(data)["cache_dir"] == "/local/$UNSET/c"
    with pytest.raises(
        ConfigError, match=r"data\.cache_dir: expected a variable that is set, got \$UNSET"
    ):
        _ = data.cache_folder
    monkeypatch.setenv("UNSET", "17")
    assert data.cache_folder == Path("/local/17/c")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "run_dir=s3://bucket/run",
            "run_dir: expected a path; addresses are not supported here, got 's3:...'",
        ),
        (
            "run_dir=s3:/bucket/run",
            "run_dir: expected a path; addresses are not supported here, got 's3:...'",
        ),
        (
            "data.corpus=s3:/bucket/c",
            "data.corpus: expected a path, s3://BUCKET/PREFIX or file:///PATH, got 's3:...'",
        ),
        (
            "data.cache_dir=s3://bucket/c",
            "data.cache_dir: expected a path; addresses are not supported here",
        ),
        ("run_dir=/x/$UNSET", "run_dir: expected a variable that is set, got $UNSET, which is not"),
        ("run_dir=''", "run_dir: expected a path; addresses are not supported here, got nothing"),
    ],
)
def test_a_wrong_place_of_a_recipe_is_one_sentence(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, RECIPE, [word])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["pack", "surgvista", "s3:/bucket/c"],
        ["pack", "surgvista", "out", "--root", "$UNSET/x"],
        ["verify", "s3:bucket"],
        ["inspect", "http://host/c"],
        ["leaks", "c", "--against", "file:/x"],
        ["stage", "c", "S3://bucket"],
        ["status", "s3://bucket/run"],
        ["synth", "s3://bucket/videos"],
        ["export", "c", "s3://bucket/out"],
        ["order", str(RECIPE), "--checkpoint", "$UNSET"],
        ["loader", str(RECIPE), "--out", "s3:/x"],
        ["launch", "pack", "configs/launch/cpu_test.yaml", "surgvista", "s3:/b", "--tasks", "1"],
        ["launch", "loader", "site", "recipe", "--out", "s3://b"],
    ],
    ids=" ".join,
)
def test_a_wrong_place_behind_a_command_is_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert ": expected a " in capsys.readouterr().err
