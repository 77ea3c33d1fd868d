import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build, load, to_tree, to_yaml


@dataclass(frozen=True, kw_only=True)
class Circle:
    name: Literal["circle"] = "circle"
    radius: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Square:
    name: Literal["square"] = "square"
    side: int = 2


@dataclass(frozen=True, kw_only=True)
class Resume:
    shorthand: ClassVar[str] = "source"
    source: str = "auto"
    allow: tuple[Literal["corpus", "weights"], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Optional:
    circle: Circle | None = Circle()


@dataclass(frozen=True, kw_only=True)
class Config:
    steps: int
    rate: float = 0.5
    on: bool = False
    note: str | None = None
    sizes: tuple[int, ...] = ()
    weights: Literal["uniform", "balanced"] | dict[str, float] = "uniform"
    shape: Circle | Square = field(default_factory=Circle)
    resume: Resume = field(default_factory=Resume)

    def problems(self) -> Iterator[str]:
        if self.steps < 0:
            yield f"steps: expected 0 or more, got {self.steps}"


@dataclass(frozen=True, kw_only=True)
class Ranges:
    low: int = 0
    high: int = 5
    step: int = 1

    def problems(self) -> Iterator[str]:
        if self.high < self.low:
            yield f"high: expected at least low ({self.low}), got {self.high}"
        if self.step < 1:
            yield f"step: expected at least 1, got {self.step}"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def mistakes(**tree: object) -> str:
    with pytest.raises(ConfigError) as caught:
        build(Config, tree, where="file.yaml")
    return str(caught.value)


def test_defaults_then_file_then_command_line(tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", "steps: 3\nrate: 0.25\nshape: {name: square}\n")
    config = load(
        Config,
        path,
        ["rate=1e-3", "shape.side=9", "note=null", "sizes=[1, 2]", "resume.allow=[corpus]"],
    )
    assert config == Config(
        steps=3, rate=1e-3, shape=Square(side=9), sizes=(1, 2), resume=Resume(allow=("corpus",))
    )


@pytest.mark.parametrize("text", ["3e-4", "0.0003", "3.0e-4", "'3e-4'"])
def test_every_way_to_write_a_float_is_one(tmp_path: Path, text: str) -> None:
    assert load(Config, write(tmp_path / "c.yaml", f"steps: 1\nrate: {text}")).rate == 3e-4


def test_whole_numbers_are_floats_where_a_float_is_due() -> None:
    rate = build(Config, {"steps": 1, "rate": 2}, where="").rate
    assert (rate, type(rate)) == (2.0, float)


@pytest.mark.parametrize("overrides", [[], ["resume.allow=[corpus]", "shape.name=square"]])
def test_a_section_with_nothing_below_it_is_as_good_as_absent(
    tmp_path: Path, overrides: list[str]
) -> None:
    bare = load(Config, write(tmp_path / "bare.yaml", "steps: 1\nresume:\nshape:\n"), overrides)
    assert bare == load(Config, write(tmp_path / "absent.yaml", "steps: 1\n"), overrides)
    assert load(Optional, write(tmp_path / "none.yaml", "circle:\n")).circle is None


@dataclass(frozen=True, kw_only=True)
class Figure:
    wheel: Circle = field(default_factory=lambda: Circle(radius=7.0))
    window: Circle | Square = Square(side=9)
    ranges: Ranges = Ranges(high=9)


def test_a_section_given_in_part_keeps_the_rest_of_its_fields_default() -> None:
    figure = build(Figure, {"wheel": {"name": "circle"}, "ranges": {"low": 8}}, where="test")
    assert figure.wheel.radius == 7.0 and figure.ranges == Ranges(low=8, high=9)
    assert build(Figure, {"window": {"name": "square"}}, where="test").window == Square(side=9)
    assert build(Figure, {"window": {"name": "circle"}}, where="test").window == Circle()


def test_a_section_with_a_shorthand_may_be_a_bare_value() -> None:
    assert build(Config, {"steps": 1, "resume": "none"}, where="").resume == Resume(source="none")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"stepz": 1}, "stepz: unknown key; did you mean 'steps'?"),
        ({}, "steps: missing; it has no default"),
        ({"steps": True}, "steps: expected a whole number, got True"),
        ({"steps": 1.5}, "steps: expected a whole number, got 1.5"),
        ({"steps": -1}, "steps: expected 0 or more, got -1"),
        ({"steps": None}, "steps: expected a whole number, got nothing"),
        ({"steps": 1, "rate": 10**400}, "rate: expected a number, got 1000"),
        ({"steps": 1, "rate": float("nan")}, "rate: expected a number, got nan"),
        ({"steps": 1, "rate": "1e999"}, "rate: expected a number, got '1e999'"),
        ({"steps": 2**63}, "steps: expected a whole number below 2**63, got a larger one"),
        ({"steps": 1, "on": 1}, "on: expected true or false, got 1"),
        ({"steps": 1, "note": False}, "note: expected a string (quote it), got False"),
        ({"steps": 1, "sizes": 3}, "sizes: expected a list, got 3"),
        ({"steps": 1, "sizes": [1, "a"]}, "sizes[1]: expected a whole number, got 'a'"),
        ({"steps": 1, "weights": "unifrom"}, "did you mean 'uniform'?"),
        (
            {"steps": 1, "weights": 3},
            "weights: expected keys and values or 'uniform' or 'balanced', got 3",
        ),
        ({"steps": 1, "weights": {"a": "x"}}, "weights.a: expected a number, got 'x'"),
        (
            {"steps": 1, "shape": {"name": "sqare"}},
            "shape.name: expected one of 'circle', 'square', got 'sqare'",
        ),
        (
            {"steps": 1, "shape": {"name": {"a": 1}}},
            "shape.name: expected one of 'circle', 'square', got keys and values",
        ),
        ({"steps": 1, "shape": {"name": "square", "radius": 1.0}}, "shape.radius: unknown key"),
        (
            {"steps": 1, "resume": {"allow": ["seed"]}},
            "resume.allow[0]: expected one of 'corpus', 'weights'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(tree: dict[str, object], message: str) -> None:
    assert message in mistakes(**tree)


def test_all_mistakes_come_at_once() -> None:
    text = mistakes(rate="fast", colour="red", on="yes")
    assert text.startswith("file.yaml: 4 mistake(s)")
    assert all(word in text for word in ("rate:", "colour:", "on:", "steps: missing"))


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (
            {"low": 9, "step": 0},
            ["high: expected at least low (9), got 5", "step: expected at least 1, got 0"],
        ),
        (
            {"low": "x", "step": 0},
            ["low: expected a whole number, got 'x'", "step: expected at least 1, got 0"],
        ),
        ({"low": "x", "high": -1}, ["low: expected a whole number, got 'x'"]),
        (
            {"lower": 1, "step": 0},
            ["lower: unknown key; did you mean 'low'?", "step: expected at least 1, got 0"],
        ),
    ],
)
def test_a_wrong_type_hides_no_other_mistake_and_makes_none(
    tree: dict[str, object], expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Ranges, tree, where="x")
    assert str(caught.value).split("\n  ")[1:] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1\nsteps: 2", "'steps' stands here twice"),
        (
            "steps: 1\nnote: 24:00:00",
            "24:00:00 would be read as a number in base 60; put it in quotes",
        ),
        ("1: 2", "key 1 is not a string"),
        ("steps: [1", "not valid YAML"),
        ("- 1", "expected keys and values at the top, got a list"),
        ("steps: !!python/name:os.system 1", "not valid YAML"),
        (
            "steps: 1\nnote: 2023-13-45",
            "c.yaml:2: not valid YAML: 2023-13-45 is no timestamp; put it in quotes",
        ),
        ("steps: 0b_", "0b_ is no int; put it in quotes"),
        ("steps: !!int abc", "abc is no int"),
        ("steps: !!int ''", " is no int"),
        ("steps: !!bool abc", "abc is no bool"),
        ("note: !!timestamp abc", "abc is no timestamp"),
        (f"steps: {'9' * 5000}", "is no int"),
        (f"steps: 0x{'f' * 5000}", "expected whole numbers below 2**63, got a larger one"),
        ('note: "\\ud800"', "is no Unicode text"),
        ("shape: !!map x", "expected keys and values"),
        ("[" * 5000, "expected a few levels of keys, got too many to read"),
    ],
)
def test_yaml_traps_are_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml") as caught:
        load(Config, write(tmp_path / "c.yaml", text))
    assert message in str(caught.value)


