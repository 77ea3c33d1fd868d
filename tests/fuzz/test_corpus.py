"""Whatever a corpus holds, reading it gives frames as packed, or an error that names the file."""

import hashlib
import io
import os
import shutil
import struct
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.JpegImagePlugin import JpegImageFile

from surgstream.configs.loading import to_tree
from surgstream.shards.errors import ManifestError, ShardError
from surgstream.shards.format.checksummed import dump_checksummed
from surgstream.shards.format.index import ROW
from surgstream.shards.format.jpeg import picture_size
from surgstream.shards.format.manifest import Manifest, ManifestFile
from surgstream.shards.format.names import is_plain_id, is_shard_name
from surgstream.shards.format.tar import TarWriter
from surgstream.shards.order.sequence import Order, OrderConfig
from surgstream.shards.packing.checks import check_shard
from surgstream.shards.packing.plan import PackingPlan
from surgstream.shards.packing.plan_records import PlannedVideo
from surgstream.shards.packing.record_checks import check_records
from surgstream.shards.packing.shard import Receipt
from surgstream.shards.reading.clips import BadClipLimits
from surgstream.shards.reading.config import ReadConfig
from surgstream.shards.reading.frame_table import FrameTable
from surgstream.shards.storage.stores import open_storage
from tests.fuzz.damage import NUMBERS, cases, damaged, manifests, records, replaced
from tests.helpers.streams import clip_stream

TAR, INDEX = "d/d-000000.tar", "d/d-000000.idx"


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    """A copy for tests that damage several files at a time."""
    return Path(shutil.copytree(corpus, tmp_path / "copy"))


def read(corpus: Path) -> None:
    """Train on a corpus for some steps; every clip must be what its own shard says."""
    try:
        table = FrameTable.open(open_storage(str(corpus)))
        order = Order.create(table.sizes(), 5, OrderConfig(open_chunks=3, chunk_frames=6))
        limits = BadClipLimits(in_all=1000, in_a_row=1000)
        with clip_stream(
            table, order, num_frames=3, stride=2, global_batch_size=8, micro_batch_size=4, rank=0, world_size=1,
            start=0, stop=24, read=ReadConfig(threads=2), limits=limits,
        ) as stream:  # fmt: skip
            for clip in (clip for batch in stream for clip in batch):
                assert all(
                    picture_size(frame.data) == (clip.width, clip.height) for frame in clip.frames
                )
    except ShardError as error:
        names_a_file(error, corpus)


def check(corpus: Path) -> None:
    """Verify a corpus, without processes."""
    storage = open_storage(str(corpus))
    try:
        manifest = Manifest.load(storage)
        for finding in check_records(manifest, storage):
            assert any(kind in finding for kind in (".json", ".tar")), finding
        for shard in manifest.shards:
            for finding in check_shard(shard, 5, storage, lambda frames: None):
                assert finding.startswith(shard.name[:-4]), finding
    except ShardError as error:
        names_a_file(error, corpus)


def names_a_file(error: ShardError, corpus: Path) -> None:
    message = str(error)
    assert str(corpus) in message or "dataset d" in message or "dataset e" in message, message
    assert "\n" not in message or "mistake(s)" in message


@given(st.data())
@cases(300)
def test_manifests(corpus: Path, data: st.DataObject) -> None:
    content = data.draw(manifests((corpus / "manifest.json").read_bytes()))
    try:
        manifest = ManifestFile(content, where="here").parse()
    except ManifestError as error:
        assert "here" in str(error)
        return
    for shard in manifest.shards:
        assert is_shard_name(shard.name) and all(is_plain_id(video.id) for video in shard.videos)
        assert 0 < shard.num_frames * ROW.itemsize < shard.num_bytes < 2**63
        assert all(
            0 < video.width * video.height <= 2**25 and video.fps > 0 for video in shard.videos
        )
    table = FrameTable(open_storage(str(corpus)), manifest.shards, "")
    try:
        order = Order.create(table.sizes(), 5, OrderConfig(open_chunks=3, chunk_frames=6))
    except ManifestError:
        return
    draws = order.draws(10**6, 8)
    for dataset, clip in zip(draws.dataset.tolist(), draws.clip.tolist(), strict=True):
        name = order.dataset_names[dataset]
        (rows,) = table.rows(name, clip, clip + 1)
        assert 0 <= rows.start < rows.stop <= rows.shard_bytes


