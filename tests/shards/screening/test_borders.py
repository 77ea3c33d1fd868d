"""Where the picture lies within its black borders."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from surgstream.shards.format.records import Box
from surgstream.shards.screening.borders import find_border, lit_box
from surgstream.shards.screening.regions import largest_region
from surgstream.shards.storage.stores import Stores, open_storage
from surgstream.shards.video.sources import VideoFile, find_film
from tests.helpers.s3 import s3_bucket
from tests.helpers.scenes import Picture, in_disc, lumen, make_film, scene, scenes, written


def box_of(path: Path | str) -> tuple[int, int, int, int] | None:
    border = find_border(VideoFile(str(path), Stores()))
    return (
        None
        if border is None
        else (border.box.left, border.box.top, border.box.right, border.box.bottom)
    )


def disc(number: int, brightness: float = 1.0) -> Picture:
    """Radius 70 around (190, 85)."""
    return in_disc((scene("tissue", number) * brightness).astype(np.uint8), (190, 85), 70)


def is_close(
    box: tuple[int, int, int, int] | None, expected: tuple[int, int, int, int], most: int = 3
) -> bool:
    return box is not None and max(abs(a - b) for a, b in zip(box, expected, strict=True)) <= most


def test_a_disc_stays_whole(tmp_path: Path) -> None:
    path = make_film(tmp_path / "v.mp4", [disc(number) for number in range(100)])
    assert is_close(box_of(path), (120, 15, 261, 156))


def test_dark_frames_slides_and_writing_in_the_border_change_nothing(tmp_path: Path) -> None:
    dark = [disc(number, 0.15) for number in range(60)]
    bright = [written("ST. NAME", disc(number), (2, 2)) for number in range(60)]
    others = scenes(("text", 6), ("test_card", 6), ("uniform", 6))
    slide = [255 - scene("text", 0)] * 30
    path = make_film(tmp_path / "v.mp4", [*others, *dark, *slide, *bright])
    assert is_close(box_of(path), (120, 15, 261, 156))


def test_a_rectangle_with_dark_corners_loses_nothing(tmp_path: Path) -> None:
    pictures = [in_disc(scene("tissue", number), (160, 90), 165) for number in range(60)]
    assert box_of(make_film(tmp_path / "v.mp4", pictures)) is None


def test_bars_above_and_below(tmp_path: Path) -> None:
    pictures = [
        np.pad(scene("tissue", n, (320, 140)), ((20, 20), (0, 0), (0, 0))) for n in range(60)
    ]
    assert is_close(box_of(make_film(tmp_path / "v.mp4", pictures)), (0, 20, 320, 160))


def test_a_bright_picture_between_pillars(tmp_path: Path) -> None:
    pictures = [np.pad(lumen(n, (240, 180)), ((0, 0), (40, 40), (0, 0))) for n in range(60)]
    assert is_close(box_of(make_film(tmp_path / "v.mp4", pictures)), (40, 0, 280, 180))


def test_what_is_taken_for_a_card_or_a_wall_throughout_has_its_border_too(tmp_path: Path) -> None:
    for kind in ("test_card", "uniform", "out_of_body"):
        pictures = [
            np.pad(scene(kind, n, (240, 180)), ((0, 0), (40, 40), (0, 0))) for n in range(60)
        ]
        assert is_close(box_of(make_film(tmp_path / f"{kind}.mp4", pictures)), (40, 0, 280, 180))


def test_where_nothing_can_be_told_nothing_is_cropped(tmp_path: Path) -> None:
    assert box_of(make_film(tmp_path / "dark.mp4", scenes(("black", 20)))) is None
    assert box_of(make_film(tmp_path / "short.mp4", [disc(0)] * 2)) is None
    assert box_of(make_film(tmp_path / "whole.mp4", scenes(("tissue", 20)))) is None


def test_one_group_of_pictures_is_sampled_as_well(tmp_path: Path) -> None:
    path = make_film(tmp_path / "v.mp4", [disc(number) for number in range(100)], gop=1000)
    assert is_close(box_of(path), (120, 15, 261, 156))


def test_folders_of_images(tmp_path: Path) -> None:
    for number in range(60):
        Image.fromarray(disc(number)).save(tmp_path / f"{number:05d}.png")
    border = find_border(find_film(str(tmp_path), Stores(), image_fps=1))
    assert border is not None and border.box == Box(left=120, top=15, right=261, bottom=156)


@pytest.mark.slow
def test_a_video_on_s3(tmp_path: Path) -> None:
    data = make_film(tmp_path / "v.mp4", [disc(number) for number in range(100)]).read_bytes()
    with s3_bucket("videos") as bucket:
        open_storage(bucket).write("v.mp4", data)
        found = box_of(f"{bucket}/v.mp4")
    assert is_close(found, (120, 15, 261, 156))


@given(st.data())
def test_the_largest_region_is_boxed(data: st.DataObject) -> None:
    height, width = 60, 100
    left, top = data.draw(st.integers(5, 40)), data.draw(st.integers(0, 20))
    right, bottom = data.draw(st.integers(left + 40, 90)), data.draw(st.integers(top + 30, 60))
    lit = np.zeros((height, width), bool)
    lit[top:bottom, left:right] = True
    noise = np.random.default_rng(data.draw(st.integers(0, 99)))
    pictures = [lit & (noise.random(lit.shape) < 0.5) for _ in range(40)]
    pictures += [np.zeros_like(lit)] * data.draw(st.integers(0, 100))
    assert lit_box(pictures) == (left, top, right, bottom)


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_regions_equal_a_flood(seed: int, height: int, width: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    regions, seen = [], set[tuple[int, int]]()
    for start in zip(*np.nonzero(mask), strict=True):
        region, ahead = set[tuple[int, int]](), [(int(start[0]), int(start[1]))]
        while ahead:
            row, column = ahead.pop()
            inside = 0 <= row < height and 0 <= column < width
            if inside and mask[row, column] and (row, column) not in seen:
                seen.add((row, column))
                region.add((row, column))
                ahead += [
                    (row + 1, column),
                    (row - 1, column),
                    (row, column + 1),
                    (row, column - 1),
                ]
        regions.append(region)
    found = {
        (int(row), int(column))
        for row, column in zip(*np.nonzero(largest_region(mask)), strict=True)
    }
    assert found in regions if regions else not found
    assert len(found) == max(map(len, regions), default=0)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_wider_view_counts_if_it_is_seen_often(share: float) -> None:
    narrow, wide = np.zeros((60, 100), bool), np.zeros((60, 100), bool)
    narrow[10:50, 30:70], wide[10:50, 10:90] = True, True
    num_wide = int(100 * share)
    pictures = [wide] * num_wide + [narrow] * (100 - num_wide)
    assert lit_box(pictures) == ((10, 10, 90, 50) if share > 0.1 else (30, 10, 70, 50))
