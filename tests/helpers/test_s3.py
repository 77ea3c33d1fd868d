"""The S3 server of the tests."""

from surgstream.shards.storage.stores import open_storage
from tests.helpers.s3 import s3_bucket


def test_a_bucket_of_the_same_name_begins_empty() -> None:
    with s3_bucket("twice") as bucket:
        open_storage(bucket).write("left", b"over")

    with s3_bucket("twice") as bucket:
        assert open_storage(bucket).sizes() == {}