@given(st.data())
@cases(100)
def test_a_corpus_under_another_manifest(corpus: Path, copy: Path, data: st.DataObject) -> None:
    """The files are given the sizes that the manifest wants, so that what reads them is reached."""
    content = data.draw(manifests((corpus / "manifest.json").read_bytes()))
    with replaced(copy / "manifest.json", content):
        try:
            manifest = Manifest.load(open_storage(str(copy)))
        except ManifestError as error:
            names_a_file(error, copy)
            return
        for shard in manifest.shards:
            for name, size in (
                (shard.name, shard.num_bytes),
                (shard.index_name, shard.num_frames * ROW.itemsize),
            ):
                if size <= 2**24 and (corpus / name).exists():
                    shutil.copyfile(corpus / name, copy / name)
                    os.truncate(copy / name, size)
        read(copy)
        check(copy)


@given(st.data())
@cases(100)
def test_damaged_files(corpus: Path, data: st.DataObject) -> None:
    path = data.draw(
        st.sampled_from(sorted(path for path in corpus.rglob("*.*") if path.is_file()))
    )
    with replaced(path, data.draw(damaged(path.read_bytes()))):
        read(corpus)
        check(corpus)


def publish(corpus: Path, tar: bytes, index: bytes) -> None:
    """Put another shard in place, and all checksums right."""
    manifest = Manifest.load(open_storage(str(corpus)))
    (corpus / TAR).write_bytes(tar)
    (corpus / INDEX).write_bytes(index)
    sums = {
        "sha256": hashlib.sha256(tar).hexdigest(),
        "index_sha256": hashlib.sha256(index).hexdigest(),
    }
    shards = [
        replace(s, num_bytes=len(tar), **sums) if s.name == TAR else s for s in manifest.shards
    ]
    (corpus / "manifest.json").write_bytes(replace(manifest, shards=tuple(shards)).to_bytes())


@given(st.data())
@cases(150)
def test_indexes(corpus: Path, copy: Path, data: st.DataObject) -> None:
    rows = np.frombuffer((corpus / INDEX).read_bytes(), ROW).copy()
    whole = [number for number in NUMBERS if type(number) is int]
    for _ in range(data.draw(st.integers(1, 4))):
        field = data.draw(st.sampled_from(rows.dtype.names))
        limit = np.iinfo(rows.dtype[field]).max
        row = data.draw(st.integers(0, len(rows) - 1))
        old = int(rows[field][row])
        new = data.draw(
            st.sampled_from(whole) | st.integers(-600, 600).map(lambda by, old=old: old + by)
        )
        rows[field][row] = min(max(new, 0), limit)
    publish(copy, (corpus / TAR).read_bytes(), rows.tobytes())
    read(copy)
    check(copy)


@given(st.data())
@cases(150)
def test_tars(corpus: Path, copy: Path, data: st.DataObject) -> None:
    """Other members under other names, well summed and indexed: descriptions, frames, whatever."""
    with tarfile.open(corpus / TAR) as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]
    for i in data.draw(
        st.lists(st.integers(0, len(members) - 1), min_size=1, max_size=3, unique=True)
    ):
        name, content = members[i]
        kind = records(content) if name.endswith(".json") else damaged(content)
        names = st.sampled_from(
            [name, name, name, "../../x", "/etc/passwd", "a" * 100, members[0][0]]
        )
        members[i] = data.draw(names), data.draw(kind)
    file, rows = io.BytesIO(), []
    writer = TarWriter(file)
    jpegs = Manifest.load(open_storage(str(copy))).shards[0].num_frames
    for name, content in members:
        offset = writer.add(name, content)
        if not name.endswith(".json") and len(rows) < jpegs:
            rows.append((offset, len(content), zlib.crc32(content)))
    writer.close()
    rows += [rows[-1]] * (jpegs - len(rows))
    publish(copy, file.getvalue(), np.array(rows, ROW).tobytes())
    read(copy)
    check(copy)


