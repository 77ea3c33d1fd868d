#!/usr/bin/env bash
# Measure a node with GPUs in one command, without a network and without an installed surgstream:
#   benchmarks/gpu.sh OUT [NAME ...]     `benchmarks/gpu.sh --help` names the groups and parts
# PYTHON is the interpreter that has the packages, python3 by default.
set -euo pipefail
root=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")
export PYTHONPATH=$root/src${PYTHONPATH:+:$PYTHONPATH}
exec "${PYTHON:-python3}" -m surgstream.benchmarks.gpu "$@"
