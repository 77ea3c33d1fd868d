"""Whatever stands in a file of features: an error that names the file, or what was stored."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.errors import FeatureError
from surgstream.trainer.features.spec import FeatureSpec
from surgstream.trainer.features.store import FeatureStore
from tests.fuzz.damage import cases, damaged
from tests.helpers.handmade import write_corpus

SHARD = "knee/knee-000000.tar"
SPEC = FeatureSpec(
    weights="w",
    identity="i",
    corpus="c",
    fps=None,
    num_frames=2,
    stride=1,
    image_size=16,
    view="squash",
    precision="fp32",
    dtype="float16",
    per="slices",
    shape=(2, 3),
)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    write_corpus(tmp_path / "shards")
    table = FrameTable.open(open_storage(str(tmp_path / "shards")))
    return FeatureStore(str(tmp_path), SPEC, table)


@given(data=st.data())
@cases(300)
def test_files_of_features(store: FeatureStore, data: st.DataObject) -> None:
    path = Path(store.uri) / "knee" / "knee-000000.npy"
    path.unlink(missing_ok=True)
    store.add(SHARD, np.array([1, 4, 5]), np.arange(18.0).reshape(3, 2, 3))
    content = path.read_bytes()
    whole = store.records(SHARD).tobytes()
    path.write_bytes(data.draw(damaged(content)))
    try:
        assert store.records(SHARD).tobytes() == whole
    except FeatureError as error:
        assert "knee-000000.npy" in str(error) and len(str(error)) < 3000
