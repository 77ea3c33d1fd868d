import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surgstream.benchmarks.support.harness import ImplausibleError, Row
from surgstream.benchmarks.themes import loader
from surgstream.benchmarks.themes.loader import Loading, cases, over_bare, take
from tests.helpers import handmade


def picture(dataset: str, video: str, frame: int) -> bytes:
    """A JPEG of noise, another one for each frame."""
    noise = np.random.default_rng(frame).integers(
        256, size=(handmade.HEIGHT, handmade.WIDTH, 3), dtype=np.uint8
    )
    written = io.BytesIO()
    Image.fromarray(noise).save(written, "JPEG")
    return written.getvalue()


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the benchmark looks for its corpus, a small one, of which it takes little."""
    monkeypatch.setattr(loader, "BATCH", 2)
    monkeypatch.setattr(loader, "WARM_UP", 3)
    monkeypatch.setattr(loader, "NUM_BATCHES", 4)
    handmade.write_corpus(tmp_path / "long", {"knee": [{"a": [(0, 90)]}]}, picture=picture)
    return str(tmp_path / "long")


def test_loader_and_graph_do_the_same_clips(corpus: str) -> None:
    loading = Loading(corpus)
    loading.reopen()
    assert loading.loader
    batches = [next(loading.loader) for _ in range(loader.NUM_BATCHES)]
    loading.close()
    assert batches[0].clips.shape == (2, 3, 16, 224, 224)
    ready = loading.undecoded()
    assert np.array_equal(
        [[clip.draw for clip in clips] for clips in ready], [batch.draws for batch in batches]
    )
    decoded = loading.decoder().decode(*loading.decodable(ready[-1]))
    assert np.array_equal(decoded, batches[-1].clips)


def test_both_cases_count_every_clip(corpus: str) -> None:
    for case in cases(Path(corpus).parent):
        assert case.run and case.prepare
        case.prepare()
        assert case.run() == 2 * 4


def test_a_place_in_the_epoch_is_a_draw_of_it(corpus: str) -> None:
    with Loading(corpus).open(0.5) as batches:
        assert next(batches).draws[0] == 90 // 2 // 2 * 2
        assert take(batches, 2) == 4


@pytest.mark.slow
def test_a_new_process_begins_with_what_the_page_cache_has_forgotten(corpus: str) -> None:
    assert loader.evict(corpus) and not loader.evict("s3://bucket/corpus")
    seen = loader.new_process(corpus)
    assert 0 < seen["corpus"] < seen["process"] and seen["peak_mb"] > 0


def row(name: str, *rates: float) -> Row:
    return Row(
        name, "clips", rates[1], rates[0], rates[-1], cpu_seconds=0.0, ratio=1.0, rates=rates
    )


def test_the_ratio_is_taken_repeat_by_repeat() -> None:
    fact = over_bare(row("loader", 90.0, 95.0, 99.0), row("graph", 100.0, 100.0, 110.0))
    assert fact.values == (0.9, 0.95, 0.9) and fact.value == 0.9


def test_a_loader_beyond_its_own_graph_is_an_error() -> None:
    over_bare(row("loader", 100.0, 120.0, 130.0), row("graph", 90.0, 100.0, 110.0))
    with pytest.raises(
        ImplausibleError, match=r"loader: expected at most 110.0 clips/s, as graph, got 111.0"
    ):
        over_bare(row("loader", 111.0, 120.0, 130.0), row("graph", 90.0, 100.0, 110.0))
