"""What strangers find beside the code: it parses, says the same version, and names no private place."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent

INDEXES = {"https://download.pytorch.org/whl/cu126"}
"""Torch of other CUDAs is nowhere else."""


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.splitlines()]


def test_no_file_names_a_package_mirror() -> None:
    named = set()
    for path in tracked():
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes().decode("utf-8", errors="ignore")
            named |= {
                url
                for url in re.findall(
                    r"(?:index-url|find-links|trusted-host)[ =]+(\S*://[^\s`\"')]+)", text
                )
            }
    assert named == INDEXES


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    for key in ("cff-version", "message", "title", "authors"):
        assert citation[key]


def test_hosted_ci_does_what_ci_does() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["steps"][-1]["run"] == ".ci/run"
    assert workflow["permissions"] == {"contents": "read"}


def test_hosted_pages_are_what_make_docs_builds() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text())
    (job,) = workflow["jobs"].values()
    (built,) = (step["run"] for step in job["steps"] if "run" in step)
    (path,) = (step["with"]["path"] for step in job["steps"] if "pages-artifact" in str(step))
    assert built == "make docs"
    assert f" docs {path}\n" in (ROOT / "Makefile").read_text()
    assert workflow["permissions"] == {"contents": "read"}
    assert job["permissions"] == {"contents": "read", "id-token": "write", "pages": "write"}


def test_ci_builds_the_documentation() -> None:
    assert "make check docs test test-services" in (ROOT / ".ci/run").read_text()


def test_a_fault_is_told_with_its_environment() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/fault.yml").read_text())
    required = {part["id"] for part in form["body"] if part.get("validations", {}).get("required")}
    assert {"what", "environment", "where"} <= required


def test_hooks_are_the_tools_that_are_pinned() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repo,) = hooks["repos"]
    assert repo["repo"] == "local"
    pinned = (ROOT / "constraints.txt").read_text()
    for hook in repo["hooks"]:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert re.search(rf"^{tool}(-py)?==", pinned, re.MULTILINE), tool
