"""The preset of what is evaluated on: every video of each dataset, by the ids that its labels have."""

from pathlib import Path

import pytest

from surgstream.configs.loading import load
from surgstream.configs.presets import presets
from surgstream.shards.corpus.file import CorpusConfig
from surgstream.shards.corpus.sources import find_sources
from surgstream.shards.storage.stores import Stores
from tests.helpers.layouts import LAYOUTS
from tests.shards.corpus.test_presets import corpus_of, found, lay_out


def test_nothing_is_held_out_of_what_is_evaluated_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lay_out(tmp_path, "evaluate")
    corpus = load(CorpusConfig, presets("pack")["evaluate"], [])
    assert corpus.pack.split == "all"
    assert not any(dataset.hold_out for dataset in corpus.datasets)

    everything = {name: sorted(paths) for name, (paths, _) in LAYOUTS["evaluate"].items()}
    assert found(corpus, tmp_path) == everything
    for dataset in corpus.datasets:
        assert dataset.expected.videos == len(everything[dataset.name])
    assert not caplog.messages


def test_videos_that_are_evaluated_on_have_the_ids_of_their_labels(tmp_path: Path) -> None:
    lay_out(tmp_path, "evaluate")
    ids: dict[str, list[str]] = {}
    for source in find_sources(corpus_of("evaluate", "all"), tmp_path, Stores()):
        ids.setdefault(source.dataset, []).append(source.id)

    firsts = {dataset: sorted(names)[0] for dataset, names in ids.items()}
    assert firsts == {
        "cholec80": "video01",
        "m2cai16": "test_workflow_video_01",
        "autolaparo": "01",
        "pmlr50": "01",
        "cataracts": "test01",
        "cataract101": "case_836",
        "cataract21": "case_01",
        "pitvis": "video_01",
        "ophnet": "case_0000",
        "multibypass140": "BBP01",
        "cholect50": "VID01",
        "endoscapes": "1",
        "jigsaws": "Suturing_B000_capture1",
        "surgical_actions160": "01_01",
        "aixsuture": "A0",
        "polypdiag": "clip_0",
        "sarrarp50": "video_01",
        "polyps": "CVC-300_1",
        "c3vd": "cecum_t1_a",
    }
    assert {"TrainDataset_cju899", "TrainDataset_550", "Kvasir_1"} < set(ids["polyps"])
    assert {"video_47_1", "video_47_2"} < set(ids["sarrarp50"])
    assert {"workflow_video_27", "test_workflow_video_14"} < set(ids["m2cai16"])
