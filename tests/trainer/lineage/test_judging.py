"""Whether a task's videos are among what weights descend from: by name, alias, publication and pictures."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main
from surgstream.shards.leaks import between
from surgstream.shards.storage.stores import open_storage
from surgstream.trainer.errors import EvaluationError
from surgstream.trainer.evaluation.tasks.loading import all_tasks
from surgstream.trainer.lineage.ancestry import Ancestry, Foreign, for_others
from surgstream.trainer.lineage.config import LeaksConfig
from surgstream.trainer.lineage.judging import judge, judge_weights, refuse_contaminated
from surgstream.trainer.lineage.known import ALL, family_of, known_families
from surgstream.trainer.lineage.recording import shown_corpus
from surgstream.trainer.lineage.verdict import Verdict
from tests.helpers.films import drifting, write_film
from tests.helpers.layers import run_here
from tests.helpers.packing import write_corpus
from tests.trainer.lineage.films import ancestor, cropped, task, write

JUDGED = {"hip": {"v1": 11, "v2": 12, "t1": 21, "t2": 22, "t3": 23}}
NAMES = LeaksConfig(compare="names")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The corpus that the task is evaluated on."""
    return write(tmp_path_factory.mktemp("evaluated") / "corpus", JUDGED)


def says(found: Verdict, split: str = "test") -> str:
    return found.on(split, task().videos(split)).says


def ways(found: Verdict) -> list[tuple[str, str]]:
    return [(each.video, each.way) for each in found.found]


def test_a_video_is_found_by_its_name_and_by_that_of_another_dataset(tmp_path: Path) -> None:
    # Two names of one film each, and a third video that only has the id in another dataset
    trained = {"hip": ("t1", "a1"), "knee": ("case2",), "ankle": ("t3",)}
    corpus = ancestor(
        write(tmp_path / "c", {k: dict.fromkeys(v, 1) for k, v in trained.items()}), trained
    )
    for each in (Ancestry(corpora=(corpus,)), for_others(Ancestry(corpora=(corpus,)))):
        found = judge(each, task(), corpus=None)
        assert ways(found) == [("t1", "name"), ("t2", "alias")]
        assert says(found) == "contaminated 2 of 3" and says(found, "val") == "clean by names only"
        assert "knee/case2 of " in found.found[1].seen
        assert "by names only" in found.notes[0]


@pytest.mark.parametrize("same_names", [False, True], ids=["renamed", "of pseudonyms"])
def test_a_planted_copy_is_found_by_its_pictures_and_nothing_else_is(
    evaluated: str, tmp_path: Path, same_names: bool
) -> None:
    trained = {"ward": {"v9c1": 21, "v9c2": 12, "v9c3": 77}}
    address = write(tmp_path / "trained", trained, alter=cropped, quality=60)
    corpus = ancestor(address, trained, pseudonyms=same_names)
    found = judge(Ancestry(corpora=(corpus,)), task(), corpus=evaluated)
    assert ways(found) == [("t1", "motion"), ("v2", "motion")]
    assert says(found) == "contaminated 1 of 3" and says(found, "val") == "contaminated 1 of 2"
    assert "are in ward/v9c1 of " in found.found[0].seen
    assert found.by == ("names", "pictures") and found.all_pictures


def test_only_what_was_trained_on_is_compared(evaluated: str, tmp_path: Path) -> None:
    address = write(tmp_path / "trained", {"ward": {"a": 21, "b": 77}}, alter=cropped)
    for shown, expected in (("a", "contaminated 1 of 3"), ("b", "clean")):
        corpus = ancestor(address, {"ward": [shown]})
        assert says(judge(Ancestry(corpora=(corpus,)), task(), corpus=evaluated)) == expected


def test_copies_are_found_within_the_corpus_that_is_evaluated_on(tmp_path: Path) -> None:
    """What was fine-tuned on lies in the same corpus, one of its videos under another name."""
    films = {"hip": {**JUDGED["hip"], "b1": 31, "b2": 22}, "knee": {"case3": 41}}
    address = write(tmp_path / "both", films)
    corpus = ancestor(address, {"hip": ["b1", "b2"], "knee": ["case3"]})
    found = judge(Ancestry(corpora=(corpus,)), task(), corpus=address)
    assert ways(found) == [("t3", "alias"), ("t2", "frames")]


