"""Files that are told as the changes of another one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import load, read_tree


@dataclass(frozen=True, kw_only=True)
class Section:
    low: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Config:
    steps: int
    note: str | None = "none"
    section: Section = field(default_factory=Section)


def write(folder: Path, **files: Any) -> Path:
    """Files by their names without suffix; the path of the last one."""
    for name, tree in files.items():
        (folder / f"{name}.yaml").write_text(
            tree if isinstance(tree, str) else yaml.safe_dump(tree)
        )
    return folder / f"{name}.yaml"


def test_a_file_changes_its_base_section_by_section(tmp_path: Path) -> None:
    base = {"steps": 3, "note": "base", "section": {"low": 4, "names": ["a", "b"]}}
    path = write(
        tmp_path, base=base, other={"base": "base.yaml", "note": None, "section": {"names": ["c"]}}
    )
    config = load(Config, path, ["section.low=5"])
    assert config == Config(steps=3, note=None, section=Section(low=5, names=("c",)))
    assert load(Config, tmp_path / "base.yaml").section.names == ("a", "b")


def test_mistakes_are_told_of_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, base={"steps": 3}, other={"base": "base.yaml", "stepz": 4})
    with pytest.raises(ConfigError, match=r"other.yaml: 1 mistake\(s\)\n  stepz"):
        load(Config, path)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            "base: ../base.yaml",
            "base: expected the name of a .yaml file in the same folder, got '../base",
        ),
        ("base: /etc/base.yaml", "expected the name of a .yaml file in the same folder"),
        ("base: 3", "expected the name of a .yaml file in the same folder, got 3"),
        ("base: ''", "expected the name of a .yaml file in the same folder, got ''"),
        ("base: ..", "expected the name of a .yaml file in the same folder, got '..'"),
        ("base:", "expected the name of a .yaml file in the same folder, got None"),
        ("base: absent.yaml", "absent.yaml: expected a readable YAML file: No such file"),
        ("base: list.yaml", "list.yaml: expected keys and values at the top"),
        ("base: second.yaml", "other.yaml: base: expected a file without a base, got second.yaml"),
        ("base: other.yaml", "other.yaml: base: expected a file without a base, got other.yaml"),
    ],
)
def test_a_base_that_is_none(tree: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, list=[1], second={"base": "base.yaml"}, base={"steps": 1}, other=tree)
    with pytest.raises(ConfigError, match=message):
        load(Config, path)


_TREES = st.recursive(
    st.none() | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2),
    lambda below: st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=8,
)


@given(
    base=st.dictionaries(st.sampled_from("abc"), _TREES),
    tree=st.dictionaries(st.sampled_from("abc"), _TREES),
)
def test_each_value_is_the_file_s_own_or_its_base_s(
    base: dict[str, Any], tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("x"), base=base, other={"base": "base.yaml", **tree})

    def check(found: Any, below: Any, above: Any) -> None:
        if not isinstance(below, dict) or not isinstance(above, dict):
            assert found == above
            return
        assert found.keys() == below.keys() | above.keys()
        for key, value in found.items():
            if key in above and key in below:
                check(value, below[key], above[key])
            else:
                assert value == (above[key] if key in above else below[key])

    check(read_tree(path), base, tree)
