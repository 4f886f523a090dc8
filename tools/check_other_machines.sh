#!/usr/bin/env bash
# Run the package where ONNX Runtime cannot be installed, on Debian's own Python and NumPy (which has no tuned BLAS):
# big-endian (s390x), 32 bits (i386, armhf), other processors (arm64, ppc64el), all emulated, and amd64 as it is. The
# answers are judged here, each by the bound that numpyvgg.parity derives; see tools/other_machines.py.
# Needs root, Debian, debootstrap and qemu-user-static.
#
#     tools/check_other_machines.sh FOLDER [MACHINE...]      # 0.3 GB a machine go there, and are used again next time
#     FULL_SIZE=net.onnx tools/check_other_machines.sh FOLDER amd64 arm64      # a network of full size too
set -euo pipefail
work=$(realpath -m "$1")
shift
project=$(realpath "$(dirname "$0")/..")
packages=python3,python3-numpy,python3-pil,python3-platformdirs,python3-tqdm
mkdir -p "$work"

PYTHONPATH="$project:$project/tools" python3 "$project/tools/other_machines.py" prepare "$work/networks" \
    ${FULL_SIZE:+--full-size "$FULL_SIZE"}

[ $# -gt 0 ] || set -- amd64 arm64 armhf i386 ppc64el s390x
for machine; do
    root=$work/$machine
    if [ ! -e "$root/usr/bin/python3" ]; then
        debootstrap --foreign --variant=minbase --arch="$machine" --include=$packages bookworm "$root" \
            > "$work/$machine.log"
        # The second stage would have to run on the machine itself; unpacking is enough to run Python.
        for package in "$root"/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$root"; done
    fi
    libraries=$(dirname "$(ls "$root"/usr/lib/*/libm.so.6)")
    # The loader is started by name: in the system that it belongs to, it would be found at an absolute path.
    run=("$libraries"/ld*.so.? --library-path "$libraries/blas:$libraries/lapack:$libraries:${libraries/\/usr/}")
    case $machine in
        amd64) ;;
        arm64) run=(qemu-aarch64-static "${run[@]}") ;;
        armhf) run=(qemu-arm-static "${run[@]}") ;;
        ppc64el) run=(qemu-ppc64le-static "${run[@]}") ;;
        *) run=("qemu-$machine-static" "${run[@]}") ;;
    esac
    PYTHONPATH=$project "${run[@]}" "$root/usr/bin/python3" "$project/tools/other_machines.py" \
        answer "$work/networks" "$machine"
done

PYTHONPATH="$project" python3 "$project/tools/other_machines.py" judge "$work/networks" "$@"
