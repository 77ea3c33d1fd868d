"""What weights descend from: merged, stored, read back, and told to others without names."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.configs.errors import ConfigError
from surgstream.shards.corpus.hidden import has_pseudonyms
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.engine.checkpoint_files import STATE, state_bytes
from surgstream.trainer.errors import CheckpointError, ModelError
from surgstream.trainer.lineage import ancestry as module
from surgstream.trainer.lineage.ancestry import (
    NOTHING,
    Ancestry,
    Corpus,
    Foreign,
    corpus_of,
    for_others,
    from_json,
    hashed_id,
    merged,
    to_json,
)
from surgstream.trainer.lineage.config import WarmStartConfig
from surgstream.trainer.lineage.reading import ANCESTRY, ANCESTRY_FILE, ancestry_of
from surgstream.trainer.lineage.recording import begun_with, shown_corpus
from surgstream.trainer.models.config import TeacherConfig
from surgstream.trainer.models.videos.config import VideoTeacherConfig
from tests.helpers.handmade import LAYOUT, write_corpus

IDS = st.text("abcXYZ019_-", min_size=1, max_size=8)
VIDEOS = st.dictionaries(IDS, st.lists(IDS, max_size=5), max_size=3)
SHAS = st.integers(0, 2**64).map(lambda number: f"{number:064x}")
CORPORA = st.builds(
    lambda sha, videos, fps, pseudonyms: corpus_of(
        sha, videos, address="s3://bucket/corpus", fps=fps, pseudonyms=pseudonyms
    ),
    SHAS,
    VIDEOS,
    st.none() | st.floats(0.01, 100),
    st.booleans(),
)
FOREIGN = st.builds(
    lambda name, sha, known: Foreign(name=name, sha256=sha, known_as=known),
    st.text(max_size=9),
    st.none() | SHAS,
    st.none() | st.just("videomae"),
)
ANCESTRIES = st.builds(
    lambda corpora, foreign: Ancestry(corpora=tuple(corpora), foreign=tuple(foreign)),
    st.lists(CORPORA, max_size=3),
    st.lists(FOREIGN, max_size=3),
)


@given(ANCESTRIES)
def test_what_json_keeps_is_read_back(ancestry: Ancestry) -> None:
    stored = json.loads(json.dumps(to_json(ancestry)))
    assert from_json(stored, "x") == ancestry


@given(ANCESTRIES, ANCESTRIES)
def test_merged_holds_each_once(one: Ancestry, other: Ancestry) -> None:
    both = merged([one, other])
    assert {*both.corpora} == {*one.corpora, *other.corpora}
    assert {*both.foreign} == {*one.foreign, *other.foreign}
    assert len(both.corpora) == len({*both.corpora})
    assert merged([both, one, other]) == both
    assert merged([NOTHING, one]).corpora == tuple(dict.fromkeys(one.corpora))


@given(VIDEOS)
def test_others_are_told_neither_names_nor_places_and_can_still_ask(
    videos: dict[str, list[str]],
) -> None:
    corpus = corpus_of("0" * 64, videos, address="/secret/place", fps=1.0, pseudonyms=False)
    foreign = Foreign(name="/home/someone/weights.pth")
    (told,) = for_others(Ancestry(corpora=(corpus,), foreign=(foreign,))).corpora
    text = json.dumps(to_json(for_others(Ancestry(corpora=(corpus,), foreign=(foreign,)))))
    assert "secret" not in text and "someone" not in text and "weights.pth" in text
    assert told.address is None and told.names == "hashed"

    asked = [(dataset, id) for dataset in videos for id in [*videos[dataset], "another"]]
    holds, held = told.holds(), corpus.holds()
    assert holds and held
    for dataset, id in asked:
        assert holds(dataset, id) == held(dataset, id) == (id in videos[dataset])
    assert for_others(Ancestry(corpora=(told,))).corpora == (told,), "twice is once"


def test_hashes_of_names_say_which_dataset() -> None:
    assert hashed_id("a", "b") != hashed_id("b", "a")
    assert hashed_id("cholec80", "video41") == "9e6b5ae0c9cc5a71", (
        "exports of today are read tomorrow"
    )


def test_more_names_than_a_state_has_room_for_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LETTERS", 20)
    few = corpus_of("0" * 64, {"d": ["a" * 20]}, address="x", fps=None, pseudonyms=False)
    many = corpus_of("0" * 64, {"d": ["a" * 20, "b"]}, address="x", fps=None, pseudonyms=False)
    assert few.holds() and few.names == "kept"
    assert many.holds() is None and many.names == "absent" and many.shown == ()


@pytest.mark.parametrize(
    "tree",
    [None, [], {"corpora": 3}, {"corpora": [{"manifest": "abc"}]}, {"more": 1}, {"foreign": [{}]}],
)
def test_nonsense_is_refused_by_its_place(tree: Any) -> None:
    with pytest.raises(ConfigError, match="the place"):
        from_json(tree, "the place")


def write_state(folder: Path, **entries: Any) -> Path:
    """A checkpoint without tensors."""
    folder.mkdir(parents=True)
    state = {"step": 7, "g": 14, "optimizer_step": 7, "files": {}, **entries}
    (folder / STATE).write_bytes(state_bytes(state))
    return folder


CORPUS = corpus_of("1" * 64, {"hip": ["a", "b"]}, address="/corpus", fps=1.0, pseudonyms=False)


@pytest.mark.parametrize("weights", ["pixels", "random", "random:/anything", "random:timm:vit"])
def test_what_was_never_trained_descends_from_nothing(weights: str) -> None:
    assert ancestry_of(weights) == NOTHING


def test_a_checkpoint_tells_and_so_does_the_newest_readable_one_of_a_run(tmp_path: Path) -> None:
    known = Ancestry(corpora=(CORPUS,))
    checkpoints = tmp_path / "run" / "checkpoints"
    first = write_state(checkpoints / "step_00000007", **{ANCESTRY: to_json(known)})
    later = write_state(checkpoints / "step_00000009", **{ANCESTRY: to_json(NOTHING)})
    assert ancestry_of(str(first), known_as="ignored") == known
    assert ancestry_of(str(tmp_path / "run")) == NOTHING
    (later / STATE).write_text("damaged")
    assert ancestry_of(str(tmp_path / "run")) == known


def test_a_checkpoint_of_an_earlier_version_tells_its_corpus_and_that_more_is_unknown(
    tmp_path: Path,
) -> None:
    config = {"task": None, "data": {"corpus": "/corpus"}}
    old = write_state(tmp_path / "old", manifest="1" * 64, config=config)
    found = ancestry_of(str(old))
    assert found.corpora == (Corpus(manifest="1" * 64, address="/corpus", names="absent"),)
    assert [each.name for each in found.foreign] == [str(old)]

    # The manifest of one that learned a task is that of its clips
    learned = write_state(tmp_path / "learned", manifest="1" * 64, config=config | {"task": "t"})
    assert ancestry_of(str(learned)).corpora == () and ancestry_of(str(learned)).foreign
    bare = write_state(tmp_path / "bare")
    assert ancestry_of(str(bare)).corpora == () and ancestry_of(str(bare)).foreign


def test_a_state_that_says_nonsense_is_an_error(tmp_path: Path) -> None:
    place = write_state(tmp_path / "step_00000001", **{ANCESTRY: {"corpora": "none at all"}})
    with pytest.raises(
        CheckpointError, match=r"(?s)state\.json: ancestry: .*use another checkpoint"
    ):
        ancestry_of(str(place))


def test_an_export_tells_in_its_own_file(tmp_path: Path) -> None:
    told = for_others(Ancestry(corpora=(CORPUS,)))
    (tmp_path / ANCESTRY_FILE).write_text(json.dumps(to_json(told)))
    assert ancestry_of(str(tmp_path)) == told
    for text in ("{", "[]", '{"corpora": 1}'):
        (tmp_path / ANCESTRY_FILE).write_text(text)
        with pytest.raises(ModelError, match=ANCESTRY_FILE):
            ancestry_of(str(tmp_path))

    (tmp_path / ANCESTRY_FILE).unlink()
    (tmp_path / "config.json").write_text('{"clips_seen": 4}')
    (old,) = ancestry_of(str(tmp_path)).foreign
    assert "a version that kept no ancestry" in old.why


def test_files_of_others_are_told_by_their_hash_and_by_what_they_are_said_to_be(
    tmp_path: Path,
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"abc")
    (found,) = ancestry_of(str(file), known_as="videomae").foreign
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found == Foreign(name=str(file), sha256=digest, known_as="videomae")
    (missing,) = ancestry_of(str(tmp_path / "missing.pth")).foreign
    assert missing.sha256 is None
    (folder,) = ancestry_of(str(tmp_path)).foreign
    assert folder.sha256 is None


def test_a_new_run_descends_from_its_warm_start_and_its_teacher(tmp_path: Path) -> None:
    begun = write_state(
        tmp_path / "step_00000007", **{ANCESTRY: to_json(Ancestry(corpora=(CORPUS,)))}
    )
    teacher = tmp_path / "teacher.pth"
    teacher.write_bytes(b"abc")
    settings = WarmStartConfig(weights=str(begun))
    found = begun_with(settings, TeacherConfig(weights=str(teacher), known_as="dinov3"))
    assert found.corpora == (CORPUS,)
    assert [(each.name, each.known_as) for each in found.foreign] == [
        (f"the teacher {teacher}", "dinov3")
    ]
    assert begun_with(None, TeacherConfig(allow_random=True)) == NOTHING
    timm = TeacherConfig(model="vit_tiny", pretrained=True)
    assert begun_with(None, timm).foreign == (Foreign(name="timm:vit_tiny"),)
    with pytest.raises(ConfigError, match=r"known_as: .*got 'vidoemae'; did you mean 'videomae'"):
        begun_with(replace(settings, known_as="vidoemae"), None)


def test_a_run_descends_from_what_its_video_teacher_has_seen(tmp_path: Path) -> None:
    ancestry = to_json(Ancestry(corpora=(CORPUS,)))
    trained = write_state(tmp_path / "step_00000007", **{ANCESTRY: ancestry})
    assert begun_with(None, VideoTeacherConfig(weights=str(trained))).corpora == (CORPUS,)

    file = tmp_path / "teacher.pth"
    file.write_bytes(b"abc")
    (found,) = begun_with(None, VideoTeacherConfig(weights=str(file), known_as="videomae")).foreign
    assert (found.name, found.known_as) == (f"the teacher {file}", "videomae")
    assert begun_with(None, VideoTeacherConfig(allow_random=True)) == NOTHING


def test_a_run_shows_the_datasets_that_it_draws_from_or_the_videos_of_its_task(
    tmp_path: Path,
) -> None:
    manifest = write_corpus(tmp_path)
    storage = open_storage(str(tmp_path))
    found = shown_corpus(storage, fps=1.0, videos={"cataract": None})
    assert {each.dataset: each.videos for each in found.shown} == {"cataract": "v0 v1 v2 v3"}
    assert (found.address, found.fps, found.pseudonyms) == (str(tmp_path.absolute()), 1.0, False)

    part = shown_corpus(storage, fps=None, videos={"knee": {"a", "not there"}})
    assert {each.dataset: each.videos for each in part.shown} == {"knee": "a"}
    everything = shown_corpus(storage, fps=None, videos=dict.fromkeys(LAYOUT))
    assert sum(len(each.videos.split()) for each in everything.shown) == 5
    assert len({found.manifest, part.manifest, everything.manifest}) == 1
    assert not has_pseudonyms(storage, manifest)


def test_without_a_plan_an_id_that_is_all_of_a_files_name_may_be_a_pseudonym(
    tmp_path: Path,
) -> None:
    manifest = write_corpus(tmp_path)
    (first, *others) = manifest.shards
    hidden = replace(first, videos=tuple(replace(each, source=each.id) for each in first.videos))
    renamed: Manifest = replace(manifest, shards=(hidden, *others))
    assert has_pseudonyms(open_storage(str(tmp_path)), renamed)
