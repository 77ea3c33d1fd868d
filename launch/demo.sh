#!/usr/bin/env bash
# The whole job in small, on any machine: videos -> shards -> clips -> a tiny SurgVISTA on two processes, resumed once,
# and judged by what it knows of operations that it has never seen.
# `surgstream demo` calls it: PYTHON=... STEPS=... demo.sh OUT [FOLDER_OF_VIDEOS].
set -euo pipefail
OUT=$1
VIDEOS=${2:-}
TESTS=$OUT/tests

surgstream() { # by the interpreter that the demo was started by, whatever is on the path
    "$PYTHON" -m surgstream "$@"
}

on_two_processes() { # COMMAND ...
    OMP_NUM_THREADS=1 "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node 2 -m surgstream "$@"
}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

pack() { # files that are no videos are named in quarantine.jsonl
    surgstream pack "$CORPUS" "$@" fps=5 short_side=80
}

probe() { # NAME WEIGHTS [key=value ...]: attentive heads learn to read phases from a frozen encoder
    local name=$1 weights=$2
    shift 2
    on_two_processes probe probe_tiny task=synth_phases \
        labels="$TESTS/videos" data.corpus="$TESTS/shards" weights="$weights" run_dir="$TESTS/$name" clips_per_epoch=1200 "$@"
}

judge() { # other operations than those of the corpus, since their seed is another
    say "5. Making and packing 40 operations to judge by"
    [ -e "$TESTS/videos" ] || surgstream synth "$TESTS/videos" --datasets larkspur --times 8 --seconds 10 --seed 1 --no-frame-numbers
    surgstream pack "$TESTS/videos/evaluate.yaml" "$TESTS/shards" short_side=80

    say "6. Probing phases: the pretrained encoder, the same one with random weights, and raw pixels"
    probe pretrained "$OUT/run"
    probe random "random:$OUT/run"
    probe pixels pixels encoder.num_frames=4 encoder.image_size=64

    say "7. Scoring what they predict for 8 operations that nothing was trained on or chosen by"
    local models=()
    for name in pretrained random pixels; do
        models+=("$name=$TESTS/$name/predictions/test.npz")
    done
    surgstream evaluate synth_phases "${models[@]}" --labels "$TESTS/videos" --compare --out "$OUT/evaluation"
}

train() {
    on_two_processes pretrain surgvista_tiny run_dir="$OUT/run" data.corpus="$OUT/shards" "$HELD_OUT" "$@"
}

mkdir -p "$OUT"
if [ -z "$VIDEOS" ]; then
    say "1. Making a small synthetic surgical corpus (your own videos instead: surgstream demo OUT FOLDER)"
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

[ -n "$VIDEOS" ] || judge

say "Done. Look at"
cat <<EOT
  picture     $(find "$OUT/run/pictures" -name '*.png' | sort | tail -n 1)
  metrics     $OUT/run/metrics.jsonl (or: tensorboard --logdir $OUT/run/tensorboard)
$([ -n "$VIDEOS" ] || printf '  judged      %s\n' "$OUT/evaluation/report.html")
  checkpoint  $(find "$OUT/run/checkpoints" -mindepth 1 -maxdepth 1 -name 'step_*' | sort | tail -n 1)

$(surgstream status "$OUT/run")

The published recipe, on a node of 8 GPUs, with your own packed corpus and the weights of your image teacher:

  torchrun --standalone --nproc-per-node 8 -m surgstream pretrain surgvista_vitb \\
      run_dir=runs/surgvista data.corpus=s3://BUCKET/CORPUS held_out=null objective.teacher.weights=TEACHER.pth
EOT
