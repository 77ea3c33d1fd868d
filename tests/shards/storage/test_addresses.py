"""Addresses told from paths of this machine."""

from pathlib import Path

import pytest

from surgstream.shards.storage.addresses import (
    OPENERS,
    absolute,
    bucket_and_key,
    is_address,
    is_in_bucket,
    join,
    local_folder,
)


@pytest.mark.parametrize("place", ["", "corpus", "/data/corpus", "a:b/c", "s3:/bucket"])
def test_a_path_is_no_address(place: str) -> None:
    assert not is_address(place)
    assert not is_in_bucket(place)
    assert local_folder(place) == Path(place)


def test_an_address_stands_for_itself() -> None:
    assert join("/data", "s3://bucket/a") == "s3://bucket/a"
    assert join("/data", "a/b") == "/data/a/b"
    assert join("s3://bucket/a", "b") == "s3://bucket/a/b"
    assert absolute("s3://bucket/../a") == "s3://bucket/../a"
    assert absolute("a/../b") == f"{Path.cwd()}/a/../b"


def test_a_file_uri_is_a_folder_of_this_machine() -> None:
    assert local_folder("file:///data/a%20b") == Path("/data/a b")
    assert local_folder("s3://bucket/a") is None
    assert not is_in_bucket("file:///data/a")


def test_only_kinds_that_can_be_opened_are_in_a_bucket() -> None:
    assert is_in_bucket("s3://bucket/a")
    assert not is_in_bucket("http://host/a")
    assert bucket_and_key("s3://bucket/a/b") == ("s3://bucket", "a/b")
    assert set(OPENERS) == {"file", "s3"}
