import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.configs.loading import build
from surgstream.shards.errors import ManifestError
from surgstream.shards.order.draws import Draws
from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig, place

SIZES = (DatasetSize("big", "s", 700), DatasetSize("mid", "s", 90), DatasetSize("small", "t", 23))
CONFIG = OrderConfig(open_chunks=8, chunk_frames=20)
WEIGHTS = st.sampled_from(["uniform", "balanced", {"big": 0.5, "mid": 0.3, "small": 0.2}])


def columns(draws: Draws) -> dict[str, list[int]]:
    return {name: array.tolist() for name, array in vars(draws).items()}


def clips(draws: Draws) -> list[tuple[int, int, int]]:
    return list(
        zip(draws.number.tolist(), draws.dataset.tolist(), draws.clip.tolist(), strict=True)
    )


@given(WEIGHTS, st.integers(0, 10**6), st.lists(st.integers(1, 60), min_size=1, max_size=5))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_draws_do_not_depend_on_how_they_are_asked_for(
    weights: str | dict[str, float], start: int, counts: list[int]
) -> None:
    order = Order.create(SIZES, 3, OrderConfig(weights=weights, open_chunks=8, chunk_frames=20))
    whole = columns(order.draws(start, sum(counts)))
    pieces, at = [], start
    for count in counts:
        pieces.append(columns(order.draws(at, count)))
        at += count
    assert whole == {name: [x for piece in pieces for x in piece[name]] for name in whole}
    assert whole["number"] == list(range(start, start + sum(counts)))


