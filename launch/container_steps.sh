#!/bin/sh
# Installs surgstream, whose folders lie beside this one, in Debian with Python and pip: what container.def and the
# Dockerfile do, step by step.
#
#   launch/container_steps.sh [13 | 12]     # the major version of CUDA
set -eu
cd "$(dirname "$0")/.."
cuda=${1:-13}
case $cuda in
    12 | 13) ;;
    *) echo "container_steps.sh: expected 12 or 13, the major version of CUDA, got $cuda" >&2 && exit 2 ;;
esac

# NCCL opens libibverbs and the providers of its adapters when it starts, and takes TCP, silently, where it finds none;
# torch.compile calls a C compiler.
apt-get update
apt-get install --yes --no-install-recommends gcc g++ ibverbs-providers libibverbs1 libnuma1 librdmacm1
rm -rf /var/lib/apt/lists/*

# CUDA comes with torch and DALI, the driver from the host. PyPI's torch is of CUDA 13, that of CUDA 12 is on
# PyTorch's own index; pip prefers it there, since 2.13.0+cu126 is a later version than 2.13.0.
if [ "$cuda" = 12 ]; then
    export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cu126
fi
pip install --no-cache-dir -c constraints.txt ".[pack,cuda$cuda]"

# The environment that enroot, and so Pyxis, takes from an image. Its hook mounts these parts of the driver: video is
# NVDEC, compute and utility are CUDA and nvidia-smi. PYTHONNOUSERSITE keeps a home's packages from coming first.
cat >/etc/environment <<END
PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
NVIDIA_VISIBLE_DEVICES=all
NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
PYTHONNOUSERSITE=1
END
