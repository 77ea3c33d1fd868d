from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig

A, B, C = DatasetSize("a", "s", 300), DatasetSize("b", "s", 100), DatasetSize("c", "t", 50)
CONFIG = OrderConfig(open_chunks=6, chunk_frames=10)
BALANCED = replace(CONFIG, weights="balanced")
G0 = 333


def drawn(order: Order, dataset: str, start: int, stop: int) -> list[tuple[int, int]]:
    """Epoch and clip of every draw of a dataset in [start, stop)."""
    draws = order.draws(start, stop - start)
    ours = draws.dataset == order.dataset_names.index(dataset)
    return list(zip(draws.epoch[ours].tolist(), draws.clip[ours].tolist(), strict=True))


def assert_whole_epochs(order: Order, size: DatasetSize, stop: int, epochs: Iterable[int]) -> None:
    history = drawn(order, size.name, 0, stop)
    for epoch in epochs:
        assert sorted(clip for e, clip in history if e == epoch) == list(range(size.num_clips))


def test_nothing_new_keeps_the_order() -> None:
    order = Order.create([A, B], 1, CONFIG)
    assert order.resumed(G0, [A, B], CONFIG) is order
    assert order.differences([A, B], CONFIG) == {}
    assert order.resumed(G0, [A, B], replace(CONFIG, micro_batches="mixed")) is order


def test_new_weights_leave_the_past_and_the_epochs_alone() -> None:
    before = Order.create([A, B], 1, CONFIG)
    after = before.resumed(G0, [A, B], BALANCED)
    assert [segment.start for segment in after.revisions] == [0, G0]
    for name in vars(before.draws(0, G0)):
        assert np.array_equal(getattr(after.draws(0, G0), name), getattr(before.draws(0, G0), name))
    shares = np.bincount(after.draws(G0, 200).dataset)
    assert shares.tolist() == [100, 100]
    assert_whole_epochs(after, A, 2000, epochs=[0, 1])
    assert_whole_epochs(after, B, 2000, epochs=range(8))
    assert set(after.draws(0, 2000).number.tolist()) == set(range(2000))


def test_weights_may_change_again_and_again() -> None:
    order = Order.create([A, B], 1, CONFIG)
    for g, config in ((G0, BALANCED), (G0 + 50, CONFIG), (G0 + 50, BALANCED), (999, CONFIG)):
        order = order.resumed(g, [A, B], config)
    assert len(order.revisions) == 5
    assert_whole_epochs(order, A, 2000, epochs=[0, 1, 2])
    assert_whole_epochs(order, B, 2000, epochs=range(5))


def test_a_grown_corpus_goes_on_where_it_can() -> None:
    before = Order.create([A, B], 1, CONFIG)
    grown = replace(B, num_clips=130)
    after = before.resumed(G0, [C, grown, A], CONFIG)
    assert after.dataset_names == ("a", "b", "c")
    assert_whole_epochs(after, A, 3000, epochs=[0, 1, 2])
    assert_whole_epochs(after, C, 3000, epochs=[0, 1, 2])
    assert_whole_epochs(after, grown, 3000, epochs=[1, 2, 3])  # epoch 0 was cut short
    assert {epoch for epoch, _ in drawn(before, "b", 0, G0)} == {0}


def test_a_dataset_that_leaves_is_not_drawn_and_may_come_back() -> None:
    order = Order.create([A, B], 1, CONFIG).resumed(G0, [A], CONFIG)
    assert drawn(order, "b", G0, 1000) == []
    assert order.resumed(700, [A], CONFIG) is order
    assert [row.name for row in order.report()] == ["a"]
    back = order.resumed(1000, [A, B], CONFIG)
    assert_whole_epochs(back, B, 2000, epochs=[0, 1])
    assert_whole_epochs(back, A, 2000, epochs=range(4))


def test_other_lanes_start_new_epochs() -> None:
    order = Order.create([A, B], 1, CONFIG).resumed(G0, [A, B], replace(CONFIG, chunk_frames=25))
    assert_whole_epochs(order, A, 2000, epochs=[1, 2])
    assert drawn(order, "a", G0, G0 + 10)[0][0] == 1


def test_draws_cross_segments() -> None:
    order = Order.create([A, B], 1, CONFIG).resumed(G0, [A, B], BALANCED)
    assert order.draws(G0 - 5, 10).clip.tolist() == [
        *order.draws(G0 - 5, 5).clip.tolist(),
        *order.draws(G0, 5).clip.tolist(),
    ]


def test_differences_say_what_changed() -> None:
    order = Order.create([A, B], 1, CONFIG)
    now = [replace(A, num_clips=301), C]
    assert order.differences(now, replace(BALANCED, open_chunks=7)) == {
        "corpus": "b is gone, c is new, a had 300 clips of s, now 301 clips of s",
        "weights": "weights were uniform, now balanced",
        "chunks": "open_chunks x chunk_frames were 6 x 10, now 7 x 10",
    }


def test_the_past_cannot_change() -> None:
    order = Order.create([A, B], 1, CONFIG).resumed(G0, [A, B], BALANCED)
    with pytest.raises(ValueError, match="expected a draw of at least 333"):
        order.resumed(G0 - 1, [A, B], CONFIG)


def test_every_dataset_has_its_share_of_the_lanes_and_at_least_one() -> None:
    sizes = [
        DatasetSize("a", "s", 100_000),
        DatasetSize("b", "s", 50_000),
        DatasetSize("c", "s", 10),
    ]
    plans = Order.create(sizes, 1, OrderConfig(open_chunks=300)).revisions[0].datasets
    assert [plan.lanes for plan in plans] == [200, 100, 1]