@given(st.data())
@cases(200)
def test_plans_receipts_and_quarantine(corpus: Path, data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(["plan.json", "d/d-000000.json", "e/e-000000.json", "quarantine.jsonl"])
    )
    storage = open_storage(str(corpus))
    planned, options = PackingPlan.load(storage).shards, PackingPlan.load(storage).options
    with replaced(corpus / name, data.draw(records((corpus / name).read_bytes()))):
        check(corpus)
        try:
            plan = PackingPlan.load(storage)
        except ManifestError as error:
            assert name == "plan.json" in str(error)
        else:
            assert all(is_shard_name(shard.name) for shard in plan.shards)
        for shard in planned:
            receipt = Receipt.load(storage, shard, options)
            assert receipt is None or receipt.shard is None or receipt.shard.name == shard.name


def test_a_receipt_of_another_shard_is_none(corpus: Path) -> None:
    storage = open_storage(str(corpus))
    plan = PackingPlan.load(storage)
    assert plan
    ours, theirs = (Receipt.load(storage, shard, plan.options) for shard in plan.shards)
    assert ours and theirs
    with replaced(
        corpus / "d/d-000000.json", dump_checksummed(to_tree(replace(ours, shard=theirs.shard)))
    ):
        assert Receipt.load(storage, plan.shards[0], plan.options) is None


def test_a_plan_of_files_elsewhere_is_refused(corpus: Path) -> None:
    storage = open_storage(str(corpus))
    plan = PackingPlan.load(storage)
    assert plan
    for changes in (
        {"name": "../d-000000.tar"},
        {"name": "e/e-000000.tar"},
        {"videos": (bad_id(plan),)},
    ):
        shards = (replace(plan.shards[0], **changes),)  # type: ignore[arg-type]
        altered = dump_checksummed(to_tree(replace(plan, shards=shards)))
        with (
            replaced(corpus / "plan.json", altered),
            pytest.raises(ManifestError, match=r"plan\.json"),
        ):
            PackingPlan.load(storage)


def bad_id(plan: PackingPlan) -> PlannedVideo:
    return replace(plan.shards[0].videos[0], id="../x")


def test_verify_decodes_no_picture_of_another_size(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[int, int]] = []
    monkeypatch.setattr(JpegImageFile, "load", lambda picture: decoded.append(picture.size))
    tar, rows = (
        bytearray((copy / TAR).read_bytes()),
        np.frombuffer((copy / INDEX).read_bytes(), ROW).copy(),
    )
    start, size, _ = rows[3].tolist()
    header = tar.index(b"\xff\xc0", start) + 5
    tar[header : header + 4] = struct.pack(">HH", 9000, 9000)
    rows["crc32"][3] = zlib.crc32(tar[start : start + size])
    publish(copy, bytes(tar), rows.tobytes())
    storage = open_storage(str(copy))
    (finding,) = check_shard(Manifest.load(storage).shards[0], 5, storage, lambda frames: None)
    assert "expected 21x16 pixels, got 9000x9000" in finding
    assert decoded and (9000, 9000) not in decoded


def test_verify_takes_no_memory_for_members_that_cannot_be(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MAX_MEMBER", "READ_BYTES"):
        monkeypatch.setattr(f"surgstream.shards.format.tape.{limit}", 512)
    storage = open_storage(str(copy))
    (finding,) = check_shard(Manifest.load(storage).shards[0], 5, storage, lambda frames: None)
    assert "on it does not fit its index" in finding