@given(st.text("[]{}!&*<:,-'0b_xe.19 \n#?|>%@`~intsp") | st.text())
@settings(derandomize=True, max_examples=300, deadline=None)
def test_no_text_is_worse_than_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(f"steps: 1\n{text}", encoding="utf-8")
    for file, overrides in (
        (path, []),
        (write(path.with_name("one.yaml"), "steps: 1"), [f"note={text}"]),
    ):
        with contextlib.suppress(ConfigError):
            load(Config, file, overrides)


@pytest.mark.parametrize("word", ["steps", "=3", "a..b=1", "steps.deeper=1", "rate=2001-99-99"])
def test_a_malformed_override_is_an_error(tmp_path: Path, word: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        load(Config, write(tmp_path / "c.yaml", "steps: 1"), [word])


def test_a_time_on_the_command_line_needs_no_quotes_inside_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", "steps: 1")
    assert (
        load(Config, path, ["note=24:00:00"]).note
        == load(Config, path, ["note='24:00:00'"]).note
        == "24:00:00"
    )


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(Config, tmp_path / "none.yaml")


configs = st.builds(
    Config,
    steps=st.integers(0, 10**9),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    on=st.booleans(),
    note=st.none() | st.text(max_size=20),
    sizes=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), max_size=4).map(tuple),
    weights=st.sampled_from(["uniform", "balanced"])
    | st.dictionaries(st.text("abc", min_size=1), st.floats(0, 9), min_size=1),
    shape=st.builds(Circle, radius=st.floats(0, 1e9)) | st.builds(Square, side=st.integers(0, 9)),
)


