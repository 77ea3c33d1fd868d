#!/usr/bin/env bash
# Runs the steps of the images for real, without a builder of images: in a bare Debian, made in FOLDER. Then asks there
# for what NCCL opens by name when it looks for InfiniBand. Needs root, debootstrap and a quarter of an hour; packages
# come from WHEELHOUSE alone, which `make wheelhouse` fills with those for Debian's Python 3.11.
#
#   tests/launch/chroot.sh FOLDER WHEELHOUSE
set -euo pipefail
folder=$(realpath -m "$1")
wheelhouse=$(realpath "$2")
cd "$(dirname "$0")/../.."

debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip bookworm "$folder"

# What %files names, copied as Apptainer copies it
sed -n '/^%files/,/^%post/s/^    //p' launch/container.def | while read -r outside inside; do
    mkdir -p "$folder$(dirname "$inside")"
    cp -fLr "$outside" "$folder$inside"
done

mkdir "$folder/wheelhouse"
mount --bind -o ro "$wheelhouse" "$folder/wheelhouse"
mount -t proc proc "$folder/proc"
trap 'umount "$folder/wheelhouse" "$folder/proc"' EXIT

# Debian's own Python wants to be asked twice; that of the images does not
chroot "$folder" env PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheelhouse PIP_BREAK_SYSTEM_PACKAGES=1 \
    /opt/surgstream/launch/container_steps.sh
chroot "$folder" surgstream --version

chroot "$folder" python3 - <<'END'
import ctypes

# glibc's way to ask for one version of a symbol, as NCCL asks
dlvsym = ctypes.CDLL(None).dlvsym
dlvsym.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
dlvsym.restype = ctypes.c_void_p

verbs = ctypes.CDLL("libibverbs.so.1")
for symbol, version in (
    ("ibv_get_device_list", "IBVERBS_1.1"),
    ("ibv_reg_mr_iova2", "IBVERBS_1.8"),
    ("ibv_query_ece", "IBVERBS_1.10"),
    ("ibv_reg_dmabuf_mr", "IBVERBS_1.12"),
):
    assert dlvsym(verbs._handle, symbol.encode(), version.encode()), f"no {symbol} of {version}"
    print(f"libibverbs.so.1: {symbol} of {version}")

for name in ("libmlx5.so.1", "librdmacm.so.1", "libnuma.so.1"):
    ctypes.CDLL(name)
    print(f"{name}: loaded")
END
chroot "$folder" sh -c 'ldd /usr/lib/*/libibverbs/libmlx5-rdmav*.so'
