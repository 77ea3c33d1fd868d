#!/usr/bin/env bash
# Measure one node with GPUs in one command. It needs the Python packages, no network and no installed surgstream.
# Usage: [NAME=value ...] benchmarks/gpu.sh OUT_DIR [PART ...]
#   parts: tests corpus decode loader step train scale; all of them by default
#   PYTHON=python3          the interpreter that has the packages
#   BUDGET_SECONDS=1500     for all parts together; what one leaves over the next ones have
#   REPEATS=5               interleaved repeats of every case
#   SURGSTREAM_CORPUS=DIR   a packed corpus to read, in place of one that part `corpus` makes
#   VIDEO_SECONDS=20        mean length of the 13 videos that it makes
#   RECIPE="FILE key=value" what is trained; by default SurgVISTA's ViT-B on GPUs, the tiny one where there are none
# A part that fails or takes too long ends alone. OUT_DIR/summary.md says how each ended and holds the tables; beside it
# are the JSON of each part and log.txt.
set -uo pipefail

PARTS=(tests corpus decode loader step train scale)
declare -A WEIGHTS=([tests]=20 [corpus]=25 [decode]=15 [loader]=20 [step]=25 [train]=20 [scale]=10)

refuse() {
    echo "gpu.sh: $1" >&2
    exit 2
}

