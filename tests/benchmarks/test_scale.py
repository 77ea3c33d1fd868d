from pathlib import Path
from xml.etree import ElementTree

import pytest

from surgstream.benchmarks.support.simulation import FRAME_BYTES, WINDOW, Traffic, simulate
from surgstream.benchmarks.themes.draw_order import SIZES
from surgstream.benchmarks.themes.scale import CONFIG, LOOK_BACK, START, WARM_UP, plot, table
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from tests.helpers.handmade import Layout, write_corpus
from tests.helpers.streams import clip_stream

LAYOUT: Layout = {
    "long": [{"a": [(0, 300)]}, {"b": [(0, 250)], "c": [(0, 57)]}],
    "short": [{"d": [(0, 130)]}],
}


@pytest.mark.parametrize("ranks", [1, 3, 6])
def test_ranks_read_as_often_as_simulated(tmp_path: Path, ranks: int) -> None:
    """Every rank's own counter, from the second step on: the clips of the first are read one by one."""
    write_corpus(tmp_path, LAYOUT)
    frames = FrameTable.open(open_storage(str(tmp_path)))
    order = Order.create(frames.sizes(), 5, OrderConfig(open_chunks=12, chunk_frames=15))
    batch, steps, read = 18, 40, 0
    for rank in range(ranks):
        stream = clip_stream(
            frames, order, num_frames=3, stride=2, global_batch_size=batch, micro_batch_size=3, rank=rank,
            world_size=ranks, start=0, stop=batch * (1 + steps), read=ReadConfig(threads=1),
        )  # fmt: skip
        with stream:
            for _ in stream:
                pass
        read += stream.counters.chunks_read - batch // ranks
    simulated = simulate(
        order, ranks=ranks, clips_per_rank=batch // ranks, micro_batch_size=3, look_back=4, start=batch, warm_up=0,
        count=batch * steps, window=batch,
    )  # fmt: skip
    clips = batch * steps
    assert round(simulated.gets_per_clip * clips) == 2 * read, (
        "one for the index, one for the frames"
    )


@pytest.fixture(
    scope="module", params=[(8, 256), (64, 32), (512, 4)], ids=lambda sizes: f"{sizes[0]} ranks"
)
def traffic(request: pytest.FixtureRequest) -> Traffic:
    ranks, clips = request.param
    order = Order.create(SIZES, 0, CONFIG)
    return simulate(
        order, ranks=ranks, clips_per_rank=clips, micro_batch_size=min(64, clips), look_back=LOOK_BACK, start=START,
        warm_up=WARM_UP, count=20 * WINDOW,
    )  # fmt: skip


@pytest.mark.slow
def test_a_clip_costs_little_traffic(traffic: Traffic) -> None:
    """SurgVISTA's corpus at 16 frames of 20 kB, every fourth: a chunk is its clips and the 60 frames before them."""
    most = {8: 32, 64: 40, 512: 60}[traffic.ranks]
    assert 20 < traffic.node_kb_per_clip <= traffic.kb_per_clip < most
    assert traffic.node_kb_per_clip < 40


def test_memory_is_what_the_order_says(traffic: Traffic) -> None:
    """About lanes x (chunk + look-back) frames over all ranks, for each rank that reads a chunk."""
    order = Order.create(SIZES, 0, CONFIG)
    frames = sum(report.lanes * (report.chunk_clips + LOOK_BACK) for report in order.report())
    everywhere = traffic.open_mb * traffic.ranks
    assert 0.95 < everywhere / (frames * FRAME_BYTES / 1e6) < traffic.readers * 1.1
    assert traffic.open_mb <= traffic.most_open_mb


def test_table_and_plot_show_every_number_of_ranks(traffic: Traffic) -> None:
    assert f"| {traffic.ranks:,} | 2,048 | {traffic.kb_per_clip:.1f} |" in table([traffic], 400)
    root = ElementTree.fromstring(plot([traffic], 400))
    assert f"{traffic.ranks}" in {
        text.text for text in root.iter("{http://www.w3.org/2000/svg}text")
    }
