"""The linear readout, on features whose labels are known to be there or not."""

import contextlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from surgstream.shards.order.sequence import DatasetSize
from surgstream.trainer.batch import ClipBatch, ClipName
from surgstream.trainer.probing import linear_probe as probe
from surgstream.trainer.probing.linear_probe import ClipsWithLabels, Labelled, Probe, linear_probe

NAMES = ("cut", "rest", "sew")


def labelled(num: int, *, signal: float, seed: int, width: int = 40) -> Labelled:
    """Features in which a third of the clips each are moved along a direction of their label's own."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(
        torch.randn(3, width, generator=torch.Generator().manual_seed(0)), dim=1
    )
    which = torch.arange(num) % 3
    features = torch.randn(num, width, generator=generator) + signal * directions[which] + 100.0
    return Labelled(
        features, tuple(NAMES[i] for i in which.tolist()), tuple(f"set/{i % 7}" for i in range(num))
    )


def accuracy(fit: Labelled, test: Labelled) -> float:
    said = linear_probe(fit, test.features)
    return sum(a == b for a, b in zip(said, test.labels, strict=True)) / len(said)


@pytest.mark.slow
def test_what_is_there_is_found_and_what_is_not_is_not() -> None:
    fit = labelled(210, signal=6.0, seed=1)
    assert accuracy(fit, labelled(300, signal=6.0, seed=2)) > 0.97
    none = labelled(210, signal=0.0, seed=1)
    assert abs(accuracy(none, labelled(900, signal=0.0, seed=2)) - 1 / 3) < 0.08


@pytest.mark.slow
def test_more_features_than_clips_are_no_obstacle() -> None:
    assert (
        accuracy(
            labelled(120, signal=12.0, seed=1, width=3000),
            labelled(300, signal=12.0, seed=2, width=3000),
        )
        > 0.9
    )


def test_it_does_not_depend_on_the_scale_or_place_of_a_feature() -> None:
    fit, test = labelled(210, signal=3.0, seed=1), labelled(90, signal=3.0, seed=2)
    scale = torch.logspace(-3, 3, 40)
    moved = [
        Labelled(some.features * scale - 7.0, some.labels, some.videos) for some in (fit, test)
    ]
    assert linear_probe(moved[0], moved[1].features) == linear_probe(fit, test.features)


@pytest.mark.parametrize("videos", [1, 2])
def test_few_videos_are_enough(videos: int) -> None:
    fit = labelled(60, signal=6.0, seed=1)
    few = Labelled(fit.features, fit.labels, tuple(str(i % videos) for i in range(60)))
    assert accuracy(few, labelled(90, signal=6.0, seed=2)) > 0.9


def test_a_probe_makes_way_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches(num_clips: int) -> Any:
        return contextlib.nullcontext(
            ClipBatch(
                clips=torch.rand(2, 3, 1, 4, 4),
                draws=np.array([g, g + 1]),
                names=(ClipName("set", f"v{g}", 0), ClipName("set", f"v{g}", 1)),
                valid=np.array([True, True]),
            )
            for g in range(0, num_clips, 2)
        )

    monkeypatch.setattr(
        probe,
        "FrameLabels",
        lambda corpus, kind: SimpleNamespace(of=lambda name, g: [NAMES[g[0] % 3]]),
    )
    monkeypatch.setattr(probe, "all_gather", lambda share: [share])
    corpus = SimpleNamespace(
        storage=SimpleNamespace(uri="corpus"), sizes=lambda: [DatasetSize("set", "s", 100)]
    )
    clips: Any = ClipsWithLabels(SimpleNamespace(open_pass=batches), corpus, "phase", 10)  # type: ignore[arg-type]
    asked = list[None]()

    def measure(stop_after: int) -> dict[str, float]:
        asked.clear()
        return Probe(clips, clips).measure(
            lambda some: some.flatten(1), lambda: len(asked.append(None) or asked) > stop_after
        )

    assert measure(stop_after=100)["accuracy"] >= 0.0 and len(asked) == 5 + 5
    for batch in range(10):
        assert measure(stop_after=batch) == {} and len(asked) == batch + 1
