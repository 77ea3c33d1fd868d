"""The trainer on a real S3 server that fails at random, killed and resumed on another number of ranks each time."""

from pathlib import Path

import numpy as np

from surgstream.launch.__main__ import main
from surgstream.trainer.engine.checkpoint_files import read_progress
from tests.end_to_end.conftest import PACKING, Corpora
from tests.end_to_end.runs import audit, interrupt, newest, planned, reported, train, without_rank
from tests.helpers.faults import SEED, RandomFaults, fault_proxy
from tests.services.rgw import Gateway

RETRY = "{timeout_seconds: 60, first_delay_seconds: 0.02, max_delay_seconds: 0.2}"


def test_killed_three_times_under_faults_a_run_consumes_the_plan(
    corpora: Corpora, bucket: str, gateway: Gateway, tmp_path: Path
) -> None:
    run_dir, uri = tmp_path / "run", f"s3://{bucket}/train"
    assert main(["pack", str(corpora.videos / "corpus.yaml"), uri, *PACKING]) == 0
    with fault_proxy(gateway.endpoint, faults := RandomFaults()) as proxy:
        settings = (
            f"data.corpus={uri}",
            f"data.s3={{endpoint_url: '{proxy.endpoint}', read_timeout_seconds: 1.0, retry: {RETRY}}}",
            "global_batch_size=12",
            "micro_batch_size=2",
            "checkpoint.every_steps=2",
        )
        step = 0
        for world_size in np.random.default_rng(SEED).permutation([1, 2, 3]).tolist():
            print(f"from step {step} on: {world_size} ranks")
            interrupt(corpora, run_dir, world_size, reported(run_dir, step + 4), *settings)
            checkpoint = newest(run_dir)
            assert checkpoint
            step = read_progress(checkpoint).step
        train(corpora, run_dir, 2, *settings, f"max_steps={step + 4}")
    assert faults.num_met > 5
    count = (step + 4) * 12
    assert without_rank(audit(run_dir)) == without_rank(
        planned(corpora, run_dir, count, 1, *settings[2:4])
    )
