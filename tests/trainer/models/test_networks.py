"""A network is found in whatever people put around it, whole and by its own names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from surgstream.trainer.errors import ModelError
from surgstream.trainer.models.networks import AVERAGES, WeightsFile

ANCHOR = "patch_embed.proj.weight"
NAMES = (
    ANCHOR,
    "patch_embed.proj.bias",
    "blocks.0.attn.qkv.weight",
    "blocks.11.norm1.bias",
    "norm.weight",
)
KEYS = st.lists(st.sampled_from(["model", "state_dict", "module", "net", "encoder"]), max_size=3)
STARTS = st.lists(
    st.sampled_from(["module", "backbone", "model", "encoder", "student"]), max_size=3
)
SHELLS = st.sampled_from(["", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."])


def network(value: float) -> dict[str, Tensor]:
    return {name: torch.full((2,), value + i) for i, name in enumerate(NAMES)}


def dotted(words: list[str]) -> str:
    return "".join(f"{word}." for word in words)


def nested(keys: list[str], content: Any) -> Any:
    for key in reversed(keys):
        content = {
            key: content,
            "epoch": 3,
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}},
        }
    return content


def written(content: Any, folder: Path, prefix: str | None = None) -> WeightsFile:
    path = folder / "weights.pth"
    torch.save(content, path)
    return WeightsFile(path, "teacher", prefix)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@settings(max_examples=40)
@given(keys=KEYS, starts=STARTS, shell=SHELLS, beside=st.booleans(), averaged=st.booleans())
def test_any_wrapping_is_found(
    keys: list[str], starts: list[str], shell: str, beside: bool, averaged: bool, folder: Path
) -> None:
    start = dotted(starts)
    state = {
        f"{start}{name.replace('blocks.11.', f'blocks.11.{shell}')}": t
        for name, t in network(1).items()
    }
    if beside and start:
        state |= {"criterion.weight": torch.zeros(1), "mask_token": torch.zeros(1)}

    found = written(nested(keys, state), folder).network(ANCHOR, "a ViT", averaged=averaged)

    assert found.prefix == dotted(keys) + start
    assert found.weights.keys() == set(NAMES)
    assert all(torch.equal(tensor, network(1)[name]) for name, tensor in found.weights.items())


@settings(max_examples=40)
@given(keys=KEYS, average=st.sampled_from(AVERAGES), flat=st.booleans())
def test_averages_are_told_from_what_was_trained(
    keys: list[str], average: str, flat: bool, folder: Path
) -> None:
    both = {"student": network(1), average: network(2)}
    flattened = {
        f"{key}.{name}": tensor for key, state in both.items() for name, tensor in state.items()
    }
    content = nested(keys, flattened if flat else both)

    def values(averaged: bool, prefix: str | None = None) -> float:
        found = written(content, folder, prefix).network(ANCHOR, "a ViT", averaged=averaged)
        return float(found.weights[ANCHOR][0])

    assert values(averaged=True) == 2 and values(averaged=False) == 1
    assert values(averaged=True, prefix=f"{dotted(keys)}student") == 1
    assert values(averaged=False, prefix=f"{dotted(keys)}{average}.") == 2
    found = written(content, folder).average(ANCHOR)
    assert found is not None and found.weights[ANCHOR][0] == 2


def test_chunks_of_blocks_are_joined(folder: Path) -> None:
    state = {
        ANCHOR: torch.zeros(1),
        "blocks.0.2.norm1.bias": torch.zeros(1),
        "blocks.3.11.norm1.bias": torch.ones(1),
    }
    found = written(state, folder).network(ANCHOR, "a ViT")
    assert found.weights.keys() == {ANCHOR, "blocks.2.norm1.bias", "blocks.11.norm1.bias"}


@pytest.mark.parametrize(
    ("content", "prefix", "message"),
    [
        ({"a": network(1), "b": network(2)}, None, "network, got those behind 'a.', 'b.'; set teacher.prefix to one"),
        ({"a": network(1), "b": network(2)}, "c", "expected teacher.prefix to be one of 'a.', 'b.', got 'c'"),
        ({"ema": {"a": network(1), "b": network(2)}}, None, "one network, got those behind 'ema.a.', 'ema.b.'"),
        (
            {"x": {"fc.weight": torch.zeros(1), "head.0.bias": torch.zeros(1)}}, None,
            f"expected the weights of a ViT, {ANCHOR} among them, got names that begin with 'x.fc', 'x.head'",
        ),
        ({f"w{i}": torch.zeros(1) for i in range(9)}, None, "begin with 'w0', 'w1', 'w2', 'w3' and 5 more"),
    ],
)  # fmt: skip
def test_what_is_not_found_is_told(
    content: Any, prefix: str | None, message: str, folder: Path
) -> None:
    with pytest.raises(ModelError) as raised:
        written(content, folder, prefix).network(ANCHOR, "a ViT")
    assert message in str(raised.value)


def test_of_two_averages_neither_is_taken_for_the_one(folder: Path) -> None:
    file = written({"model": network(1), "ema": {"a": network(1), "b": network(2)}}, folder)
    assert file.network(ANCHOR, "a ViT").prefix == "model."
    with pytest.raises(ModelError, match=r"got those behind 'ema\.a\.', 'ema\.b\.'"):
        file.average(ANCHOR)


def test_a_network_among_those_that_its_prefix_begins_is_taken_alone(folder: Path) -> None:
    bare, inner, deepest = network(1), network(2), network(3)
    content = bare | {f"left.{name}": tensor for name, tensor in inner.items()}
    content |= {f"left.right.{name}": tensor for name, tensor in deepest.items()}

    for prefix, expected in {
        "": bare,
        "left": inner,
        "left.": inner,
        "left.right": deepest,
    }.items():
        found = written(content, folder, prefix).network(ANCHOR, "a ViT")
        assert found.weights.keys() == set(NAMES), prefix
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.weights.items()), (
            prefix
        )
