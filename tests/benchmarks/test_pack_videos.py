"""The benchmark of packing does the same work on both sides."""

from pathlib import Path

from surgstream.benchmarks.experiments.pack_videos import Cost, Row, measure, table
from tests.helpers.videos import make_video


def test_both_sides_do_the_same_work(tmp_path: Path) -> None:
    row = measure(make_video(tmp_path / "v.mp4", 60, size=(320, 288)), 2, tmp_path, repeats=2)
    for side in (row.ours, row.ffmpeg, row.ours_all_cores, row.ffmpeg_all_cores):
        assert [cost.num_frames for cost in side] == [5, 5]
        assert all(
            cost.cpu_seconds > 0 and cost.wall_seconds > 0 and cost.num_bytes > 5000
            for cost in side
        )
    assert 0 < row.difference < 4
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_ratios_are_medians_over_repeats() -> None:
    ours, theirs = (
        [Cost(n, 2 * n, 4, 4000) for n in numbers] for numbers in ((1, 2, 9), (2, 2, 3))
    )
    row = Row(
        video="v",
        fps=1,
        difference=1.5,
        ours=ours,
        ffmpeg=theirs,
        ours_all_cores=theirs,
        ffmpeg_all_cores=ours,
    )
    line = table([row]).splitlines()[-1]
    assert (
        line
        == "| v | 1 | 2.00 | 2.00 | **1.00** (0.50 to 3.00) | **1.00** (0.33 to 2.00) | 1.0 / 1.0 | 1.50 |"
    )
