#!/usr/bin/env bash
# Submits a few short jobs, one after another, and waits for them; surgstream.benchmarks.experiments.start_job then
# reads how they began.
# Usage: start_jobs.sh CORPUS SCRATCH, where a Slurm of two nodes can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=$1
scratch=$2
for launcher in srun torchrun; do
    for number in 1 2 3; do
        surgstream launch slurm configs/launch/cpu_test.yaml configs/pretrain/surgvista_tiny.yaml held_out=null \
            data.corpus="$corpus" run_dir="$scratch/$launcher-$number" site.launcher=$launcher \
            max_steps=4 metrics.every_steps=1 metrics.pictures_every_steps=0
        while [ -n "$(squeue --noheader)" ]; do sleep 1; done
    done
done
