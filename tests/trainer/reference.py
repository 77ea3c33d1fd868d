"""A slow video transformer in NumPy, float64 and loops: what the fast one is tested against. Shares no code with it.

Also the keyed random numbers in Python integers, written from the definition of SplitMix64's finaliser.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
State = Mapping[str, Array]
Scales = list[tuple[float, float]]

MASK, DROP_PATH = 7, 8
_GOLDEN, _WRAP = 0x9E3779B97F4A7C15, 2**64


def mix64(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % _WRAP
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % _WRAP
    return x ^ (x >> 31)


def hash64(*parts: int) -> int:
    state = 0
    for part in parts:
        state = mix64((state + _GOLDEN) % _WRAP ^ mix64((part + _GOLDEN) % _WRAP))
    return state


def masked_tubes(seed: int, g: int, num_tubes: int, num_masked: int) -> list[int]:
    key = hash64(seed, MASK, g)
    return sorted(sorted(range(num_tubes), key=lambda tube: hash64(key, tube))[:num_masked])


def drop_path_scales(rate: float, depth: int, seed: int, network: int, g: int) -> Scales:
    key = hash64(seed, DROP_PATH, network, g)
    scales = []
    for i in range(depth):
        p = rate * i / (depth - 1) if depth > 1 else 0.0
        draws = [(hash64(key, number) >> 11) / 2**53 for number in (2 * i, 2 * i + 1)]
        of_attention, of_mlp = (0.0 if draw < p else 1.0 / (1.0 - p) for draw in draws)
        scales.append((of_attention, of_mlp))
    return scales


def linear(x: Array, state: State, name: str) -> Array:
    return np.array([state[f"{name}.weight"] @ token + state[f"{name}.bias"] for token in x])


def layer_norm(x: Array, state: State, name: str) -> Array:
    rows = []
    for token in x:
        mean = token.sum() / len(token)
        variance = ((token - mean) ** 2).sum() / len(token)
        rows.append(
            (token - mean) / math.sqrt(variance + 1e-6) * state[f"{name}.weight"]
            + state[f"{name}.bias"]
        )
    return np.array(rows)


def gelu(x: Array) -> Array:
    return np.array(
        [[0.5 * v * (1.0 + math.erf(v / math.sqrt(2.0))) for v in token] for token in x]
    )


def attention(x: Array, state: State, name: str, num_heads: int) -> Array:
    width = x.shape[1]
    head = width // num_heads
    weight = state[f"{name}.qkv.weight"]
    q = x @ weight[:width].T + state[f"{name}.q_bias"]
    k = x @ weight[width : 2 * width].T
    v = x @ weight[2 * width :].T + state[f"{name}.v_bias"]
    out = np.zeros_like(x)
    for h in range(num_heads):
        part = slice(h * head, (h + 1) * head)
        for i in range(len(x)):
            scores = np.array([q[i, part] @ k[j, part] for j in range(len(x))]) / math.sqrt(head)
            weights = np.exp(scores - scores.max())
            weights /= weights.sum()
            out[i, part] = sum(weights[j] * v[j, part] for j in range(len(x)))
    return linear(out, state, f"{name}.projection")


def blocks(x: Array, state: State, name: str, num_heads: int, scales: Scales) -> Array:
    for i, (of_attention, of_mlp) in enumerate(scales):
        block = f"{name}.{i}"
        x = x + of_attention * attention(
            layer_norm(x, state, f"{block}.norm1"), state, f"{block}.attention", num_heads
        )
        hidden = gelu(linear(layer_norm(x, state, f"{block}.norm2"), state, f"{block}.mlp.0"))
        x = x + of_mlp * linear(hidden, state, f"{block}.mlp.2")
    return x


def position(embed_dim: int, slice_: int, row: int, column: int) -> list[float]:
    values = []
    for coordinate, width in (
        (slice_, embed_dim // 4),
        (column, 3 * embed_dim // 8),
        (row, 3 * embed_dim // 8),
    ):
        angles = [coordinate / 10000 ** (2 * i / width) for i in range(width // 2)]
        values += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return values


def coordinates(token: int, rows: int, columns: int) -> tuple[int, int, int]:
    return token // (rows * columns), token // columns % rows, token % columns


def tubelet(clip: Array, token: int, tubelet_size: int, patch_size: int) -> Array:
    """One token's pixels, (C, t, p, p)."""
    _, _, height, width = clip.shape
    s, r, c = coordinates(token, height // patch_size, width // patch_size)
    return clip[
        :,
        s * tubelet_size : (s + 1) * tubelet_size,
        r * patch_size : (r + 1) * patch_size,
        c * patch_size : (c + 1) * patch_size,
    ]


def encode(
    clip: Array,
    state: State,
    visible: list[int],
    scales: Scales,
    num_heads: int,
    tubelet_size: int,
    patch_size: int,
) -> Array:
    rows, columns = clip.shape[2] // patch_size, clip.shape[3] // patch_size
    weight, bias = state["embedding.projection.weight"], state["embedding.projection.bias"]
    tokens = [
        weight @ tubelet(clip, token, tubelet_size, patch_size).reshape(-1)
        + bias
        + np.array(position(len(bias), *coordinates(token, rows, columns)))
        for token in visible
    ]
    return layer_norm(blocks(np.array(tokens), state, "blocks", num_heads, scales), state, "norm")


def decode(
    encoded: Array,
    state: State,
    visible: list[int],
    masked: list[int],
    scales: Scales,
    num_heads: int,
    rows: int,
    columns: int,
) -> Array:
    width = len(state["mask_token"])

    def place(token: int) -> Array:
        return np.array(position(width, *coordinates(token, rows, columns)))

    shown = linear(encoded, state, "projection") + np.array([place(token) for token in visible])
    hidden = np.array([state["mask_token"] + place(token) for token in masked])
    x = blocks(np.concatenate([shown, hidden]), state, "blocks", num_heads, scales)
    return linear(layer_norm(x[len(visible) :], state, "norm"), state, "head")
