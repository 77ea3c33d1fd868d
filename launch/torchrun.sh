#!/usr/bin/env bash
# Trains a recipe on all GPUs of this node, or on several nodes when started on each of them:
#
#   launch/torchrun.sh CONFIG [key=value ...]
#   launch/torchrun.sh --nnodes 4 --rdzv-endpoint node1:29500 CONFIG [key=value ...]
set -euo pipefail
exec python3 -m surgstream launch torchrun "$@"