@given(configs)
@settings(derandomize=True, deadline=None)
def test_a_resolved_configuration_reads_back_equal(config: Config) -> None:
    import yaml

    tree = yaml.safe_load(to_yaml(config))
    assert build(Config, tree, where="") == config
    assert tree == to_tree(config)


def laughs(text: str, times: int = 12) -> str:
    lines = [
        f"a0: &a0 {text}",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, times)),
    ]
    return "\n".join([*lines, f"steps: *a{times - 1}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            laughs("{x: 1, y: 2}"),
            "expected at most 1000000 values, an alias's counted again, got more",
        ),
        ("steps: &a [*a]", "expected at most 1000000 values, an alias's counted again, got more"),
        (f"steps: 1\n{'k' * 900}: 1", "unknown key; known here"),
        (
            f"steps: 1\nshape: {{name: {[1] * 500}}}",
            "shape.name: expected one of 'circle', 'square', got a list",
        ),
        (
            f"steps: 1\nweights: {{a: &a {['x'] * 9}, {', '.join(f'k{i}: *a' for i in range(500))}}}",
            "and 481 more",
        ),
    ],
)
def test_however_much_is_wrong_is_told_soon_and_briefly(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Config, write(tmp_path / "c.yaml", text))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 25_000


def test_a_hundred_thousand_unknown_keys_are_told_soon_and_briefly() -> None:
    text = mistakes(**{f"unknown{i}": i for i in range(100_000)})
    assert text.startswith("file.yaml: 100001 mistake(s)") and text.endswith("and 99981 more")
