"""What `surgstream labels` writes, refuses and tells, whatever the release."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.conversion import convert
from surgstream.shards.releases.release import Column, Count, Release, VideoLabel, VideoRows
from tests.helpers.releases import lay

Labels = VideoRows | VideoLabel

PHASE = Column(name="phase", kind="class", classes=("a", "b"))
TOOLS = Column(name="tools", kind="multilabel", classes=("x", "y"))
SCORE = Column(name="score", kind="number")

CHOLEC80 = {
    "phase_annotations/video01-phase.txt": "Frame\tPhase\n0\tPreparation\n",
    "tool_annotations/video01-tool.txt": (
        "Frame\tGrasper\tBipolar\tHook\tScissors\tClipper\tIrrigator\tSpecimenBag\n"
        "0\t1\t0\t1\t0\t0\t0\t0\n"
    ),
}


def phases(video: str, *labels: str) -> VideoRows:
    return VideoRows(column="phase", video=video, rows=tuple(enumerate(labels)))


def release(*labels: Labels, counts: tuple[Count, ...] = (), verified: bool = True) -> Release:
    def read(_: Path) -> Iterator[Labels]:
        yield from labels

    return Release(
        name="r",
        title="R",
        layout=("a.txt",),
        columns=(PHASE, TOOLS, SCORE),
        counts=counts,
        verified=verified,
        source="somewhere",
        read=read,
    )


def count(**fields: object) -> Count:
    return Count(**{"what": "train", "column": "phase", "source": "a paper", **fields})  # type: ignore[arg-type]


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_column_has_a_file_a_video_or_one_of_all_videos(tmp_path: Path) -> None:
    made = release(
        phases("v1", "a", "b"),
        VideoRows(column="tools", video="v1", rows=((0, "x;y"), (2.5, ""))),
        VideoLabel(column="score", video="v2", label="3.5", group="s"),
        VideoLabel(column="score", video="v1", label="2", group=""),
    )
    convert(made, tmp_path, tmp_path)
    assert files_of(tmp_path) == {
        "r/phase/v1.csv": "second,phase\n0,a\n1,b\n",
        "r/tools/v1.csv": "second,tools\n0,x;y\n2.5,\n",
        "r/score.csv": "video,score,group\nv1,2,\nv2,3.5,s\n",
    }


def test_without_groups_there_is_no_such_column(tmp_path: Path) -> None:
    convert(release(VideoLabel(column="score", video="v", label="1")), tmp_path, tmp_path)
    assert files_of(tmp_path) == {"r/score.csv": "video,score\nv,1\n"}


def test_what_was_found_is_told_by_class(tmp_path: Path) -> None:
    made = release(
        phases("v1", "a", "b"),
        phases("v2", "a"),
        VideoRows(column="tools", video="v1", rows=((0, "x;y"), (1, ""), (2, "y"))),
        verified=False,
    )
    lines = convert(made, tmp_path, tmp_path).summary().splitlines()
    assert lines[0] == f"{tmp_path / 'r'}: R"
    assert [line.split() for line in lines[1:-1]] == [
        ["column", "class", "videos", "rows"],
        ["phase", "all", "2", "3"],
        ["phase", "a", "2", "2"],
        ["phase", "b", "1", "1"],
        ["tools", "all", "1", "3"],
        ["tools", "x", "1", "1"],
        ["tools", "y", "1", "2"],
        ["tools", "(none)", "1", "1"],
        ["score", "all", "0", "0"],
    ]
    assert lines[-1].startswith(
        "not verified: layout and names are not from R itself but from somewh"
    )


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ((phases("v", "c"),), "second 0: expected a known class, got 'c'"),
        ((phases("v", "a;b"),), "second 0: expected a known class, got 'a;b'"),
        ((phases("v", "a"), phases("v", "b")), "expected it once, got it twice"),
        ((phases("v"),), "expected labels, got none"),
        (
            (VideoRows(column="phase", video="v", rows=((1, "a"), (1, "a"))),),
            "expected seconds that increase from 0, got 1 after 1",
        ),
        (
            (VideoRows(column="phase", video="v", rows=((-1, "a"),)),),
            "expected seconds that increase from 0, got -1",
        ),
        (
            (VideoRows(column="phase", video="v", rows=((float("nan"), "a"),)),),
            "expected seconds that increase from 0, got nan",
        ),
        ((VideoLabel(column="phase", video="v", label=""),), "expected a label, got none"),
        ((VideoLabel(column="score", video="v", label="x"),), "expected a number, got 'x'"),
        ((phases("../v", "a"),), "expected a video's name, got '../v'"),
        ((phases("v\n", "a"),), r"expected a video's name, got 'v\n'"),
        ((phases("v" * 201, "a"),), "expected a video's name, got 'vvv"),
    ],
)
def test_labels_that_no_reader_could_use_are_refused(
    labels: tuple[Labels, ...], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ReleaseError) as caught:
        convert(release(phases("w", "a"), *labels), tmp_path, tmp_path / "out")
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}: R: ")
    assert files_of(tmp_path) == {}


def test_other_counts_than_those_published_are_refused_or_asked_for(tmp_path: Path) -> None:
    counted = (
        count(videos=frozenset({"v1", "v2"}), num_videos=2, num_rows=86_344),
        count(what="test", videos=frozenset({"v3"}), num_videos=1, num_rows=1),
        count(what="all", num_videos=2),
    )
    made = release(phases("v1", "a"), phases("v2", "a", "b"), phases("v3", "a"), counts=counted)
    with pytest.raises(ReleaseError) as caught:
        convert(made, tmp_path, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path}: R: phase, train: expected 86,344 rows, got 3 (a paper); phase, all: expected "
        "2 videos, got 3 (a paper); --allow-other-counts writes them all the same"
    )
    assert not list((tmp_path / "out").iterdir())

    written = convert(made, tmp_path, tmp_path / "out", allow_other_counts=True)
    assert len(files_of(tmp_path / "out")) == 3
    assert written.notes == (
        "not as published: phase, train: expected 86,344 rows, got 3 (a paper)",
        "not as published: phase, all: expected 2 videos, got 3 (a paper)",
    )


def test_a_count_that_is_not_certain_is_told_alone(tmp_path: Path) -> None:
    made = release(phases("v", "a"), counts=(count(num_rows=2, certain=False),))
    assert convert(made, tmp_path, tmp_path).notes == (
        "not as published: phase, train: expected 2 rows, got 1 (a paper)",
    )


def test_nothing_is_written_over(tmp_path: Path) -> None:
    convert(release(phases("v", "a")), tmp_path, tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(ReleaseError, match="r: exists and is not empty; choose another folder"):
        convert(release(phases("w", "b")), tmp_path, tmp_path)
    assert files_of(tmp_path) == before


def test_an_empty_folder_and_what_a_killed_run_left_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    lay(tmp_path, {".r.unfinished/phase/x.csv": "half"})
    convert(release(phases("v", "a")), tmp_path, tmp_path)
    assert files_of(tmp_path) == {"r/phase/v.csv": "second,phase\n0,a\n"}


def test_the_command_converts_a_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = lay(tmp_path / "raw", CHOLEC80)
    words = ["labels", "cholec80", "--root", str(root), str(tmp_path / "out")]

    assert surgstream(words) == 1
    assert "phase, train: expected 40 videos, got 1" in capsys.readouterr().err

    assert surgstream([*words, "--allow-other-counts"]) == 0
    assert "not as published: phase, train: expected 40 videos" in capsys.readouterr().out
    assert files_of(tmp_path / "out") == {
        "cholec80/phase/video01.csv": "second,phase\n0,preparation\n",
        "cholec80/tools/video01.csv": "second,tools\n0,grasper;hook\n",
    }


def test_an_unknown_release_is_a_wrong_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert surgstream(["labels", "cholec8", "--root", str(tmp_path), str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("surgstream labels: cholec8: expected a release, one of ")
    assert told.endswith("; did you mean 'cholec80'?\n")
