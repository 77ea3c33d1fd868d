"""Whatever a damaged file of a release holds, it is converted or refused in one sentence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.conversion import convert
from tests.helpers.releases import Files, lay, small
from tests.shards.releases import (
    test_autolaparo,
    test_cholec80,
    test_cholect50,
    test_endoscapes,
    test_m2cai16,
    test_multibypass140,
    test_ophnet,
    test_pitvis,
)

RELEASES: dict[str, Files] = {
    "autolaparo": test_autolaparo.FILES,
    "cholec80": test_cholec80.FILES,
    "cholect45": test_cholect50.T45_FILES,
    "cholect50": test_cholect50.FILES,
    "endoscapes": test_endoscapes.FILES,
    "m2cai16": test_m2cai16.FILES,
    "multibypass140": test_multibypass140.FILES,
    "ophnet": test_ophnet.FILES,
    "pitvis": test_pitvis.FILES,
}

PIECES = st.binary(max_size=6) | st.sampled_from(
    [b"\n", b"\t", b",", b'"', b"-1", b"1e9", b"nan", b"\0", b"\xff", b"{", b"[", b"9" * 5000]
)


@pytest.mark.parametrize("name", RELEASES)
@settings(max_examples=60, derandomize=True)
@given(data=st.data())
def test_damage_never_is_more_than_a_sentence(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = dict(RELEASES[name])
    damaged = data.draw(st.sampled_from(sorted(files)))
    content = files[damaged]
    content = content.encode() if isinstance(content, str) else content
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    files[damaged] = content[:start] + data.draw(PIECES) + content[end:]

    folder = tmp_path_factory.mktemp("damage")
    out = folder / "out"
    try:
        converted = convert(small(name), lay(folder / "raw", files), out)
    except ReleaseError as error:
        assert str(folder / "raw") in str(error)
        assert "\n" not in str(error)
        assert not any(out.iterdir())
    else:
        assert sorted(path.name for path in out.iterdir()) == [name]
        assert all(len(tally.num_rows) <= 8 for tally in converted.tallies.values())


@pytest.mark.parametrize("name", RELEASES)
def test_without_damage_it_is_converted(name: str, tmp_path: Path) -> None:
    converted = convert(small(name), lay(tmp_path / "raw", RELEASES[name]), tmp_path / "out")
    assert all(tally.num_rows for tally in converted.tallies.values())
