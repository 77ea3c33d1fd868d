"""`surgstream demo`, in short: the same path from videos to a resumed run, under torchrun."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.conftest import Corpora
from tests.helpers.packing import wait_until


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


def test_what_is_asked_to_stop_leaves_nothing_behind(corpora: Corpora, tmp_path: Path) -> None:
    """A signal to the command alone reaches what its script has started, and it waits for them to save."""
    out = tmp_path / "demo"
    videos = corpora.videos / "larkspur"
    command = [sys.executable, "-m", "surgstream", "demo", str(out), str(videos), "--steps=20000"]
    log = out / "run" / "metrics.jsonl"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as demo:
        try:
            wait_until(lambda: log.exists() and "loss/total" in log.read_text(), 100)
            demo.send_signal(signal.SIGTERM)
            printed, _ = demo.communicate(timeout=100)
        finally:
            demo.kill()

    assert demo.returncode == 128 + signal.SIGTERM, printed.decode()
    assert not [command for command in running() if str(out) in command]
    assert list((out / "run" / "checkpoints").glob("step_*"))


def running() -> list[str]:
    """The commands of all processes of this machine."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return commands


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    ended = demo(str(tmp_path / "demo"), str(tmp_path), steps=2)
    assert ended.returncode == 2
    assert "expected a folder with videos" in ended.stderr
