#!/usr/bin/env bash
# Tries one way of installing from a clone of HEAD, in an empty environment, and the demo in short from outside of the
# repository, and says how long each step took. Not a test of CI: it takes minutes and gigabytes.
#
#   tests/launch/installs.sh base|pip|uv|wheelhouse FOLDER
set -euo pipefail
way=$1
folder=$(realpath -m "$2")
root=$(realpath "$(dirname "$0")/../..")
bin=$folder/venv/bin

step() { # NAME COMMAND ...: tell how many seconds a step took
    local name=$1 began=$SECONDS
    shift
    "$@" >"$folder/$name.log" 2>&1 || { tail -n 20 "$folder/$name.log"; exit 1; }
    printf '%-10s %4d s  %s\n' "$name" $((SECONDS - began)) "$*"
}

mkdir -p "$folder"
git clone --quiet "$root" "$folder/surgstream"
wheel() { "$bin/pip" wheel --quiet --no-deps --wheel-dir "$folder/dist" "$folder/surgstream"; }

step venv python3 -m venv "$folder/venv"
case $way in
base)
    step wheel wheel
    step install "$bin/pip" install --quiet -c "$folder/surgstream/constraints.txt" "$folder"/dist/*.whl
    ;;
pip)
    step wheel wheel
    step install "$bin/pip" install --quiet -c "$folder/surgstream/constraints.txt" \
        "surgstream[pack,cuda13] @ file://$(echo "$folder"/dist/*.whl)"
    ;;
uv)
    step wheel wheel
    step uv "$bin/pip" install --quiet uv
    step install "$bin/uv" pip install --quiet --python "$bin/python" \
        -c "$folder/surgstream/constraints.txt" "surgstream[pack,cuda13] @ file://$(echo "$folder"/dist/*.whl)"
    ;;
wheelhouse)
    step wheelhouse make --directory "$folder/surgstream" --silent wheelhouse
    step install "$bin/pip" install --quiet --no-index --find-links "$folder/surgstream/wheelhouse" \
        'surgstream[pack,cuda13]'
    ;;
esac

rm -rf "$folder/surgstream"
cd "$folder"
step version "$bin/surgstream" --version
if [ "$way" = base ]; then
    step describe "$bin/surgstream" describe surgvista_vitb run_dir=runs/a data.corpus=here
    step launch "$bin/surgstream" launch slurm cpu_test surgvista_tiny run_dir=runs/a data.corpus=here --dry-run
elif [ "$way" = pip ]; then
    step demo "$bin/surgstream" demo demo --steps 6
else
    step synth "$bin/surgstream" synth videos --seconds 4 --datasets larkspur
    step demo "$bin/surgstream" demo demo videos --steps 6 # without its last part, which is the longest
fi
du -sh "$folder/venv" | cut -f1