def test_names_that_are_pseudonyms_say_nothing_by_themselves(
    evaluated: str, tmp_path: Path
) -> None:
    address = write(tmp_path / "trained", {"ward": {"v9c1": 31}})
    corpus = ancestor(address, {"ward": ["v9c1"]}, pseudonyms=True)
    found = judge(Ancestry(corpora=(corpus,)), task(), corpus=evaluated)
    assert says(found) == "clean"
    by_name = judge(Ancestry(corpora=(corpus,)), task(), corpus=evaluated, settings=NAMES)
    assert says(by_name) == "unknown" and "videos have pseudonyms" in by_name.unknown[0]


@pytest.mark.parametrize("how", ["gone", "another", "damaged"])
def test_a_corpus_that_cannot_be_read_any_more_leaves_names_alone(
    how: str, evaluated: str, tmp_path: Path
) -> None:
    trained = {"ward": {"v9c1": 21, "x": 31}}
    address = write(tmp_path / "trained", trained)
    corpus = ancestor(address, trained)
    if how == "damaged":
        tar = min((tmp_path / "trained" / "ward").glob("*.tar"))
        content = bytearray(tar.read_bytes())
        content[len(content) // 2] ^= 255
        tar.write_bytes(content)
    else:
        shutil.rmtree(address)
    if how == "another":
        write(tmp_path / "trained", {"ward": {"v9c1": 5}})

    found = judge(Ancestry(corpora=(corpus,)), task(), corpus=evaluated)
    assert says(found) == "clean by names only" and not found.all_pictures
    told = {"gone": "is missing", "another": "another corpus lies there", "damaged": "ward-0"}
    assert told[how] in found.notes[0] and "by names only" in found.notes[0]


def test_without_names_and_without_pictures_nothing_is_known(
    evaluated: str, tmp_path: Path
) -> None:
    trained = {"ward": {"v9c1": 21}}
    address = write(tmp_path / "trained", trained)
    corpus = ancestor(address, trained)
    nameless = Ancestry(
        corpora=(type(corpus)(manifest=corpus.manifest, address=address, names="absent"),)
    )
    assert says(judge(nameless, task(), corpus=evaluated)) == "contaminated 1 of 3"
    found = judge(nameless, task(), corpus=evaluated, settings=NAMES)
    assert says(found) == "unknown" and "are not named" in found.unknown[0]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How often pictures were compared."""
    calls: list[int] = []
    compare = between.shared_between

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return compare(*args, **kwargs)

    monkeypatch.setattr(between, "shared_between", counting)
    yield calls


def test_an_outcome_is_kept_by_what_was_compared(
    evaluated: str, tmp_path: Path, counted: list[int]
) -> None:
    trained = {"ward": {"v9c1": 21, "x": 31}}
    corpus = ancestor(write(tmp_path / "trained", trained), trained)
    cache = tmp_path / "cache"

    def judged(*, test: tuple[str, ...] = ("t1", "t2")) -> Verdict:
        split = {"val": ["v1"], "test": [*test], "source": "ours"}
        return judge(Ancestry(corpora=(corpus,)), task(split=split), corpus=evaluated, cache=cache)

    first = judged()
    assert judged() == first and len(counted) == 1
    assert [each.video for each in first.found] == ["t1"]
    prints = {path: path.stat().st_mtime_ns for path in cache.glob("prints_*")}
    assert len(prints) == 5, "a shard each of v1, t1, t2 and what was trained on"
    judged(test=("t1", "t3"))
    assert len(counted) == 2, "other videos are asked about"
    again = {path: path.stat().st_mtime_ns for path in cache.glob("prints_*")}
    assert len(again) == 6 and prints.items() <= again.items(), "t3 alone is looked at"

    part = ancestor(corpus.address or "", {"ward": ["x"]})
    assert not judge(Ancestry(corpora=(part,)), task(), corpus=evaluated, cache=cache).found
    assert len(counted) == 3, "others were trained on"

    for damage in ("{", "[]", '{"key": 3}', json.dumps({"key": "0" * 64})):
        for path in cache.iterdir():
            path.write_text(damage)
        before = len(counted)
        assert judged() == first and len(counted) == before + 1


def test_a_cache_that_cannot_be_written_costs_nothing(evaluated: str, tmp_path: Path) -> None:
    trained = {"ward": {"v9c1": 21}}
    corpus = ancestor(write(tmp_path / "trained", trained), trained)
    (tmp_path / "file").write_text("")
    found = judge(
        Ancestry(corpora=(corpus,)), task(), corpus=evaluated, cache=tmp_path / "file" / "cache"
    )
    assert says(found) == "contaminated 1 of 3"


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    dark = write(tmp_path / "dark", {"hip": {"t1": 21}}, alter=lambda film: film // 25)
    trained = {"ward": {"v9c1": 31}}
    corpus = ancestor(write(tmp_path / "trained", trained), trained)
    found = judge(Ancestry(corpora=(corpus,)), task(), corpus=dark)
    missing, of_one_colour, seconds = found.notes
    assert missing.endswith("whose pictures were not compared: v1, v2, t2, t3")
    assert "1 videos are dark or of one colour" in of_one_colour and "t1" in of_one_colour
    assert "start between seconds may be missed" in seconds
    assert says(found) == "clean by names only"


KNOWN = [
    ("unisurg", "cholec80_phases", "contaminated 35 of 35", "contaminated 8 of 8"),
    ("surgvista", "cholec80_phases", "clean by what is published", "contaminated 8 of 8"),
    ("surgvista", "cholect50_triplets", "contaminated 4 of 10", "contaminated 3 of 5"),
    ("surgvista", "m2cai16_phases", "clean by what is published", "contaminated 5 of 5"),
    ("unisurg", "cataract101_phases", "unknown", "unknown"),
    ("videomae", "cholec80_phases", "clean by what is published", "clean by what is published"),
    ("surgrec", "cholec80_phases", "unknown", "unknown"),
    (None, "cholec80_phases", "unknown", "unknown"),
]


@pytest.mark.parametrize(("family", "name", "test", "val"), KNOWN)
def test_what_is_published_of_others_weights(
    family: str | None, name: str, test: str, val: str
) -> None:
    asked = all_tasks()[name]
    found = judge_weights("weights.pth", asked, corpus=None, known_as=family)
    assert found.on("test", asked.videos("test")).says == test
    assert found.on("val", asked.videos("val")).says == val


def test_the_table_names_datasets_of_tasks_and_their_ids() -> None:
    """An id that no task has under this dataset is a slip, unless no task is of the dataset."""
    # Ids that globs stand for are those of a corpus
    tasks = [each for each in all_tasks().values() if not each.has_globs]
    datasets = {each.dataset for each in tasks}
    ids = {
        dataset: {
            id
            for each in tasks
            if each.dataset == dataset
            for split in each.splits()
            for videos in split.videos().values()
            for id in videos
        }
        for dataset in datasets
    }
    for name, family in known_families().items():
        assert family.source, name
        for dataset, patterns in family.datasets.items():
            if dataset in datasets and ALL not in patterns:
                assert any(family.holds(dataset, id) for id in ids[dataset]), (name, dataset)


def test_models_that_timm_names_are_known_and_those_of_anybody_are_not() -> None:
    assert family_of(Foreign(name="timm:vit_base_patch14_dinov2.lvd142m"))
    assert family_of(Foreign(name="timm:hiera_base_224.mae"))
    assert family_of(Foreign(name="timm:hf-hub:someone/surgery")) is None
    with pytest.raises(ConfigError, match=r"known_as: .* did you mean 'unisurg'\?"):
        judge_weights("pixels", task(), corpus=None, known_as="unisug")


@pytest.mark.parametrize(
    ("found", "allowed"), [("refuse", False), ("allow_val", False), ("allow", True)]
)
def test_contaminated_weights_are_refused_by_name(
    found: str, allowed: bool, tmp_path: Path
) -> None:
    corpus = ancestor(write(tmp_path / "c", {"hip": {"t1": 1, "v1": 2}}), {"hip": ["t1", "v1"]})
    verdict = judge(Ancestry(corpora=(corpus,)), task(), corpus=None)
    settings = LeaksConfig(found=found)  # type: ignore[arg-type]
    if allowed:
        refuse_contaminated(verdict, task(), settings)
        return
    sentence = (
        r"made_up: expected weights that were trained on no video that they are judged by, got "
        r"1 of 2 val videos: v1 \(v1 by name: hip/v1 of .*\); 1 of 3 test videos: t1 .*leaks=allow,"
    )
    with pytest.raises(EvaluationError, match=sentence):
        refuse_contaminated(verdict, task(), settings)


def test_videos_to_validate_on_alone_may_be_allowed(tmp_path: Path) -> None:
    corpus = ancestor(write(tmp_path / "c", {"hip": {"v1": 2}}), {"hip": ["v1"]})
    verdict = judge(Ancestry(corpora=(corpus,)), task(), corpus=None)
    refuse_contaminated(verdict, task(), LeaksConfig(found="allow_val"))
    with pytest.raises(EvaluationError, match="set leaks=allow_val"):
        refuse_contaminated(verdict, task(), LeaksConfig(found="refuse"))


def test_a_corpus_to_evaluate_on_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    trained = {"hip": {"x": 1}}
    corpus = ancestor(write(tmp_path / "c", trained), trained)
    found = judge(Ancestry(corpora=(corpus,)), task(), corpus=str(tmp_path / "none"))
    assert says(found) == "clean by names only"
    assert "the pictures of the task's videos cannot be read" in found.notes[0]


@pytest.mark.slow
def test_a_test_video_coded_again_cropped_and_renamed_under_a_pseudonym_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From video files, by the commands that a hospital would call."""
    monkeypatch.setattr("surgstream.shards.packing.pipeline.run_all", run_here)
    for number, video in enumerate(("t1", "t2", "t3", "v1", "v2")):
        write_film(tmp_path / "task" / f"{video}.mp4", drifting(number, 60))
    write_film(
        tmp_path / "hospital" / "DOE_JANE.avi", drifting(1, 60)[5:, 3:-3, 4:-4], codec="mpeg4"
    )
    write_film(tmp_path / "hospital" / "other.mp4", drifting(50, 60))

    def pack(name: str, videos: str, *words: str) -> str:
        (tmp_path / name).mkdir()
        file = write_corpus(
            tmp_path / name, {"name": name, "videos": f"{tmp_path}/{videos}/*"}, short_side=64
        )
        assert main(["pack", file, str(tmp_path / name / "shards"), *words]) == 0
        return str(tmp_path / name / "shards")

    evaluated = pack("hip", "task")
    trained = pack("ward", "hospital", "--pseudonyms", str(tmp_path / "names.csv"))
    corpus = shown_corpus(open_storage(trained), fps=None, videos={"ward": None})
    assert corpus.pseudonyms and "DOE" not in str(corpus)
    found = judge(Ancestry(corpora=(corpus,)), task(), corpus=evaluated)
    assert ways(found) == [("t2", "motion")] and says(found) == "contaminated 1 of 3"


@pytest.mark.slow
def test_there_is_no_false_mark_among_sixty_videos(tmp_path: Path) -> None:
    """Thirty that were trained on against thirty that are judged by, all of other seeds."""
    trained = {"ward": {f"w{number}": 1000 + number for number in range(30)}}
    judged = [f"t{number}" for number in range(30)]
    films = {"hip": {video: 2000 + number for number, video in enumerate(judged)}}
    corpus = ancestor(write(tmp_path / "trained", trained), trained)
    split = {"test": judged, "source": "ours"}
    found = judge(
        Ancestry(corpora=(corpus,)),
        task(split=split),
        corpus=write(tmp_path / "evaluated", films),
    )
    assert not found.found and found.on("test", judged).says == "clean"
