"""What a corpus calls its videos where their names must not be told."""

import csv
import json
import os
import stat
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.corpus.pseudonyms import find_pseudonyms
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.names import encode_id
from surgstream.shards.format.outside import check_outside
from surgstream.shards.storage.stores import open_storage
from tests.helpers.packing import contents, load
from tests.helpers.s3 import s3_bucket
from tests.helpers.scenes import make_film, scene, scenes

FOLDER = "ward 7 MILLER 1948-05-31"
NAMES = (
    "DOE_JANE_19620102",
    "Müller, Karl 3.4.1950",
    "ROE_RICHARD_19711231",
    "SLIDES_OF_SMITH",
    "TORN_JONES",
)


def told(out: dict[str, bytes]) -> set[str]:
    """Which of the names are found in files, or in what these are called, also as JSON or an id writes them."""
    every = b"\n".join([*out.values(), *map(os.fsencode, out)])
    forms = {
        name: (name, json.dumps(name)[1:-1], encode_id(name))
        for name in (FOLDER, *NAMES, "BLACK_ANN")
    }
    return {
        name for name, written in forms.items() if any(form.encode() in every for form in written)
    }


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Operations, one of them held out; only slides; no video; no label file; and images, some twice."""
    home = tmp_path_factory.mktemp("hospital")
    folder = home / FOLDER
    for name in NAMES[:3]:
        make_film(folder / f"{name}.mp4", scenes(("tissue", 12), ("out_of_body", 3), ("tissue", 5)))
        (folder / f"{name}.csv").write_text(f"second,phase\n0,phase of {NAMES.index(name)}\n")
    make_film(folder / f"{NAMES[3]}.mp4", scenes(("text", 4)))
    (folder / f"{NAMES[4]}.mp4").write_text("no video")
    make_film(folder / "UNLABELLED_JONES.mp4", scenes(("tissue", 4)))
    (folder / "UNLABELLED_JONES.csv").write_text("no,columns\n")
    for name in ("image_1.png", "BLACK_ANN_1.png"):
        (folder / "images" / "BLACK_ANN").mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene("tissue", 1)).save(folder / "images" / "BLACK_ANN" / name)
    shared = {"specialty": "s", "procedure": "p"}
    videos = {
        "name": "d",
        "videos": f"{FOLDER}/*.mp4",
        "labels": {"phase": f"{FOLDER}/{{video}}.csv"},
        **shared,
    }
    videos["hold_out"] = [NAMES[2]]
    images = {"name": "i", "videos": f"{FOLDER}/images/*", "image_fps": 1, **shared}
    pack = {"drop": ["text", "out_of_body"]}
    (home / "plain.yaml").write_text(yaml.safe_dump({"datasets": [videos, images], "pack": pack}))
    hidden = {"datasets": [videos, images], "pack": pack, "pseudonyms": "names.csv"}
    (home / "corpus.yaml").write_text(yaml.safe_dump(hidden))
    return home


def names(home: Path) -> dict[str, str]:
    """The pseudonyms of the map, by the name of the file."""
    with (home / "names.csv").open(newline="") as file:
        return {row["video"]: row["pseudonym"] for row in csv.DictReader(file)}


def pack(home: Path, out: Path | str, *words: str) -> int:
    return surgstream(["pack", str(home / "corpus.yaml"), str(out), *words])


@pytest.mark.slow
def test_names_do_not_come_back_because_the_map_was_forgotten(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert pack(hospital, out) == 0
    before = contents(out)
    for step in ([], ["--plan-only"]):
        assert surgstream(["pack", str(hospital / "plain.yaml"), str(out), *step]) == 2
        assert (
            "expected --pseudonyms, since its videos have such names, got none"
            in capsys.readouterr().err
        )
    assert contents(out) == before


def test_what_people_wrote_into_the_map_stays(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("study,dataset,video,pseudonym\n4711,d,SMITH,s1\n")
    found = find_pseudonyms(path, [("d", "SMITH"), ("d", "DOE")], extend=True)
    first, second, third = path.read_text().splitlines()
    assert (first, second) == ("study,dataset,video,pseudonym", "4711,d,SMITH,s1")
    assert third == f",d,DOE,{found['d', 'DOE']}"


def test_a_map_that_has_all_may_lie_where_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "names.csv"
    path.write_text("dataset,video,pseudonym\nd,SMITH,s1\n")
    monkeypatch.delattr("surgstream.shards.corpus.pseudonyms.owning")
    assert find_pseudonyms(path, [("d", "SMITH")], extend=True) == {("d", "SMITH"): "s1"}


@pytest.mark.slow
def test_no_name_is_told_of_any_video(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert surgstream(["pack", str(hospital / "plain.yaml"), str(out)]) == 0
    assert told(contents(out)) == {FOLDER, *NAMES, "BLACK_ANN"} - {NAMES[2]}, (
        "the search finds what is there"
    )

    assert pack(hospital, out) == 0
    assert told(contents(out)) == set(), "nor is anything left of what was packed before"
    assert pack(hospital, tmp_path / "held_out", "split=held_out") == 0
    assert told(contents(tmp_path / "held_out")) == set()

    drawn = names(hospital)
    assert len(drawn) == len(set(drawn.values())) == 7
    packed = {video.id: video for shard in load(out).shards for video in shard.videos}
    assert packed.keys() == {drawn[name] for name in NAMES[:2]}
    assert [video.id for shard in load(tmp_path / "held_out").shards for video in shard.videos] == [
        drawn[NAMES[2]]
    ]
    assert all(video.source == video.id for video in packed.values())
    reasons = [
        json.loads(line)["reason"] for line in (out / "quarantine.jsonl").read_text().splitlines()
    ]
    assert sorted(reasons) == [
        "all of its 4 frames are dropped: text",
        "cannot be opened as a video: Invalid data found when processing input",
        "expected one image of number 1, got two",
        "labels: expected a CSV file with the columns 'second' and 'phase'",
    ]
    assert surgstream(["verify", str(out)]) == 0


@pytest.mark.slow
def test_labels_are_those_of_the_real_name(hospital: Path, tmp_path: Path) -> None:
    assert pack(hospital, tmp_path / "out") == 0
    with tarfile.open(tmp_path / "out" / load(tmp_path / "out").shards[0].name) as tar:
        said = [
            json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith(".json")
        ]  # type: ignore
    drawn = names(hospital)
    phases = {each["video"]: each["labels"]["phase"][0][1] for each in said}
    assert phases == {drawn[NAMES[0]]: "phase of 0", drawn[NAMES[1]]: "phase of 1"}


@pytest.mark.slow
def test_pseudonyms_stay_and_what_is_new_gets_one(hospital: Path, tmp_path: Path) -> None:
    assert pack(hospital, tmp_path / "out") == 0
    before, packed = names(hospital), contents(tmp_path / "out")
    assert pack(hospital, tmp_path / "out") == 0
    assert names(hospital) == before and contents(tmp_path / "out") == packed
    new = make_film(hospital / FOLDER / "NEW_JONES.mp4", scenes(("tissue", 3)))
    try:
        assert pack(hospital, tmp_path / "out") == 0
    finally:
        new.unlink()
    after = names(hospital)
    assert before.items() < after.items() and after.keys() - before.keys() == {"NEW_JONES"}
    kept = [name for name in packed if name.endswith(".tar")]
    assert all(contents(tmp_path / "out")[name] == packed[name] for name in kept)
    assert stat.S_IMODE((hospital / "names.csv").stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_review_and_the_report_use_them(hospital: Path, tmp_path: Path) -> None:
    assert pack(hospital, tmp_path / "out", "--report", str(tmp_path / "report")) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    drawn = names(hospital)
    assert f"<h2>d/{drawn[NAMES[0]]}</h2>" in page and NAMES[0] not in page
    slides = tmp_path / "report" / "pictures" / "d" / drawn[NAMES[3]]
    assert sorted(path.name for path in slides.iterdir()) == ["0_text0.jpg", "time0.jpg"], (
        "seen, though all is dropped"
    )

    (tmp_path / "review.csv").write_text(
        f"dataset,video,start,stop,decision\nd,{drawn[NAMES[0]]},12,15,keep\n"
    )
    assert pack(hospital, tmp_path / "out", "--review", str(tmp_path / "review.csv")) == 0
    frames = {
        video.id: video.num_frames
        for shard in load(tmp_path / "out").shards
        for video in shard.videos
    }
    assert frames == {drawn[NAMES[0]]: 20, drawn[NAMES[1]]: 17}
    assert told(contents(tmp_path / "out")) == set()


def test_inspect_does_not_know_the_sources(hospital: Path, tmp_path: Path) -> None:
    assert pack(hospital, tmp_path / "out") == 0
    assert surgstream(["inspect", str(tmp_path / "out"), "--report", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "what is dropped has no pictures here, since its source is not known here" in page


def test_parts_read_the_map_and_never_write_it(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert pack(hospital, out, "--plan-only") == 0
    whole = (hospital / "names.csv").read_bytes()
    (hospital / "names.csv").write_bytes(whole.splitlines(keepends=True)[0])
    assert pack(hospital, out, "--part=0/2") == 2
    assert "expected a line for each video, got none for 7 of them" in capsys.readouterr().err
    (hospital / "names.csv").write_bytes(whole)
    assert [pack(hospital, out, word) for word in ("--part=0/2", "--part=1/2")] == [0, 0]
    assert pack(hospital, out) == 0 and (hospital / "names.csv").read_bytes() == whole
    assert told(contents(out)) == set()


@pytest.mark.slow
def test_on_s3(hospital: Path, tmp_path: Path) -> None:
    with s3_bucket("hidden") as bucket:
        assert pack(hospital, f"{bucket}/out") == 0
        store = open_storage(f"{bucket}/out")
        every = {name: store.read(name) for name in store.sizes()}
        assert told(every) == set() and Manifest.load(store).shards
    assert pack(hospital, tmp_path / "out") == 0
    here = {
        name: data
        for name, data in contents(tmp_path / "out").items()
        if name.endswith((".tar", ".idx"))
    }
    assert here.items() <= every.items()


@pytest.mark.parametrize(
    "place", ["{out}/names.csv", "{out}/deep/../x/names.csv", "s3://bucket/names.csv"]
)
def test_a_map_that_would_lie_in_the_corpus_is_refused(
    hospital: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for uri in (str(out), out.as_uri()):
        assert pack(hospital, uri, "--pseudonyms", place.format(out=out)) == 2
        assert "pseudonyms: expected a path" in capsys.readouterr().err
    assert not out.exists()


def test_links_lead_to_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(ConfigError, match="outside of"):
        check_outside("map", tmp_path / "link" / "names.csv", str(tmp_path / "out"))
    check_outside("map", tmp_path / "out.csv", str(tmp_path / "out"))
    check_outside("map", tmp_path / "out.csv", "s3://bucket/out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,video\n", "expected the columns dataset, video, pseudonym; pseudonym is missing"),
        ("dataset,video,pseudonym\nd,a,\n", "line 2: expected 1 to 80 characters"),
        ("dataset,video,pseudonym\nd,a,DOE.JANE\n", "line 2: expected 1 to 80 characters"),
        (
            "dataset,video,pseudonym\nd,a,x\nd,b,x\n",
            "line 3: expected each video and each pseudonym of a dataset once",
        ),
        (
            "dataset,video,pseudonym\nd,a,x\nd,a,y\n",
            "line 3: expected each video and each pseudonym of a dataset once",
        ),
        ('dataset,video,pseudonym\nd,"a,x\n', "expected a CSV file"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        find_pseudonyms(tmp_path / "names.csv", [("d", "a")], extend=True)
    assert (tmp_path / "names.csv").read_text() == text


def test_pseudonyms_of_a_study_are_kept(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text(
        "pseudonym,dataset,video,remark\ncase-001,d,a,x\ncase-001,e,a,y\n"
    )
    found = find_pseudonyms(tmp_path / "names.csv", [("d", "a"), ("d", "b")], extend=True)
    assert found["d", "a"] == found["e", "a"] == "case-001" and found["d", "b"].startswith("v")
    assert find_pseudonyms(tmp_path / "names.csv", [("d", "b")], extend=False) == found


def test_many_may_extend_it_at_once(tmp_path: Path) -> None:
    def extend(number: int) -> dict[tuple[str, str], str]:
        videos = [("d", f"video {k}") for k in range(number, number + 20)]
        return find_pseudonyms(tmp_path / "names.csv", videos, extend=True)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(extend, range(40)))
    last = find_pseudonyms(
        tmp_path / "names.csv", [("d", f"video {k}") for k in range(59)], extend=False
    )
    assert len(set(last.values())) == 59 and all(each.items() <= last.items() for each in found)


STEMS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=20)


@pytest.mark.slow
@given(stems=st.lists(STEMS, min_size=1, max_size=4, unique=True), readable=st.booleans())
@settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_plan_tells_any_name(tmp_path: Path, stems: list[str], readable: bool) -> None:
    home = tmp_path / os.urandom(8).hex()
    film = make_film(home / "film.mp4", scenes(("tissue", 1)))
    real = []
    for number, stem in enumerate(stems):
        name = f"patient{number}{stem}"
        path = home / "MILLER 1948" / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(film.read_bytes() if readable else b"no video")
        real.append(name)
    corpus: dict[str, Any] = {
        "name": "d",
        "specialty": "s",
        "procedure": "p",
        "videos": "MILLER 1948/*",
    }
    (home / "corpus.yaml").write_text(yaml.safe_dump({"datasets": [corpus]}))
    words = ["--plan-only", "--pseudonyms", str(home / "names.csv")]
    assert surgstream(["pack", str(home / "corpus.yaml"), str(home / "out"), *words]) == 0
    every = b"".join(contents(home / "out").values())
    assert b"MILLER" not in every and b"patient" not in every and len(every) > 100
    known = find_pseudonyms(home / "names.csv", [], extend=False)
    assert known.keys() == {("d", os.path.splitext(f"{name}.mp4")[0]) for name in real}
