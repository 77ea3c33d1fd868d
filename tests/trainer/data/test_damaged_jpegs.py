"""A corpus with JPEGs that were packed damaged, from its shards to batches of pixels."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surgstream.configs.loading import load
from surgstream.shards.reading.clips import BadClip
from surgstream.trainer.assembly import clip_source, open_corpus
from surgstream.trainer.batch import ClipBatch
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.distributed import RankInfo
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.resume import order_from
from tests.helpers.handmade import HEIGHT, WIDTH, write_corpus

pytestmark = pytest.mark.usefixtures("alone")

NUM_DRAWS, STRIDE, NUM_FRAMES = 48, 2, 4
DAMAGED = {("knee", "a", 20): "data", ("hip", "b", 7): "header"}


def picture(dataset: str, video: str, frame: int) -> bytes:
    """A grey picture, of which two are packed with damage in what comes after the size."""
    data = io.BytesIO()
    level = sum(f"{dataset}{video}{frame}".encode()) % 256
    Image.new("RGB", (WIDTH, HEIGHT), (level, level, level)).save(data, "JPEG")
    jpeg = bytearray(data.getvalue())

    scan = jpeg.index(b"\xff\xda")
    match DAMAGED.get((dataset, video, frame)):
        case "data":
            jpeg[scan + 4] = 9  # as many colours
        case "header":
            jpeg[scan] = 0
    return bytes(jpeg)


AUGMENTED = "data.augment={resized_crop: {}, flip: 0.5, rand_augment: {probability: 1.0}, erase: {probability: 0.5}}"


@pytest.fixture(params=[(), (AUGMENTED,)], ids=["cropped", "augmented"])
def config(tmp_path: Path, request: pytest.FixtureRequest) -> TrainConfig:
    layout = {"knee": [{"a": [(0, 40)]}], "hip": [{"b": [(0, 30)]}]}
    write_corpus(tmp_path, layout, picture=picture)
    words = [
        f"data.corpus={tmp_path}", "held_out=null", f"data.stride={STRIDE}", "global_batch_size=8",
        "micro_batch_size=2", "objective.encoder.image_size=32",
        f"objective.encoder.num_frames={NUM_FRAMES}", *request.param,
    ]  # fmt: skip
    recipe = Path(__file__).parents[3] / "configs" / "pretrain" / "surgvista_tiny.yaml"
    return load(TrainConfig, recipe, words)


def read(
    config: TrainConfig, world_size: int, start: int = 0
) -> tuple[list[ClipBatch], list[BadClip]]:
    """All batches of all ranks from a draw on, and what they had to replace."""
    corpus = open_corpus(config.data.corpus, config.data)
    order = order_from(Progress(step=0, clips_seen=0, state={}), config, corpus)
    batches, bad = [], []
    for rank in range(world_size):
        rank_info = RankInfo(rank=rank, world_size=world_size)
        source = clip_source(config, rank_info, corpus, config.data.augment)
        with source.open(order, global_batch_size=8, start=start) as loader:
            batches += itertools.islice(loader, (NUM_DRAWS - start) // 2 // world_size)
            bad += loader.stream.bad_clips
    return batches, bad


def pixels(batches: list[ClipBatch]) -> dict[int, tuple[object, bytes]]:
    """What each draw shows, and of which clip."""
    found = {}
    for batch in batches:
        for i, g in enumerate(batch.draws.tolist()):
            found[g] = batch.names[i], np.ascontiguousarray(batch.clips[i]).tobytes()
    return found


def test_their_clips_are_replaced_alike_on_any_ranks_and_after_any_resume(
    config: TrainConfig,
) -> None:
    batches, bad = read(config, world_size=1)
    alone = pixels(batches)
    assert sorted(alone) == list(range(NUM_DRAWS)), "no batch shrinks"
    replaced = {g for g, (name, _) in alone.items() if name.planned}  # type: ignore[attr-defined]
    assert replaced and replaced <= {clip.draw for clip in bad}

    together, _ = read(config, world_size=2)
    assert pixels(together) == alone
    resumed, _ = read(config, world_size=2, start=16)
    assert pixels(resumed) == {g: clip for g, clip in alone.items() if g >= 16}


def test_each_is_named_with_its_cause(config: TrainConfig) -> None:
    _, bad = read(config, world_size=1)
    causes = {(clip.dataset, clip.cause.video, clip.cause.frame): clip.cause.reason for clip in bad}
    assert causes.keys() == DAMAGED.keys()
    assert (
        causes["hip", "b", 7] == f"expected a JPEG of {WIDTH}x{HEIGHT} pixels, got no JPEG header"
    )
    assert causes["knee", "a", 20].startswith("expected a JPEG that can be decoded, DALI says: ")
