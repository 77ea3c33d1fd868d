"""No name leads out of the folder or prefix that it is opened in; symbolic links, which an owner sets, excepted."""

import posixpath
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgstream.shards.errors import StorageError
from surgstream.shards.format import names as schema
from surgstream.shards.storage.base import safe_name
from surgstream.shards.storage.stores import open_storage
from tests.fuzz.damage import TEXTS, cases

STEPS = [
    "..",
    ".",
    "",
    "a",
    "a-000000.tar",
    "~",
    "...",
    "\\",
    "C:",
    "%2e%2e",
    "\0",
    "\n",
    "\ud800",
    "\xe9" * 300,
]
names = (
    st.lists(st.sampled_from(STEPS) | st.text(max_size=5), max_size=6).map("/".join)
    | st.sampled_from(TEXTS)
    | st.text(max_size=30)
)


@given(names)
@cases(300)
def test_safe_names_stay_inside(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "store"
    try:
        assert safe_name("here", name) == name
    except StorageError as error:
        assert "here" in str(error)
        return
    inside = Path(posixpath.normpath(folder / name))
    assert inside != folder and inside.is_relative_to(folder)


@given(names | st.from_regex(r"\A(\.\.|[a-z/.]{1,9})/[a-z.]{1,9}-\d{6}\.tar\n?\Z"))
@cases(300)
def test_shards_and_what_lies_beside_them_stay_inside(tmp_path: Path, name: str) -> None:
    if schema.is_shard_name(name):
        assert schema.shard_name(name.partition("/")[0], schema.shard_number(name)) == name
        for beside in (name, schema.index_name(name), schema.receipt_name(name)):
            assert (
                safe_name("here", beside)
                and Path(posixpath.normpath(tmp_path / beside)).parent.parent == tmp_path
            )


@given(names)
@cases(200)
def test_a_folder_touches_nothing_outside(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    store = open_storage(str(tmp_path / "deep" / "store"))
    for act in (
        store.size,
        store.version,
        lambda name: store.write(name, b"x"),
        store.read,
        store.delete,
    ):
        try:
            act(name)
        except StorageError as error:
            assert "deep/store" in str(error)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "deep") == ["outside"]
    assert {path.name for path in (tmp_path / "deep").glob("*")} <= {"store"}
    assert outside.read_text() == "untouched"


class _CaughtError(Exception):
    """A request that was about to be sent."""


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest) -> Any:
    """A prefix whose requests are not sent."""
    with pytest.MonkeyPatch.context() as patch:
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(key, "x")
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        store: Any = open_storage("s3://bucket/some/prefix")
    return store


@given(names)
@cases(150)
def test_a_prefix_is_never_left(store: Any, name: str) -> None:
    sent: list[str] = []

    def caught(request: Any, **_: Any) -> None:
        sent.append(urllib.parse.unquote(urllib.parse.urlsplit(request.url).path))
        raise _CaughtError

    store._client._clients.patient.meta.events.register(
        "before-send.s3", caught, unique_id="caught"
    )
    for act in (store.size, lambda name: store.write(name, b"x"), store.delete):
        with pytest.raises((_CaughtError, StorageError)):
            act(name)
    for path in sent:
        assert path.startswith("/bucket/some/prefix/")
        assert posixpath.normpath(path).startswith("/bucket/some/prefix/")
    store._client._clients.patient.meta.events.unregister("before-send.s3", unique_id="caught")
