"""What holds for each release."""

import re

import pytest

from surgstream.configs.errors import ConfigError
from surgstream.shards.releases.registry import MODULES, find_release
from surgstream.shards.releases.release import Column, Release

CLASS = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")


@pytest.fixture(params=MODULES)
def release(request: pytest.FixtureRequest) -> Release:
    return find_release(request.param)


def columns(release: Release) -> dict[str, Column]:
    return {column.name: column for column in release.columns}


def test_it_is_found_under_its_name(release: Release) -> None:
    assert MODULES[release.name]
    assert release.title and release.layout and release.source


def test_its_columns_are_distinct_and_their_classes_too(release: Release) -> None:
    assert len(columns(release)) == len(release.columns) > 0
    for column in release.columns:
        assert CLASS.fullmatch(column.name)
        assert len(set(column.classes)) == len(column.classes)
        assert all(map(CLASS.fullmatch, column.classes))
        assert bool(column.classes) == (column.kind != "number")


def test_its_counts_count_something_of_its_own(release: Release) -> None:
    for count in release.counts:
        assert count.column in columns(release)
        assert count.source
        assert (count.num_videos or count.num_rows or 0) > 0
        if count.videos and count.num_videos:
            assert count.num_videos <= len(count.videos)


def test_others_are_told_with_what_was_meant() -> None:
    with pytest.raises(
        ConfigError, match=r"^pitviz: expected a release, .*; did you mean 'pitvis'\?"
    ):
        find_release("pitviz")
