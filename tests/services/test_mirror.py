"""Checkpoints on a real gateway, whose writer is killed at any moment."""

from pathlib import Path

from surgstream.benchmarks.experiments.mirror_kills import kill_often
from tests.helpers.faults import SEED


def test_what_a_killed_upload_leaves_is_never_taken_for_a_checkpoint(
    bucket: str, tmp_path: Path
) -> None:
    """Nor is a checkpoint lost that was announced; `benchmarks/results` has a hundred kills."""
    print(f"SEED={SEED}")
    kills = []
    for kill in kill_often(f"s3://{bucket}/run", tmp_path, 30, SEED):
        kills.append(kill)
        assert kill.is_sound, kill
        # Where the machine is slow, the first ones come before anything is saved.
        if len(kills) >= 5 and kill.chosen > 0:
            break
    assert kills[-1].chosen > 0, kills
