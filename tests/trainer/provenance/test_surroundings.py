"""Site, launcher, versions and command line: no secret is told, and nothing is long."""

import platform
from importlib.metadata import version

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgstream.trainer.provenance.surroundings import (
    WITHHELD,
    describe_command,
    describe_site,
    describe_versions,
)


@pytest.mark.parametrize(
    ("environment", "name", "launcher"),
    [
        ({}, None, "none"),
        ({"RANK": "0"}, None, None),
        ({"RANK": "0", "TORCHELASTIC_RUN_ID": "x", "SLURM_STEP_ID": "0"}, None, "torchrun"),
        ({"RANK": "0", "SLURM_STEP_ID": "0", "SURGSTREAM_SITE": "h800"}, "h800", "srun"),
    ],
)
def test_what_started_a_process(
    environment: dict[str, str], name: str | None, launcher: str | None
) -> None:
    found = describe_site(environment)
    assert (found["name"], found["launcher"]) == (name, launcher)


@pytest.mark.parametrize(
    "word",
    [
        "data.corpus=s3://user:pass@bucket/corpus",
        "x=https://host/a?X-Amz-Signature=abcdef",
        "HF_TOKEN=abc",
        "hf_abcdefghijkl",
        "--password=abc",
        "aws_secret_access_key=abc",
    ],
)
def test_a_word_that_looks_like_a_secret_is_withheld(word: str) -> None:
    assert describe_command(["/usr/bin/surgstream", "pretrain", word, "seed=1"]) == [
        "surgstream", "pretrain", WITHHELD, "seed=1",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=2000), max_size=200))
def test_a_command_line_is_bounded_and_printable(words: list[str]) -> None:
    told = describe_command(words)
    assert len(told) <= 64 and all(len(word) <= 512 for word in told)
    assert not any("\x1b" in word for word in told)


def test_versions_are_those_that_are_installed() -> None:
    found = describe_versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert found["deepspeed"] == version("deepspeed")
    assert {"cuda", "driver", "nccl", "dali"} <= found.keys()
