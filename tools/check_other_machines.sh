#!/usr/bin/env bash
# Run the package where ONNX Runtime cannot be installed: s390x (big-endian, emulated) and i386 (32 bits), on Debian's
# own Python and NumPy, and compare with what ONNX Runtime answers here. Needs root, Debian, debootstrap and qemu-user.
#
#     tools/check_other_machines.sh FOLDER      # about 1 GB goes there, and is used again the next time
set -euo pipefail
work=$(realpath -m "$1")
project=$(realpath "$(dirname "$0")/..")
packages=python3,python3-numpy,python3-pil,python3-platformdirs,python3-tqdm,python3-threadpoolctl
mkdir -p "$work/networks"

# ONNX Runtime's answers to small networks, in three of the layouts that occur.
PYTHONPATH="$project:$project/tools" python3 - "$work/networks" <<'PYTHON'
import sys
from pathlib import Path
import numpy as np, onnxruntime
from make_standin import Layout, write_standin
folder = Path(sys.argv[1])
x = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
np.save(folder / "x.npy", x)
modern = {"opset": 17, "initializers_as_inputs": False}
for name, layout in {
    "float_data": Layout(),
    "raw_unaligned": Layout(storage="raw", alignment=1),
    "external": Layout(storage="external", **modern),
}.items():
    path = write_standin(folder / f"{name}.onnx", layout)
    np.save(folder / f"{name}.npy", onnxruntime.InferenceSession(str(path)).run(None, {"input": x})[0])
PYTHON

cat > "$work/networks/check.py" <<'PYTHON'
import platform, struct, sys
from pathlib import Path
import numpy as np
import numpyvgg
print(f"{platform.machine()}, {sys.byteorder}-endian, {8 * struct.calcsize('P')} bits, NumPy {np.__version__}")
folder = Path(__file__).parent
x = np.load(folder / "x.npy")
for network in sorted(folder.glob("*.onnx")):
    expected = np.load(network.with_suffix(".npy"))
    session = numpyvgg.InferenceSession(str(network))
    for name, answer in {
        "VGG16": numpyvgg.VGG16.from_onnx(network)(x),
        "InferenceSession": session.run(None, {"input": x})[0],
    }.items():
        difference = abs(answer - expected).max()
        print(f"  {network.stem}, {name}: largest difference from ONNX Runtime {difference:.1e}")
        assert difference <= 5e-6
PYTHON

for machine in s390x i386; do
    root=$work/$machine
    if [ ! -e "$root/usr/bin/python3" ]; then
        debootstrap --foreign --variant=minbase --arch=$machine --include=$packages bookworm "$root" > "$work/$machine.log"
        # The second stage would have to run on the machine itself; unpacking is enough to run Python.
        for package in "$root"/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$root"; done
    fi
    libraries=$root/usr/lib/$machine-linux-gnu
    interpreter=qemu-$machine
    path=$libraries/blas:$libraries/lapack:$libraries:$root/lib/$machine-linux-gnu
    "$interpreter" -L "$root" -E LD_LIBRARY_PATH="$path" -E PYTHONPATH="$project" \
        "$root/usr/bin/python3" "$work/networks/check.py"
done
