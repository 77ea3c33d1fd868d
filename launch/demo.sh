#!/usr/bin/env bash
# The whole job in small, on any machine: videos -> shards -> clips -> a tiny SurgVISTA on two processes, resumed once.
# Usage: [STEPS=1200] launch/demo.sh OUT [FOLDER_OF_VIDEOS]; `make demo` calls it with everything installed.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=$1
VIDEOS=${2:-}
STEPS=${STEPS:-1200}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

pack() { # files that are no videos are named in quarantine.jsonl
    surgstream pack "$CORPUS" "$@" fps=5 short_side=80
}

train() {
    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 -m surgstream pretrain \
        configs/pretrain/surgvista_tiny.yaml run_dir="$OUT/run" data.corpus="$OUT/shards" "$HELD_OUT" "$@"
}

mkdir -p "$OUT"
if [ -z "$VIDEOS" ]; then
    say "1. Making a small synthetic surgical corpus (your own videos instead: make demo VIDEOS=FOLDER)"
    [ -e "$OUT/videos" ] || surgstream synth "$OUT/videos"
    CORPUS=$OUT/videos/corpus.yaml
else
    say "1. Describing the videos in $VIDEOS"
    CORPUS=$OUT/corpus.yaml
    surgstream pack "$VIDEOS" "$OUT/shards" --hold-out 1 --print-corpus | tee "$CORPUS"
fi

say "2. Packing them into WebDataset shards, 5 frames per second, 80 pixels high"
pack "$OUT/shards"
if grep -q hold_out "$CORPUS"; then
    pack "$OUT/held_out" split=held_out
    surgstream leaks "$OUT/shards" --against "$OUT/held_out" # a copy would make the held-out loss mean nothing
    HELD_OUT=held_out.corpus=$OUT/held_out
else
    HELD_OUT=held_out=null
fi

say "3. Training a tiny SurgVISTA on 2 processes under ZeRO 1, to step $((STEPS / 2))"
train max_steps=$((STEPS / 2))
say "4. Resuming from the checkpoint, as after a crash or the end of a Slurm job, to step $STEPS"
train max_steps="$STEPS"

say "Done. Look at"
cat <<EOT
  picture     $(find "$OUT/run/pictures" -name '*.png' | sort | tail -n 1)
  metrics     $OUT/run/metrics.jsonl (or: tensorboard --logdir $OUT/run/tensorboard)
  checkpoint  $(find "$OUT/run/checkpoints" -mindepth 1 -maxdepth 1 -name 'step_*' | sort | tail -n 1)

$(surgstream status "$OUT/run")

The published recipe, on a node of 8 GPUs, with your own packed corpus and the weights of your image teacher:

  torchrun --standalone --nproc-per-node 8 -m surgstream pretrain configs/pretrain/surgvista_vitb.yaml \\
      run_dir=runs/surgvista data.corpus=s3://BUCKET/CORPUS held_out=null objective.teacher.weights=TEACHER.pth
EOT
