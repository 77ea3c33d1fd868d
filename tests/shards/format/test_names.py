"""Names inside a corpus."""

from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.format import names as schema


@given(st.text(min_size=1, max_size=200))
@settings(derandomize=True)
def test_any_name_becomes_a_plain_id_that_fits_a_tar(name: str) -> None:
    encoded = schema.encode_id(name)
    assert schema.is_plain_id(encoded)
    key = schema.segment_key(encoded, 10**6 - 1)
    assert len(schema.frame_member(key, 9999)) <= 100
    assert schema.frame_member(key, 0).split(".")[0] == key


@given(st.lists(st.text("aA.-_ é/0", min_size=1, max_size=6), min_size=2, unique=True))
@settings(derandomize=True)
def test_different_names_get_different_ids(names: list[str]) -> None:
    encoded = [schema.encode_id(name) for name in names]
    encoded += [schema.encode_id(name) for name in encoded if name not in names]
    assert len(set(encoded)) == len(encoded)


def test_plain_names_stay() -> None:
    assert schema.encode_id("video41") == "video41"
    assert schema.encode_id("Case 1.cut") == "Case_1_cut--54f062e291466f10"


def test_shard_names() -> None:
    name = schema.shard_name("cholec80", 7)
    assert name == "cholec80/cholec80-000007.tar" and schema.is_shard_name(name)
    assert schema.shard_number(name) == 7
    assert schema.index_name(name) == "cholec80/cholec80-000007.idx"
    assert schema.receipt_name(name) == "cholec80/cholec80-000007.json"
    for other in (
        "a/b-000000.tar",
        "../a/a-000000.tar",
        "a/a-000000.idx",
        "a/a-0.tar",
        "/a/a-000000.tar",
        "a/a-000000.tar\n",
    ):
        assert not schema.is_shard_name(other)
