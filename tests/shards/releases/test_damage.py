"""Whatever a damaged file of a release holds, it is converted or refused in one sentence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.errors import ReleaseError
from surgstream.shards.releases.conversion import convert
from tests.helpers.releases import Files, lay, small
from tests.helpers.workbooks import Cell, workbook
from tests.shards.releases import (
    test_aixsuture,
    test_autolaparo,
    test_cataract21,
    test_cataract101,
    test_cataracts,
    test_cholec80,
    test_cholec80_cvs,
    test_cholect50,
    test_endoscapes,
    test_jigsaws,
    test_m2cai16,
    test_multibypass140,
    test_ophnet,
    test_pitvis,
    test_pmlr50,
    test_polypdiag,
    test_sarrarp50,
    test_surgical_actions160,
)

RELEASES: dict[str, Files] = {
    "aixsuture": test_aixsuture.FILES,
    "autolaparo": test_autolaparo.FILES,
    "cataract101": test_cataract101.FILES,
    "cataract21": test_cataract21.FILES,
    "cataracts": test_cataracts.FILES,
    "cholec80": test_cholec80.FILES,
    "cholec80_cvs": test_cholec80_cvs.FILES,
    "cholect45": test_cholect50.T45_FILES,
    "cholect50": test_cholect50.FILES,
    "endoscapes": test_endoscapes.FILES,
    "jigsaws": test_jigsaws.FILES,
    "m2cai16": test_m2cai16.FILES,
    "multibypass140": test_multibypass140.FILES,
    "ophnet": test_ophnet.FILES,
    "pitvis": test_pitvis.FILES,
    "pmlr50": test_pmlr50.FILES,
    "polypdiag": test_polypdiag.FILES,
    "sarrarp50": test_sarrarp50.FILES,
    "surgical_actions160": test_surgical_actions160.FILES,
}

WORKBOOKS: dict[str, tuple[tuple[Cell, ...], ...]] = {
    "aixsuture": test_aixsuture.ROWS,
    "cholec80_cvs": test_cholec80_cvs.ROWS,
}
"""Rows of the releases that are a workbook."""

CELLS = st.sampled_from(
    [-1, 0, 0.5, 10**14, 1e300, True, None, "", "x", "9" * 15, "-", "=1/0", "\u00e9" * 90]
)

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

    attempt(name, files, tmp_path_factory.mktemp("damage"))


@pytest.mark.parametrize("name", WORKBOOKS)
@settings(max_examples=40, derandomize=True)
@given(data=st.data())
def test_nor_is_another_cell_of_a_workbook(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [list(row) for row in WORKBOOKS[name]]
    row = data.draw(st.sampled_from(rows))
    row[data.draw(st.integers(0, len(row) - 1))] = data.draw(CELLS)

    files = dict.fromkeys(RELEASES[name], workbook(*rows))
    attempt(name, files, tmp_path_factory.mktemp("damage"))


def attempt(name: str, files: Files, folder: Path) -> None:
    """Convert a release, or be told in a sentence why not."""
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
