import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load
from surgstream.launch.site import Site

PRESETS = sorted(Path("configs/launch").glob("*.yaml"))


def wrong(tmp_path: Path, text: str, *overrides: str) -> str:
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Site, tmp_path / "site.yaml", overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_line_of_a_preset_that_chooses_something_says_why(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    inside = lines[lines.index("environment:") + 1 :]
    assert inside and all(" # " in line for line in inside)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time: 24:00:00", "24:00:00 would be read as a number in base 60; put it in quotes"),
        ("time: 90", "time: expected a string (quote it), got 90"),
        ('time: "24h"', "time: expected minutes, hours:minutes:seconds"),
        ('time: "24:00:00"\nnodes: 0', "nodes: expected 1 to 65536, got 0"),
        ('time: "24:00:00"\ngpus_per_node: -1', "gpus_per_node: expected 0 to 1024, got -1"),
        (
            'time: "24:00:00"\ngpu_per_node: 8',
            "gpu_per_node: unknown key; did you mean 'gpus_per_node'?",
        ),
        ('time: "24:00:00"\nranks_per_node: 4', "ranks_per_node: expected 1 with gpus_per_node"),
        (
            'time: "24:00:00"\nsave_before_end_seconds: 5',
            "save_before_end_seconds: expected 60 to 65535, got 5",
        ),
        (
            'time: "24:00:00"\nlauncher: mpirun',
            "launcher: expected one of 'srun', 'torchrun', got 'mpirun'",
        ),
        (
            'time: "24:00:00"\nenvironment: {A-B: 1}',
            "environment: expected names of variables, got 'A-B'",
        ),
        (
            'time: "24:00:00"\nenvironment: {A: no}',
            "environment.A: expected a string (quote it) or a whole number, got False",
        ),
        (
            'time: "24:00:00"\nenvironment: {A: 1.5}',
            "environment.A: expected a string (quote it) or a whole number, got 1.5",
        ),
        ('time: "24:00:00"\nenvironment: {A: 9223372036854775806}', "environment.A: expected -46"),
        ('time: "24:00:00"\nexclude: [node1]', "exclude: expected a string, got a list"),
        (
            'time: "24:00:00"\noptions: [mail-type=FAIL]',
            "options: expected options such as --mail-type=FAIL",
        ),
        (
            'time: "24:00:00"\nvenv: v\ncontainer: {runtime: pyxis, image: i}',
            "container: expected no venv",
        ),
        (
            'time: "24:00:00"\ngpu_type: h800\ngpus_per_node: 0',
            "gpu_type: expected a name such as h800, with",
        ),
        ('time: "24:00:00"\ngpu_type: "h800:8"', "gpu_type: expected a name such as h800"),
        (
            'time: "24:00:00"\noptions: ["--gres=gpu:h800:8"]',
            "options: expected gpus_per_node, gpu_type and gpu_opt",
        ),
        (
            'time: "24:00:00"\nenvironment: {PATH: /opt/x/bin}',
            "environment.PATH: expected $PATH in it, or no program",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    message = wrong(tmp_path, text)
    assert expected in message
    assert len(message.strip().splitlines()) <= 2, "where, and what"


TIMES = (
    r"\d+",
    r"\d+:[0-5]\d",
    r"\d+:[0-5]\d:[0-5]\d",
    r"\d+-(\d|1\d|2[0-3])",
    r"\d+-(\d|1\d|2[0-3]):[0-5]\d",
    r"\d+-(\d|1\d|2[0-3]):[0-5]\d:[0-5]\d",
)


@given(st.one_of([st.from_regex(re.compile(form, re.ASCII), fullmatch=True) for form in TIMES]))
def test_times_as_slurm_writes_them(time: str) -> None:
    assert not list(Site(time=time).problems())


def test_ranks_are_gpus_or_else_what_the_site_says() -> None:
    assert Site(time="1", nodes=4).world_size == 32
    assert Site(time="1", nodes=4, gpus_per_node=0, ranks_per_node=3).world_size == 12


def test_modules_may_stand_beside_a_container(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        'time: "1"\nmodules: [apptainer]\ncontainer: {runtime: apptainer, image: i}\n'
    )
    assert load(Site, tmp_path / "site.yaml").modules == ("apptainer",)


@pytest.mark.parametrize(
    ("site", "option"),
    [
        (Site(time="1"), "--gpus-per-node=8"),
        (Site(time="1", gpu_type="h800"), "--gpus-per-node=h800:8"),
        (Site(time="1", gpu_option="gres"), "--gres=gpu:8"),
        (
            Site(time="1", gpus_per_node=2, gpu_type="1g.10gb", gpu_option="gres"),
            "--gres=gpu:1g.10gb:2",
        ),
    ],
)
def test_gpus_are_asked_for_as_the_cluster_knows_them(site: Site, option: str) -> None:
    assert site.gpus == option and not list(site.problems())
