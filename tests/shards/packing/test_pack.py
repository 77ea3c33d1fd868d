"""`surgstream pack`, from real files to shards that others can read."""

import errno
import gc
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from surgstream.launch.__main__ import main as surgstream
from surgstream.shards.corpus.file import PackConfig
from surgstream.shards.errors import StorageError
from surgstream.shards.format import index
from surgstream.shards.format.manifest import Manifest
from surgstream.shards.format.quarantine import Quarantined
from surgstream.shards.format.records import PackedVideo, Part, Shard, Span, VideoReport
from surgstream.shards.packing import shard as packer
from surgstream.shards.packing.outcome import Packed
from surgstream.shards.packing.plan import PackingPlan
from surgstream.shards.storage.stores import open_storage
from surgstream.shards.synthetic.clock import read_frame_number
from surgstream.shards.synthetic.corpus import SynthConfig, write_video
from surgstream.shards.synthetic.corpus import plan as plan_synthetic
from tests.helpers.commands import pack as main
from tests.helpers.packing import ROOT, contents, load, start, write_corpus
from tests.helpers.s3 import s3_bucket
from tests.helpers.videos import make_video, number_in, shown_at

VFR_MILLISECONDS = [0, 40, 700, 1000, 1010, 1900, 4400, 4500, 4960]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets: a steady video, one of varying rate, one that starts late; and one whose middle is damaged."""
    folder = tmp_path_factory.mktemp("sources")
    make_video(folder / "one" / "steady.mp4", 130)
    make_video(folder / "one" / "varying.mkv", VFR_MILLISECONDS, time_base=Fraction(1, 1000))
    make_video(folder / "one" / "Late, 2.5 s.ts", [500 + n for n in range(63)])
    damaged = make_video(folder / "two" / "damaged.mp4", 200, gop=25)
    data = bytearray(damaged.read_bytes())
    middle = data.index(b"mdat") + 4 + (len(data) - data.index(b"mdat")) * 45 // 100
    data[middle : middle + 60] = b"\xff" * 60
    damaged.write_bytes(data)
    (folder / "labels").mkdir()
    (folder / "labels" / "steady.csv").write_text(
        "second,phase\n" + "".join(f"{n},phase {n // 2}\n" for n in range(6))
    )
    return folder


@pytest.fixture(scope="module")
def packed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "out"
    one = {
        "name": "one",
        "videos": "one/*",
        "labels": {"phase": "labels/{video}.csv"},
        "licence": "CC0",
    }
    corpus = write_corpus(sources, one, {"name": "two", "videos": "two/*"}, segment_frames=4)
    assert main([corpus, str(out), "fps=2", "short_side=32", "workers=2"]) == 0
    return out


def samples(folder: Path, shard: str) -> list[dict[str, Any]]:
    with warnings.catch_warnings(
        action="ignore", category=ResourceWarning
    ):  # webdataset leaves its files open
        found = list(webdataset.WebDataset(str(folder / shard), shardshuffle=False))
        gc.collect()
    return found


@pytest.mark.slow
def test_webdataset_reads_one_sample_a_segment(packed: Path) -> None:
    for shard in load(packed).shards:
        found = samples(packed, shard.name)
        described = [json.loads(sample["json"]) for sample in found]
        assert sum(sample["num_frames"] for sample in described) == shard.num_frames
        for sample, said in zip(found, described, strict=True):
            frames = sorted(field for field in sample if field.endswith(".jpg"))
            assert (
                frames == [f"{n:04d}.jpg" for n in range(said["num_frames"])]
                and 1 <= len(frames) <= 4
            )
            assert sample["__key__"].startswith(f"{said['video']}_")
            assert (said["dataset"], said["specialty"]) == (shard.dataset, shard.specialty)


@pytest.mark.slow
def test_frame_k_is_what_the_source_shows_then(packed: Path) -> None:
    expected = {
        "steady.mp4": shown_at(
            [Fraction(n, 25) for n in range(130)], Fraction(130, 25), Fraction(2)
        ),
        "varying.mkv": shown_at(
            [Fraction(n, 1000) for n in VFR_MILLISECONDS], Fraction(5), Fraction(2)
        ),
        "Late, 2.5 s.ts": shown_at(
            [Fraction(n, 25) for n in range(63)], Fraction(63, 25), Fraction(2)
        ),
    }
    shown: dict[str, dict[int, int]] = {name: {} for name in expected}
    for sample in samples(packed, "one/one-000000.tar"):
        said = json.loads(sample["json"])
        for n in range(said["num_frames"]):
            shown[said["source"]][said["first_frame"] + n] = number_in(sample[f"{n:04d}.jpg"])
    assert {name: list(frames.values()) for name, frames in shown.items()} == expected
    assert all(list(frames) == list(range(len(frames))) for frames in shown.values())


def test_the_index_points_at_every_frame_in_the_order_of_the_tar(packed: Path) -> None:
    for shard in load(packed).shards:
        rows = index.from_bytes((packed / shard.index_name).read_bytes(), where="here")
        with tarfile.open(packed / shard.name) as tar:
            members = [member for member in tar.getmembers() if member.name.endswith(".jpg")]
        assert [(m.offset_data, m.size) for m in members] == [
            (row["offset"], row["size"]) for row in rows
        ]
        names = [member.name for member in members]
        first = {v.id: v.first_row for v in shard.videos}
        assert {
            id: names[row].startswith(f"{id}_00000.0000") for id, row in first.items()
        } == dict.fromkeys(first, True)


def test_damage_in_the_middle_splits_a_video_into_parts(packed: Path) -> None:
    (video,) = load(packed).shards[1].videos
    before, after = video.parts
    assert before.first_frame == 0 and 0 < before.num_frames < after.first_frame
    assert after.first_frame + after.num_frames == 16 and video.num_frames < 16
    shown = [
        (said["first_frame"] + n, number_in(sample[f"{n:04d}.jpg"]))
        for sample in samples(packed, "two/two-000000.tar")
        for said in [json.loads(sample["json"])]
        for n in range(said["num_frames"])
    ]
    assert shown == [
        (k, 25 * k // 2)
        for part in video.parts
        for k in range(part.first_frame, part.first_frame + part.num_frames)
    ]


@pytest.mark.slow
def test_a_frame_of_a_synthetic_video_is_what_is_shown_at_its_time(tmp_path: Path) -> None:
    job = plan_synthetic(SynthConfig(seconds=4))[0]
    for kind in ("videos", "labels", "masks", "depth"):
        (tmp_path / job.dataset.name / kind).mkdir(parents=True)
    write_video(tmp_path, job, lambda frames: None)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*/videos/*.mp4"})
    assert main([corpus, str(tmp_path / "out"), "fps=2", "short_side=80", "workers=1"]) == 0
    (sample,) = samples(tmp_path / "out", "d/d-000000.tar")
    jpegs = [sample[f"{k:04d}.jpg"] for k in range(json.loads(sample["json"])["num_frames"])]
    shown = [read_frame_number(np.asarray(Image.open(io.BytesIO(jpeg)))) for jpeg in jpegs]
    assert len(shown) >= 5
    assert shown == shown_at(
        [Fraction(n, 25) for n in range(job.num_frames)], Fraction(job.num_frames, 25), Fraction(2)
    )


def test_names_and_labels_and_licence(packed: Path) -> None:
    by_source = {video.source: video for video in load(packed).shards[0].videos}
    assert by_source["steady.mp4"].id == "steady"
    assert by_source["Late, 2.5 s.ts"].id.startswith("Late__2_5_s--")
    steady = [
        s
        for s in map(lambda s: json.loads(s["json"]), samples(packed, "one/one-000000.tar"))
        if s["video"] == "steady"
    ]
    assert steady[0]["labels"] == {"phase": [[0.0, "phase 0"], [1.0, "phase 0"]]}
    assert steady[1]["labels"] == {"phase": [[2.0, "phase 1"], [3.0, "phase 1"]]}
    assert steady[0]["licence"] == "CC0" and steady[0]["source_fps"] == 25.0


@pytest.mark.slow
def test_the_rate_of_the_source_is_told(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 10, time_base=Fraction(1, 5))
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"})
    assert main([corpus, str(tmp_path / "out")]) == 0
    (sample,) = samples(tmp_path / "out", "d/d-000000.tar")
    assert json.loads(sample["json"])["source_fps"] == 5.0


def test_the_same_bytes_from_any_number_of_workers(
    sources: Path, packed: Path, tmp_path: Path
) -> None:
    corpus = str(sources / "corpus.yaml")
    assert main([corpus, str(tmp_path / "again"), "fps=2", "short_side=32", "workers=1"]) == 0
    assert contents(tmp_path / "again") == contents(packed)


def test_packing_again_touches_nothing(
    sources: Path, packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.rglob("*") if path.is_file()}
    assert main([str(sources / "corpus.yaml"), str(packed), "fps=2", "short_side=32"]) == 0
    assert {path: path.stat().st_mtime_ns for path in packed.rglob("*") if path.is_file()} == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "dataset",
        "videos",
        "frames",
        "hours",
        "MB",
        "quarantined",
        "lost_s",
        "dropped_s",
    ]
    assert [line.split()[:2] for line in lines[1:4]] == [["one", "3"], ["two", "1"], ["total", "4"]]


def test_the_table_adds_up() -> None:
    def shard(dataset: str, hours: int, megabytes: int) -> Shard:
        part = Part(first_frame=0, num_frames=7200 * hours)
        video = PackedVideo(
            id="v", source="v.mp4", parts=(part,), first_row=0, fps=2, width=8, height=8
        )
        facts = {"sha256": "", "index_sha256": "", "specialty": "s", "procedure": "p"}
        return Shard(
            name=f"{dataset}/{dataset}-000000.tar",
            num_bytes=10**6 * megabytes,
            dataset=dataset,
            videos=(video,),
            **facts,
        )

    manifest = Manifest(
        format_version=1, packing={}, shards=(shard("one", 3, 12), shard("two", 1, 5))
    )
    bad = tuple(
        Quarantined(dataset=dataset, video="w", source="w", reason="r")
        for dataset in ("two", "two", "three")
    )
    lost = (Span(start=1, stop=4), Span(start=5.5, stop=6), Span(start=9, stop=None))
    facts = {
        "video": "v",
        "source": "v",
        "container": "avi",
        "codec": "mjpeg",
        "width": 8,
        "height": 8,
    }
    dropped = (Span(start=6, stop=8),)
    readings = tuple(
        VideoReport(dataset=d, fps=2, seconds=9, lost=lost, dropped=dropped, **facts)
        for d in ("one", "two", "two")
    )
    assert [line.split() for line in Packed(manifest, bad, readings).table().splitlines()[1:]] == [
        ["one", "1", "21600", "3.00", "12.0", "0", "3.5", "2.0"],
        ["three", "0", "0", "0.00", "0.0", "1", "0.0", "0.0"],
        ["two", "1", "7200", "1.00", "5.0", "2", "7.0", "4.0"],
        ["total", "2", "28800", "4.00", "17.0", "3", "10.5", "6.0"],
    ]


def test_a_full_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "a.mp4", 100)
    corpus, out = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}), str(tmp_path / "out")
    assert main([corpus, out]) == 0
    plan = PackingPlan.load(open_storage(out))
    assert plan is not None
    task = packer.PackTask(plan.shards[0], plan.options, out)
    monkeypatch.setattr(packer, "MEMORY_BYTES", 1000)
    assert packer.pack_shard(task, lambda frames: None).shard == load(tmp_path / "out").shards[0]
    monkeypatch.setattr(tempfile, "TemporaryFile", FullFile)
    reason = f"{tempfile.gettempdir()}: holding the frames of a video: No space left on device; .* TMPDIR"
    with pytest.raises(StorageError, match=f"^{reason}"):
        packer.pack_shard(task, lambda frames: None)


class FullFile(io.BytesIO):
    """A file on a full disk: buffered bytes that are lost at last, when it is closed as well."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if self.getbuffer().nbytes > 1500:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().seek(offset, whence)

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_the_held_out_split_has_exactly_the_others_and_all_has_both(tmp_path: Path) -> None:
    for name in "abc":
        make_video(tmp_path / f"{name}.mp4", 10)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4", "hold_out": ["b"]})
    assert (
        main([corpus, str(tmp_path / "train")])
        == main([corpus, str(tmp_path / "test"), "split=held_out"])
        == main([corpus, str(tmp_path / "all"), "split=all"])
        == 0
    )
    ids = {
        out: [v.id for shard in load(tmp_path / out).shards for v in shard.videos]
        for out in ("train", "test", "all")
    }
    assert ids == {"train": ["a", "c"], "test": ["b"], "all": ["a", "b", "c"]}


