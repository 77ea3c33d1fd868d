"""What users get wrong: one clear sentence each, a failing exit status, nothing half-written, no traceback."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from surgstream.shards.format.index import ROW
from surgstream.trainer.models.images.timm_vit import timm
from surgstream.trainer.runs.files import FAILED, read_mark
from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import audit, begin, close, fail, losses, metrics, train, without_rank
from tests.helpers.ranks import kill, wait_for


@pytest.fixture
def copy(corpora: Corpora, tmp_path: Path) -> Path:
    """The packed corpus, to be damaged."""
    return Path(shutil.copytree(corpora.train, tmp_path / "corpus"))


def refused(corpora: Corpora, tmp_path: Path, *overrides: str, world_size: int = 1) -> str:
    message = fail(corpora, tmp_path / "run", world_size, *overrides)
    assert not list(tmp_path.glob("run/checkpoints/*")), (
        "a run that never trained has no checkpoint"
    )
    return message.strip().splitlines()[-1]


def test_an_unknown_key(corpora: Corpora, tmp_path: Path) -> None:
    message = refused(corpora, tmp_path, "optim.base_rl=1")
    assert message.strip() == "optim.base_rl: unknown key; did you mean 'base_lr'?"


def test_a_corpus_that_is_not_there_is_said_once_however_many_ranks_miss_it(
    corpora: Corpora, tmp_path: Path
) -> None:
    ranks = begin(corpora, tmp_path / "run", 2, f"data.corpus={tmp_path / 'nowhere'}")
    wait_for(lambda: not all(rank.is_alive() for rank in ranks))
    assert kill(ranks) == [1, -9], "as launchers do, when a rank has ended"
    message, silence = ((tmp_path / f"run.log.rank{rank}").read_text() for rank in (0, 1))
    assert "nowhere" in message and "manifest.json" in message and "surgstream pack" in message
    assert "Traceback" not in message and "nowhere" not in silence


def test_a_run_directory_that_cannot_be_made(corpora: Corpora, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message = refused(corpora, tmp_path, f"run_dir={tmp_path / 'file' / 'run'}")
    assert (
        message
        == f"surgstream pretrain: {tmp_path / 'file' / 'run'}: writing .owner/00000001: Not a directory"
    )


def test_a_shard_that_is_missing(corpora: Corpora, tmp_path: Path, copy: Path) -> None:
    next(copy.glob("larkspur/*.tar")).unlink()
    assert "larkspur/larkspur-000000.tar: expected" in refused(
        corpora, tmp_path, f"data.corpus={copy}"
    )


def test_an_index_that_was_cut_short(corpora: Corpora, tmp_path: Path, copy: Path) -> None:
    index = next(copy.glob("larkspur/*.idx"))
    index.write_bytes(index.read_bytes()[:-5])
    message = refused(corpora, tmp_path, f"data.corpus={copy}")
    size = index.stat().st_size
    assert f"larkspur-000000.idx: expected {size + 5} bytes by the manifest, got {size}" in message


def test_more_damaged_clips_than_allowed(corpora: Corpora, tmp_path: Path, copy: Path) -> None:
    flip_bits(copy, "larkspur/larkspur-000000", every=1)
    message = refused(corpora, tmp_path, f"data.corpus={copy}")
    assert "larkspur/larkspur-000000.tar" in message and "expected CRC-32" in message
    assert "run `surgstream verify`" in message


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max_bad_clips=1", "2 clips are damaged"),
        ("max_bad_clips_in_a_row=0", "1 clips in a row are damaged"),
    ],
)
def test_the_recipe_says_how_many_clips_may_be_damaged(
    limit: str, expected: str, corpora: Corpora, tmp_path: Path, copy: Path
) -> None:
    flip_bits(copy, "larkspur/larkspur-000000", every=12)
    assert expected in refused(corpora, tmp_path, f"data.corpus={copy}", f"data.{limit}")


def test_a_few_damaged_frames_are_replaced_alike_on_any_ranks_and_listed(
    corpora: Corpora, tmp_path: Path, copy: Path
) -> None:
    flip_bits(copy, "larkspur/larkspur-000000", every=12)
    runs = [tmp_path / "alone", tmp_path / "together"]
    close(
        *(
            losses(train(corpora, run, n, f"data.corpus={copy}", "max_steps=4"))
            for n, run in enumerate(runs, 1)
        )
    )
    assert without_rank(audit(runs[0])) == without_rank(audit(runs[1]))

    quarantined = [
        json.loads(line) for line in (runs[1] / "quarantine.jsonl").read_text().splitlines()
    ]
    used = {entry["g"]: entry for entry in audit(runs[1]) if "planned" in entry}
    assert used, "damage was met"
    for bad in quarantined:
        if bad["g"] in used:  # reading is ahead of training
            entry = used.pop(bad["g"])
            assert [bad["video"], bad["anchor_frame"]] == entry["planned"]
            assert (bad["used_video"], bad["used_anchor_frame"]) == (
                entry["video"],
                entry["anchor_frame"],
            )
            assert (
                bad["cause"]["shard"] == "larkspur/larkspur-000000.tar"
                and "CRC-32" in bad["cause"]["reason"]
            )
    assert not used, "every replaced clip is listed"
    assert metrics(runs[1])[-1]["data/bad_clips"] == len(quarantined)


def test_jpegs_that_cannot_be_decoded_are_replaced_alike_on_any_ranks_at_any_resume_and_listed(
    corpora: Corpora, tmp_path: Path, copy: Path
) -> None:
    spoil_jpegs(copy, "larkspur/larkspur-000000", every=12)
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(corpora, alone, 1, f"data.corpus={copy}", "max_steps=4")
    train(corpora, together, 2, f"data.corpus={copy}", "max_steps=2")
    train(corpora, together, 1, f"data.corpus={copy}", "max_steps=4")
    close(losses(metrics(alone)), losses(metrics(together)))
    assert without_rank(audit(alone)) == without_rank(audit(together))

    lines = (together / "quarantine.jsonl").read_text().splitlines()
    causes = {bad["g"]: bad["cause"] for bad in map(json.loads, lines)}
    replaced = [entry["g"] for entry in audit(together) if "planned" in entry]
    assert replaced and set(replaced) <= causes.keys()
    for cause in causes.values():
        assert cause["shard"] == "larkspur/larkspur-000000.tar"
        assert cause["reason"].startswith("expected a JPEG that can be decoded, DALI says: ")


def spoil_jpegs(corpus: Path, shard: str, every: int) -> None:
    """Have the data of every so manieth picture of a shard claim nine colours, with a checksum that is true."""
    path = corpus / f"{shard}.tar"
    tar = bytearray(path.read_bytes())
    index = np.frombuffer(path.with_suffix(".idx").read_bytes(), ROW).copy()
    for row in index[::every]:
        start = int(row["offset"])
        tar[tar.index(b"\xff\xda", start) + 4] = 9
        row["crc32"] = zlib.crc32(tar[start : start + int(row["size"])])
    path.write_bytes(tar)
    path.with_suffix(".idx").write_bytes(index.tobytes())


def flip_bits(corpus: Path, shard: str, every: int) -> None:
    """Damage every so manieth frame of a shard, in the middle of its JPEG."""
    path = corpus / f"{shard}.tar"
    data = bytearray(path.read_bytes())
    for row in np.frombuffer(path.with_suffix(".idx").read_bytes(), ROW)[::every]:
        data[int(row["offset"]) + int(row["size"]) // 2] ^= 1
    path.write_bytes(data)


def test_a_teacher_of_another_architecture(corpora: Corpora, tmp_path: Path) -> None:
    torch.save(
        timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict(),
        tmp_path / "teacher.pth",
    )
    message = refused(corpora, tmp_path, f"objective.teacher.weights={tmp_path / 'teacher.pth'}")
    assert "teacher.weights: " in message and "tensors of test_vit, got others" in message
    assert "of another shape" in message


def test_a_teacher_without_weights(corpora: Corpora, tmp_path: Path) -> None:
    message = refused(corpora, tmp_path, "objective.teacher.allow_random=false")
    assert "set teacher.weights" in message


def test_a_batch_that_cannot_be_dealt(corpora: Corpora, tmp_path: Path) -> None:
    message = refused(corpora, tmp_path, "global_batch_size=24", world_size=2)
    assert (
        "global_batch_size: expected a multiple of micro_batch_size x world_size = 8 x 2 = 16, got 24"
        in message
    )


def test_zero_stage_0(corpora: Corpora, tmp_path: Path) -> None:
    assert "zero_stage: 0 is refused" in refused(corpora, tmp_path, "parallel.zero_stage=0")


def test_a_loss_that_is_not_finite_stops_the_run_with_all_that_is_needed(
    corpora: Corpora, tmp_path: Path
) -> None:
    exploding = (
        "optim.base_lr=1000",
        "optim.weight_decay=1000",
        "optim.warmup_epochs=0",
        "optim.clip_grad_norm=0",
    )
    message = fail(corpora, tmp_path / "run", 2, *exploding, "metrics.every_steps=5")
    last = message.strip().splitlines()[-1]
    assert "expected finite losses and gradient norm, got loss/total" in last
    assert "loss/reconstruction" in last and "optim/grad_norm" in last and "(g " in last
    mark = read_mark(tmp_path / "run", FAILED)
    assert mark and last.endswith(mark)
    (report,) = (tmp_path / "run").glob("non_finite_step_*.json")
    found = json.loads(report.read_text())
    first = found["step"] * 16
    assert f"step {found['step']}:" in last
    assert [int(g) for g in found["clips"]] == list(range(first, first + 16)), (
        "both ranks' clips, by draw"
    )
    assert all("/" in name and "@" in name for name in found["clips"].values())


def test_weights_for_commercial_use_that_do_not_tell_what_they_descend_from(
    corpora: Corpora, tmp_path: Path
) -> None:
    """The synthetic corpus itself may be used for anything, as the second run shows."""
    (tmp_path / "theirs.pth").write_bytes(b"not read before the licences are")
    theirs = f"warm_start={{weights: {tmp_path / 'theirs.pth'}, layout: videomae, parts: encoder}}"
    message = refused(corpora, tmp_path, "commercial=true", theirs)
    assert f"the weights {tmp_path / 'theirs.pth'}, whose licence is not told" in message
    assert "larkspur" not in message and "commercial.stated" in message

    train(corpora, tmp_path / "other", 1, "commercial=true", "max_steps=1")