@pytest.mark.parametrize("weights", ["uniform", "balanced"])
def test_every_epoch_of_every_dataset_draws_each_clip_once(weights: str) -> None:
    order = Order.create(SIZES, 3, OrderConfig(weights=weights, open_chunks=8, chunk_frames=20))
    draws = order.draws(0, 6000)
    for d, size in enumerate(SIZES):
        ours = draws.dataset == d
        assert draws.k[ours].tolist() == list(range(ours.sum()))
        for epoch in range(ours.sum() // size.num_clips):
            assert sorted(draws.clip[ours & (draws.epoch == epoch)].tolist()) == list(
                range(size.num_clips)
            )


def test_uniform_draws_every_clip_once_a_pass() -> None:
    draws = Order.create(SIZES, 3, CONFIG).draws(813 * 5, 813)
    assert len(set(zip(draws.dataset.tolist(), draws.clip.tolist(), strict=True))) == 813
    assert (draws.epoch == 5).all()


@pytest.mark.slow
def test_a_million_clips_of_fifty_datasets_are_shared_exactly() -> None:
    sizes = [DatasetSize(f"d{i:02d}", f"specialty {i % 13}", 300 + 41 * i * i) for i in range(50)]
    order = Order.create(sizes, 2, OrderConfig(weights="balanced", open_chunks=256))
    period = 13 * 12  # three or four datasets in each specialty
    num_draws = 10**6 // period * period
    datasets = np.concatenate(
        [order.draws(g, min(2048, num_draws - g)).dataset for g in range(0, num_draws, 2048)]
    )
    counts = np.stack([np.bincount(row, minlength=50) for row in datasets.reshape(-1, period)])
    crowd = np.bincount(np.arange(50) % 13)
    assert (counts == 12 // crowd[np.arange(50) % 13]).all()


def test_seeds_give_other_orders() -> None:
    orders = [clips(Order.create(SIZES, seed, CONFIG).draws(0, 100)) for seed in (1, 2)]
    assert sum(a == b for a, b in zip(*orders, strict=True)) < 20


def test_golden_vectors() -> None:
    draws = Order.create(
        SIZES, 42, OrderConfig(weights="balanced", open_chunks=8, chunk_frames=20)
    ).draws(10_000, 8)
    assert draws.dataset.tolist() == [2, 1, 0, 2, 1, 0, 2, 2]
    assert draws.epoch.tolist() == [217, 27, 3, 217, 27, 3, 217, 217]
    assert draws.lane.tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert draws.clip.tolist() == [1, 2, 309, 20, 65, 254, 16, 22]


def test_a_corpus_of_a_billion_clips_starts_anywhere() -> None:
    """Would run out of memory or time if anything were as long as the corpus."""
    sizes = [DatasetSize(f"d{i}", "s", 200_000_000 + i) for i in range(6)]
    order = Order.create(sizes, 1, OrderConfig())
    for start in (0, 10**9 + 7, 10**12):
        draws = order.draws(start, 2048)
        assert draws.number.size == len(set(clips(draws))) == 2048


@pytest.mark.slow
def test_chunk_openings_are_steady() -> None:
    """10-step means of chunk openings over all datasets are at most 1.5 times their mean, epoch ends included."""
    sizes = [
        DatasetSize("a", "s", 30_000),
        DatasetSize("b", "t", 12_000),
        DatasetSize("c", "t", 5_000),
    ]
    order, batch = Order.create(sizes, 1, OrderConfig(open_chunks=128, chunk_frames=40)), 128
    current: dict[tuple[int, int], int] = {}
    opened = []
    for step in range(3 * 47_000 // batch):
        draws, before = order.draws(step * batch, batch), len(opened)
        opened.append(0)
        for dataset, lane, chunk in zip(
            draws.dataset.tolist(), draws.lane.tolist(), draws.chunk_first.tolist(), strict=True
        ):
            opened[before] += current.get((dataset, lane)) != chunk
            current[dataset, lane] = chunk
    means = np.convolve(opened[10:], np.ones(10) / 10, "valid")
    assert means.max() <= 1.5 * np.mean(opened[10:])


def test_the_report_tells_shares_and_repeats() -> None:
    big, mid, small = Order.create(
        SIZES, 1, OrderConfig(weights="balanced", open_chunks=8, chunk_frames=20)
    ).report()
    assert (big.share, mid.share, small.share) == (0.25, 0.25, 0.5)
    assert small.repeats == pytest.approx(0.5 * 813 / 23)
    assert (big.lanes, big.chunk_clips) == (2, 20)
    order = Order.create(SIZES, 1, CONFIG)
    assert [row.repeats for row in order.report()] == [1, 1, 1]
    assert order.num_clips == 813
    assert order.num_lanes == sum(row.lanes for row in order.report()) == 9


def test_json_keeps_the_order() -> None:
    order = Order.create(SIZES, 7, OrderConfig(weights={"big": 0.1, "mid": 1, "small": 0}))
    order = order.resumed(50, SIZES[:2], CONFIG)
    back = Order.from_json(json.loads(json.dumps(order.to_json())))
    assert back == order
    assert columns(back.draws(0, 200)) == columns(order.draws(0, 200))


def test_a_damaged_state_is_refused() -> None:
    tree = Order.create(SIZES, 7, CONFIG).to_json()
    del tree["segments"][0]["lanes"]
    with pytest.raises(ConfigError, match=r"state of the order.*\n.*lanes: missing"):
        Order.from_json(tree)


@pytest.mark.parametrize(("start", "count"), [(-1, 5), (0, 0)])
def test_draws_refuses_what_does_not_exist(start: int, count: int) -> None:
    with pytest.raises(ValueError, match="expected start >= 0 and count >= 1"):
        Order.create(SIZES, 7, CONFIG).draws(start, count)


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(ManifestError, match="the corpus is empty: expected at least one dataset"):
        Order.create([], 0, CONFIG)
    for num_clips, remedy in (
        (0, "raise data.fps, its parts are shorter than a frame"),
        (2**31, "split it in two"),
    ):
        with pytest.raises(
            ManifestError,
            match=rf"dataset x: expected between 1 and 2147483647 clips, got {num_clips}; .*{remedy}",
        ):
            Order.create([DatasetSize("x", "s", num_clips)], 0, CONFIG)


def test_the_configuration_says_all_that_is_wrong() -> None:
    with pytest.raises(ConfigError) as error:
        build(
            OrderConfig,
            {"open_chunks": 0, "chunk_frames": -1, "weights": {"a": -1.0, "b": -2.0}},
            where="x",
        )
    for problem in (
        "open_chunks: expected",
        "chunk_frames: expected",
        "weights.a: expected",
        "weights.b: expected",
    ):
        assert problem in str(error.value)
    with pytest.raises(ConfigError, match="weights: expected at least one above 0"):
        build(OrderConfig, {"weights": {"a": 0}}, where="x")


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 6)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=25, derandomize=True, deadline=None)
def test_any_sequence_of_runs_consumes_the_plan(runs: list[tuple[int, int, int, int]]) -> None:
    """World size, micro-batch and global batch may change at every resume: nothing is lost, nothing comes twice."""
    order, g, consumed = Order.create(SIZES, 3, CONFIG), 0, []
    for micro_batch, world, accumulation, steps in runs:
        order = Order.from_json(order.to_json()).resumed(g, SIZES, CONFIG)
        for _ in range(steps):
            draws = order.draws(g, micro_batch * world * accumulation)
            members = place(draws, micro_batch_size=micro_batch, world_size=world).members
            for rank in range(world):
                consumed += [clips(draws)[i] for i in members[rank].ravel()]
            g += draws.number.size
    assert sorted(consumed) == clips(order.draws(0, g))
