"""`surgstream demo`, in short: the same path from videos to a resumed run, under torchrun."""

import json
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.conftest import Corpora


def demo(*words: str, steps: int) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "surgstream", "demo", *words, f"--steps={steps}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_videos_of_ones_own_are_packed_trained_on_and_resumed(
    corpora: Corpora, tmp_path: Path
) -> None:
    out, videos = tmp_path / "demo", tmp_path / "videos"
    videos.mkdir()
    for video in sorted(corpora.videos.glob("larkspur/**/*.mp4"))[:2]:
        (videos / video.name).symlink_to(video)
    (videos / "notes.txt").write_text("not a video")

    ended = demo(str(out), str(videos), steps=6)

    assert ended.returncode == 0, ended.stderr
    assert "resuming from" in ended.stderr and "step 3, 48 clips seen" in ended.stderr
    assert "training  of mean    held out  of mean" in ended.stdout, "the last video is held out"
    assert "\n    reconstruction " in ended.stdout
    for line in ("picture ", "metrics ", "checkpoint "):
        found, *_ = (row for row in ended.stdout.splitlines() if row.strip().startswith(line))
        assert Path(found.split()[1]).exists()
    lines = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss/total" in line] == [3, 6]


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    ended = demo(str(tmp_path / "demo"), str(tmp_path), steps=2)
    assert ended.returncode == 2
    assert "expected a folder with videos" in ended.stderr
