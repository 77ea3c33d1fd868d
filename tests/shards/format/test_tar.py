"""Tars: what other programs read, and the same bytes every time."""

import hashlib
import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.format.tar import TarWriter, closed_size

members = st.dictionaries(
    st.text("abc-_.0", min_size=1, max_size=90), st.binary(max_size=1500), max_size=12
)


def write(contents: dict[str, bytes]) -> tuple[bytes, dict[str, int], TarWriter]:
    sink = io.BytesIO()
    tar = TarWriter(sink)
    offsets = {name: tar.add(name, content) for name, content in contents.items()}
    before = tar.num_bytes
    tar.close()
    assert tar.num_bytes == closed_size(before)
    return sink.getvalue(), offsets, tar


@given(members)
@settings(derandomize=True, max_examples=50)
def test_tarfile_reads_what_was_added_and_offsets_point_at_it(contents: dict[str, bytes]) -> None:
    data, offsets, tar = write(contents)
    assert tar.num_bytes == len(data) and tar.sha256 == hashlib.sha256(data).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as reader:
        found = reader.getmembers()
        assert {member.name: reader.extractfile(member).read() for member in found} == contents
    for member in found:
        assert member.offset_data == offsets[member.name]
        assert data[member.offset_data : member.offset_data + member.size] == contents[member.name]
        assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
        assert (member.uname, member.gname, member.isreg()) == ("", "", True)


def test_the_bytes_are_those_of_tarfile_itself() -> None:
    contents = {"a.json": b"{}", "a.0000.jpg": bytes(700), "a.0001.jpg": b""}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert write(contents)[0] == buffer.getvalue()
