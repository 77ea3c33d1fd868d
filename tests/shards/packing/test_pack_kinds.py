"""What is to be left out and cannot be looked for here is refused before anything is packed."""

from pathlib import Path

import pytest

from surgstream.launch.__main__ import main as surgstream
from tests.helpers.packing import load, start, write_corpus
from tests.helpers.scenes import make_film, scenes
from tests.shards.format.test_review import readings

pytestmark = pytest.mark.slow

BROKEN = {
    "missing": (
        """raise ModuleNotFoundError("No module named 'cv2'")""",
        "OpenCV cannot be imported here (No module named 'cv2')",
    ),
    "without a library": (
        "raise ImportError('libGL.so.1: cannot open')",
        "OpenCV cannot be imported here (libGL.so.1: cannot open)",
    ),
    "old": (
        "error, __version__ = ValueError, '4.4.0'\ndef setNumThreads(_): pass",
        "OpenCV 4.4.0 cannot run ",
    ),
}
"""Modules that stand in for OpenCV, and what is said of them."""

REMEDY = "pip install 'opencv-python-headless>=4.11'"


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    make_film(tmp_path / "videos" / "a.mp4", scenes(("tissue", 8), ("face", 4), ("tissue", 8)))
    return write_corpus(tmp_path, {"name": "d", "videos": "videos/*.mp4"})


@pytest.fixture(params=BROKEN)
def reason(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why faces cannot be looked for, in processes that are started from now on."""
    module, reason = BROKEN[request.param]
    (tmp_path / "path" / "cv2").mkdir(parents=True)
    (tmp_path / "path" / "cv2" / "__init__.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"), prepend=":")
    return reason


@pytest.mark.parametrize("step", [(), ("--plan-only",), ("--part=0/2",)])
def test_faces_are_not_packed_where_they_cannot_be_looked_for(
    corpus: str, reason: str, tmp_path: Path, step: tuple[str, ...]
) -> None:
    process = start("pack", corpus, tmp_path / "out", "drop=[black, face]", *step)
    said, errors = process.communicate(timeout=100)
    assert process.returncode == 2 and said == ""
    assert (
        f"drop: face is to be left out and cannot be looked for: {reason}" in errors
        and REMEDY in errors
    )
    assert not (tmp_path / "out").exists()


def test_without_being_asked_one_warning_tells_that_faces_are_not_looked_for(
    corpus: str, reason: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start("pack", corpus, out, "drop=[black, out_of_body]", "fps=2", "workers=2")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0
    assert errors.count("face is not looked for in any video: ") == 1 == errors.count(reason)
    assert load(out).packing["face_detector"] == "none" and "opencv" not in load(out).packing
    assert [found["kind"] for found in readings(out)["a"]["findings"]] == ["out_of_body"]


def test_where_they_can_be_looked_for_nothing_is_said(
    corpus: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert (
        surgstream(["pack", corpus, str(tmp_path / "out"), "drop=[face]"]) == 0
        and not caplog.records
    )
    assert [found["kind"] for found in readings(tmp_path / "out")["a"]["findings"]] == [
        "out_of_body",
        "face",
    ]
    assert "none" not in str(load(tmp_path / "out").packing["face_detector"])


def test_views_from_outside_that_cannot_be_told_from_others_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_film(tmp_path / "blue.mp4", scenes(("out_of_body", 12)))
    make_film(tmp_path / "red.mp4", scenes(("tissue", 12)))
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"})
    assert surgstream(["pack", corpus, str(tmp_path / "out")]) == 0 and not caplog.records
    assert surgstream(["pack", corpus, str(tmp_path / "out"), "drop=[out_of_body]"]) == 0
    assert "out_of_body was not looked for in 1 videos, such as blue of d, " in caplog.text
