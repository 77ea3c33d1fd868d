#!/usr/bin/env bash
# The whole job in small, on any machine: videos -> shards -> clips -> a tiny SurgVISTA on two processes, resumed once.
# Usage: launch/demo.sh OUT [FOLDER_OF_VIDEOS]; `make demo` calls it with everything installed.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-demo}
VIDEOS=${2:-}
HALF=${HALF:-150}
CONFIG=configs/pretrain/surgvista_tiny.yaml

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

if [ -z "$VIDEOS" ]; then
    say "1. Making a small synthetic surgical corpus (use your own with: make demo VIDEOS=FOLDER)"
    [ -e "$OUT/videos" ] || surgstream synth "$OUT/videos"
    corpus=$OUT/videos/corpus.yaml
    fps=1
else
    say "1. Describing the videos in $VIDEOS"
    corpus=$OUT/corpus.yaml
    mkdir -p "$OUT"
    python -m launch.demo_corpus "$VIDEOS" >"$corpus"
    cat "$corpus"
    fps=5
fi

say "2. Packing them into WebDataset shards at $fps frames per second"
surgstream pack "$corpus" "$OUT/shards" fps=$fps short_side=80
held_out=()
if grep -q hold_out "$corpus"; then
    surgstream pack "$corpus" "$OUT/held_out" fps=$fps short_side=80 split=held_out
    held_out=(held_out.corpus="$OUT/held_out")
else
    held_out=(held_out=null)
fi

train() {
    OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node 2 -m launch pretrain "$CONFIG" \
        run_dir="$OUT/run" data.corpus="$OUT/shards" "${held_out[@]}" "$@"
}

say "3. Training a tiny SurgVISTA on 2 processes under ZeRO 1, for the first $HALF steps"
train max_steps="$HALF"
say "4. Stopping here and resuming from the checkpoint, as after a crash or at the end of a Slurm job"
train max_steps=$((2 * HALF))

say "Done. Look at:"
picture=$(ls "$OUT"/run/pictures/*.png | tail -n 1)
cat <<EOT
  picture     $picture
  metrics     $OUT/run/metrics.jsonl (or: tensorboard --logdir $OUT/run/tensorboard)
  checkpoint  $(ls -d "$OUT"/run/checkpoints/step_* | tail -n 1)
  last line   $(tail -n 1 "$OUT/run/metrics.jsonl")

The published recipe on a node of 8 GPUs, from your own packed corpus and image-teacher weights, is one command:

  torchrun --standalone --nproc-per-node 8 -m launch pretrain configs/pretrain/surgvista_vitb.yaml \\
      run_dir=runs/surgvista data.corpus=s3://BUCKET/CORPUS objective.teacher.weights=TEACHER.pth
EOT
