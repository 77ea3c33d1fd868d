"""Both images are made of the same things, by the same steps, and what they copy makes the whole wheel."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.wheels import ROOT, build_wheel_in, expected, packed

STEPS = ROOT / "launch/container_steps.sh"


@dataclass(frozen=True)
class Image:
    """What a file says of its image; the argument of its steps is written CUDA."""

    base: str
    cuda: str
    copies: Mapping[str, str]
    steps: str


def apptainer() -> Image:
    text = (ROOT / "launch/container.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n((?:    .*\n)+)", text, re.MULTILINE))
    return Image(
        base=re.findall("^From: (.*)", text, re.MULTILINE)[0],
        cuda=re.findall("CUDA=(.*)", sections["arguments"])[0],
        copies=dict(line.split() for line in sections["files"].splitlines()),
        steps=sections["post"].strip().replace("{{ CUDA }}", "CUDA"),
    )


def docker() -> Image:
    text = (ROOT / "launch/Dockerfile").read_text()
    return Image(
        base=re.findall("^FROM (.*)", text, re.MULTILINE)[0],
        cuda=re.findall("^ARG CUDA=(.*)", text, re.MULTILINE)[0],
        copies=dict(re.findall("^COPY (.*) (.*)", text, re.MULTILINE)),
        steps=re.findall("^RUN (.*) &&", text, re.MULTILINE)[0].replace('"$CUDA"', "CUDA"),
    )


def test_both_images_are_made_alike() -> None:
    assert apptainer() == docker()


def test_the_steps_are_those_of_the_repository() -> None:
    script, cuda = docker().steps.split()
    copied = {inside: outside for outside, inside in docker().copies.items()}
    folder, _, name = script.rpartition("/")
    assert ROOT / copied[folder] / name == STEPS and cuda == "CUDA"
    assert STEPS.stat().st_mode & 0o111, "it is run as it is"


def test_shellcheck_has_nothing_against_the_steps() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([shellcheck, STEPS], capture_output=True, text=True)
    assert not found.returncode, found.stdout


def test_docker_and_enroot_give_one_environment() -> None:
    text = (ROOT / "launch/Dockerfile").read_text()
    given = set(re.findall("^ENV (.*)", text, re.MULTILINE))
    (written,) = re.findall(r"/etc/environment <<END\n(.*?)END\n", STEPS.read_text(), re.DOTALL)
    assert given == {line for line in written.splitlines() if not line.startswith("PATH=")}


@pytest.mark.slow
@pytest.mark.parametrize("links", ["-L", "-P"], ids=["Apptainer", "Docker"])
def test_what_an_image_copies_makes_the_whole_wheel(links: str, tmp_path: Path) -> None:
    """Apptainer follows all links of what it copies, Docker none of them."""
    for outside, inside in docker().copies.items():
        target = tmp_path / inside.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", links, "-r", ROOT / outside, target], check=True)

    assert packed(build_wheel_in(tmp_path / "opt/surgstream")) == expected()
