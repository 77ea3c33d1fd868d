"""Still images have a share of the order of their own."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.order.mixture import with_share
from surgstream.shards.order.sequence import DatasetSize, Order, OrderConfig

SIZES = (
    DatasetSize("cholec", "abdomen", 300),
    DatasetSize("eye", "ophthalmology", 100),
    DatasetSize("pictures", "images", 700, stills=True),
    DatasetSize("polyps", "images", 100, stills=True),
)
CONFIG = OrderConfig(stills_share=0.6, open_chunks=8, chunk_frames=20)


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 99), min_size=2),
    st.integers(1, 999),
    st.data(),
)
def test_stills_get_their_share_and_all_keep_theirs_among_their_own(
    masses: dict[str, int], thousandths: int, data: st.DataObject
) -> None:
    total = sum(masses.values())
    shares = {name: Fraction(mass, total) for name, mass in masses.items()}
    names = sorted(masses)
    stills = set(names[: data.draw(st.integers(1, len(names) - 1))])
    found = with_share(shares, stills, thousandths / 1000)
    assert sum(found.values()) == 1
    assert sum(found[name] for name in stills) == Fraction(thousandths, 1000)
    for group in (stills, {*names} - stills):
        first, *others = sorted(group)
        assert all(found[name] * shares[first] == found[first] * shares[name] for name in others)


@pytest.mark.parametrize("weights", ["uniform", "balanced", {"temperature": 0.0}])
def test_every_period_has_exactly_that_share(weights: str | dict[str, float]) -> None:
    order = Order.create(SIZES, 3, replace(CONFIG, weights=weights))
    asked = {report.name: report.asked for report in order.report()}
    assert asked["pictures"] + asked["polyps"] == pytest.approx(0.6)
    if weights == "uniform":
        assert asked["pictures"] == pytest.approx(0.6 * 7 / 8)

    period = sum(plan.count for plan in order.revisions[-1].datasets)
    names = np.array(order.dataset_names)
    for start in (0, period, 5 * period):
        drawn = names[order.draws(start, period).dataset]
        assert np.isin(drawn, ["pictures", "polyps"]).sum() == round(0.6 * period)


def test_it_is_part_of_the_order_and_of_its_past() -> None:
    order = Order.create(SIZES, 3, CONFIG)
    again = Order.from_json(order.to_json())
    assert np.array_equal(again.draws(0, 999).clip, order.draws(0, 999).clip)
    assert not again.differences(SIZES, CONFIG)

    changed = replace(CONFIG, stills_share=0.2)
    assert again.differences(SIZES, changed) == {"weights": "stills_share was 0.6, now 0.2"}
    resumed = again.resumed(500, SIZES, changed)
    assert np.array_equal(resumed.draws(0, 500).clip, order.draws(0, 500).clip)
    later = np.array(resumed.dataset_names)[resumed.draws(500, 10_000).dataset]
    assert np.isin(later, ["pictures", "polyps"]).mean() == pytest.approx(0.2, abs=0.002)


def test_an_order_of_before_knows_neither_share_nor_stills() -> None:
    config = replace(CONFIG, stills_share=None)
    tree = Order.create(SIZES, 3, config).to_json()
    for revision in tree["segments"]:
        del revision["stills_share"]
        for dataset in revision["datasets"]:
            del dataset["size"]["stills"]
    before = Order.from_json(tree)
    assert before.resumed(100, SIZES, config) is before


@pytest.mark.parametrize(
    ("sizes", "weights", "found"),
    [
        (SIZES[:2], "uniform", "none are drawn"),
        (SIZES[2:], "uniform", "nothing else is drawn"),
        (SIZES, {"cholec": 1, "eye": 1, "pictures": 0, "polyps": 0}, "none are drawn"),
    ],
)
def test_a_share_of_nothing_is_refused(
    sizes: tuple[DatasetSize, ...], weights: str | dict[str, float], found: str
) -> None:
    with pytest.raises(ConfigError, match=f"stills_share: expected datasets .*{found}"):
        Order.create(sizes, 1, replace(CONFIG, weights=weights))