def test_mistakes_end_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"})
    for words, message in (
        ([corpus], "videos: '*.mp4' matches no file"),
        ([corpus, "short_sid=3"], "did you mean 'short_side'?"),
        ([str(tmp_path / "none.yaml")], "expected a corpus file, a folder of videos"),
        ([corpus, "fps=1e300"], "fps: expected 0.001 to 1000, got 1e+300"),
    ):
        assert surgstream(["pack", words[0], str(tmp_path / "out"), *words[1:]]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_a_gpu_nvdec_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    make_video(tmp_path / "a.mp4", 50)
    corpus = write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}, decode="nvdec")
    with start("pack", corpus, tmp_path / "out") as run:
        _, error = run.communicate(timeout=60)
    assert (
        run.returncode == 2
        and "decode: expected an NVIDIA GPU for nvdec, got none that can be used" in error
    )
    assert not list((tmp_path / "out").rglob("*.tar"))


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name, value in vars(PackConfig()).items():
        written = "null" if value is None else list(value) if isinstance(value, tuple) else value
        assert f"  {name}={written} " in text


@pytest.mark.slow
def test_packing_to_and_from_s3(tmp_path: Path) -> None:
    make_video(tmp_path / "in" / "a.mp4", 50)
    local = write_corpus(tmp_path, {"name": "d", "videos": "in/*.mp4"})
    assert main([local, str(tmp_path / "out"), "workers=1"]) == 0
    with s3_bucket("corpora") as bucket:
        open_storage(bucket).write("in/a.mp4", (tmp_path / "in" / "a.mp4").read_bytes())
        corpus = write_corpus(tmp_path, {"name": "d", "videos": f"{bucket}/in/*.mp4"})
        for _ in range(2):
            assert main([corpus, f"{bucket}/out", "workers=1"]) == 0
        store = open_storage(f"{bucket}/out")
        for name in ("d/d-000000.tar", "d/d-000000.idx"):
            assert store.read(name) == (tmp_path / "out" / name).read_bytes()
        assert Manifest.load(store) == load(tmp_path / "out")


def run_limited(command: str, tmp_path: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which `$PACK` packs the corpus below `tmp_path` into `out`."""
    environment = {
        **os.environ,
        "PACK": f"{sys.executable} -m surgstream pack {tmp_path}/corpus.yaml {out} workers=2",
    }
    return subprocess.run(
        ["sh", "-c", command],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_no_space_left_is_one_sentence_and_nothing_half_written(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", 100, size=(640, 480))
    write_corpus(tmp_path, {"name": "d", "videos": "*.mp4"}, fps=25)
    out = tmp_path / "out"
    out.mkdir()
    mount = f"mount -t tmpfs -o size=300k none {out}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode == 0:
        limit, reason = (
            f"unshare -rm sh -c '{mount} && $PACK; status=$?; find {out} -type f; exit $status'",
            "No space left",
        )
    else:
        limit, reason = (
            f"ulimit -f 300; $PACK; status=$?; find {out} -type f; exit $status",
            "File too large",
        )
    done = run_limited(limit, tmp_path, out)
    assert done.returncode == 1, done.stderr
    assert (
        "writing d/d-000000.tar: " in done.stderr
        and reason in done.stderr
        and "Traceback" not in done.stderr
    )
    assert done.stdout.split() == [f"{out}/plan.json"]