[[ $# -gt 0 && $1 != -* ]] || refuse "expected OUT_DIR [PART ...], got '$*'; its first lines explain it"
mkdir -p "$1" || exit 2
OUT=$(realpath "$1")
shift
for part in "$@"; do
    [[ -n ${WEIGHTS[$part]:-} ]] || refuse "expected parts out of ${PARTS[*]}, got $part"
done
[[ $# -eq 0 ]] || PARTS=("$@")
BUDGET_SECONDS=${BUDGET_SECONDS:-1500}
[[ $BUDGET_SECONDS =~ ^[1-9][0-9]*$ ]] || refuse "BUDGET_SECONDS: expected whole seconds, got $BUDGET_SECONDS"
asked=${PYTHON:-python3}
PYTHON=$(command -v "$asked") || refuse "PYTHON: expected an interpreter, found no $asked"
[[ $PYTHON == /* ]] || PYTHON=$PWD/$PYTHON
if [[ -n ${SURGSTREAM_CORPUS:-} ]]; then
    [[ -f $SURGSTREAM_CORPUS/manifest.json ]] ||
        refuse "SURGSTREAM_CORPUS: expected a packed corpus, got $SURGSTREAM_CORPUS without a manifest.json"
    SURGSTREAM_CORPUS=$(realpath "$SURGSTREAM_CORPUS")
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

TMPDIR=$(mktemp -d) # what a part that is stopped leaves behind goes with it
RUNNING=
trap '[[ -z $RUNNING ]] || kill "$RUNNING"; rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM
export TMPDIR PYTHONUNBUFFERED=1 PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH}
export SURGSTREAM_COMMIT=${SURGSTREAM_COMMIT:-$(git describe --always --dirty 2>/dev/null || echo unknown)}
SUMMARY=$OUT/summary.md LOG=$OUT/log.txt

read -r NUM_GPUS HARDWARE < <("$PYTHON" -c '
import torch
count = torch.cuda.device_count()
print(count, torch.cuda.get_device_name(0).lower().replace("nvidia ", "").split()[0] if count else "cpu")' 2>>"$LOG")
NUM_GPUS=${NUM_GPUS:-0} HARDWARE=${HARDWARE:-cpu}
ONE_GPU=()
if [[ -n ${RECIPE:-} ]]; then
    read -ra RECIPE <<<"$RECIPE"
elif [[ $NUM_GPUS -gt 0 ]]; then
    RECIPE=(configs/pretrain/surgvista_vitb.yaml objective.teacher.weights=null objective.teacher.allow_random=true)
    ONE_GPU=(global_batch_size=256) # the share of one of eight GPUs in the published step
else
    RECIPE=(configs/pretrain/surgvista_tiny.yaml)
fi
RECIPE+=(held_out=null data.fps=null "run_dir=$TMPDIR/run") # speed, at whatever rate the material has
[[ -z ${SURGSTREAM_CORPUS:-} ]] || RECIPE+=("data.corpus=$SURGSTREAM_CORPUS")

run() { # SECONDS COMMAND...: standard output to the file of the part, everything to the log
    printf '\n=== %s: %s\n' "$part" "${*:2}" >>"$LOG"
    timeout --kill-after=15 "$1" "${@:2}" >"$TMPDIR/said" 2>>"$LOG" &
    RUNNING=$!
    wait "$RUNNING"
    local status=$?
    RUNNING=
    cat "$TMPDIR/said" >>"$LOG"
    return "$status"
}

bench() { # SECONDS THEME ARGUMENTS...: on one GPU, the first of those visible
    local first=${CUDA_VISIBLE_DEVICES:-0}
    CUDA_VISIBLE_DEVICES=${first%%,*} run "$1" "$PYTHON" -m surgstream bench "${@:2}" \
        --repeats "${REPEATS:-5}" --save "$OUT" --hardware "$HARDWARE"
}

tests() {
    if [[ $NUM_GPUS -eq 0 ]]; then
        SKIPPED="no GPU"
    else # versions of packages other than the pinned ones may warn
        run "$1" "$PYTHON" -m pytest -m gpu -W default --continue-on-collection-errors -p no:cacheprovider tests
    fi
}

corpus() {
    if [[ -n ${SURGSTREAM_CORPUS:-} ]]; then
        SKIPPED="given: $SURGSTREAM_CORPUS"
        return
    fi
    # shellcheck disable=SC2016 # it is the inner shell that expands
    run "$1" bash -ec '"$1" -m surgstream synth "$TMPDIR/videos" --seconds "$2"
        "$1" -m surgstream pack "$TMPDIR/videos/corpus.yaml" "$TMPDIR/shards" fps=5' \
        corpus "$PYTHON" "${VIDEO_SECONDS:-20}" || return
    export SURGSTREAM_CORPUS=$TMPDIR/shards
    RECIPE+=("data.corpus=$SURGSTREAM_CORPUS")
}

train_by() { # SECONDS THEME
    bench "$@" --recipe "${RECIPE[@]}" "${ONE_GPU[@]}"
}

decode() { bench "$1" decode; }
loader() { train_by "$1" loader; }
step() { train_by "$1" step; }
train() { train_by "$1" train; }

scale() { # `surgstream loader` in 1, 2, 4, 8 processes, a GPU each
    local processes=(1) number=2
    while [[ $number -le ${NUM_GPUS/#0/2} ]]; do
        processes+=("$number")
        number=$((2 * number))
    done
    run "$1" "$PYTHON" -m surgstream bench scale --ranks --processes "${processes[@]}" --repeats 1 --save "$OUT" \
        --hardware "$HARDWARE" --recipe "${RECIPE[@]}"
}

outcome() { # of a part, from its exit status
    case $1 in
    0) echo "done" ;;
    124 | 137) echo "stopped at its budget of $2 s" ;;
    *) echo "failed, exit status $1: $(grep -v '^\s*$' "$LOG" | tail -n 1 | cut -c 1-300)" ;;
    esac
}

{
    echo "# gpu.sh on $HARDWARE"
    echo
    echo "$(date -u +%FT%TZ), commit $SURGSTREAM_COMMIT, $NUM_GPUS GPUs, $(nproc) cores, ${RECIPE[*]}"
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv 2>/dev/null | sed 's/^/    /'
    [[ $NUM_GPUS -gt 0 ]] || printf '\nNo GPU was found: what follows are numbers of a CPU.\n'
} >"$SUMMARY"

left=0
for part in "${PARTS[@]}"; do
    left=$((left + WEIGHTS[$part]))
done
end=$((SECONDS + BUDGET_SECONDS))
statuses=()
for part in "${PARTS[@]}"; do
    budget=$(((end - SECONDS) * WEIGHTS[$part] / left))
    [[ $budget -gt 0 ]] || budget=1
    left=$((left - WEIGHTS[$part]))
    began=$SECONDS SKIPPED=
    : >"$TMPDIR/said"
    "$part" "$budget"
    status=$?
    said="${SKIPPED:+skipped, }${SKIPPED:-$(outcome "$status" "$budget")}"
    statuses+=("| $part | $((SECONDS - began)) of $budget s | $said |")
    echo "$part: $said" >&2
    printf '\n## %s: %s\n\n' "$part" "$said" >>"$SUMMARY"
    tail -n 60 "$TMPDIR/said" >>"$SUMMARY"
done
printf '%s\n' "" "## How the parts ended" "" "| part | time | how it ended |" "|---|--:|---|" "${statuses[@]}" >>"$SUMMARY"
cat "$SUMMARY"
