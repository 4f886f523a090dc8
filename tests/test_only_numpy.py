"""Where NumPy is all there is, networks are read, run and judged all the same, and faces found in arrays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_standin import write_standin

PROGRAM = """
import sys
for name in ("PIL", "threadpoolctl", "platformdirs", "tqdm"):
    sys.modules[name] = None  # as if it were not installed
import numpy as np
import numpyvgg
from numpyvgg import cli, parity
from numpyvgg.files.cache import cache_folder
from numpyvgg.photo.faces.search import align_faces

path, folder = sys.argv[1:]
x = np.load(f"{folder}/x.npy")
session = numpyvgg.InferenceSession(path)
(probabilities,) = session.run(None, {session.get_inputs()[0].name: x})
np.save(f"{folder}/vgg.npy", numpyvgg.VGG16.from_onnx(path, threads=2)(x))
np.save(f"{folder}/session.npy", probabilities)
names = [name for node in numpyvgg.read_onnx(path).nodes for name in node.outputs]
tensors = dict(zip(names, session.run(names, {session.get_inputs()[0].name: x})))
assert parity.compare(path, x, lambda image: tensors).explained
assert len(numpyvgg.predict(np.zeros((90, 80, 3), np.uint8)).answers) == 2
assert [face.found for face in align_faces(np.zeros((90, 80, 3), np.uint8))] == [False]
with open(f"{folder}/photograph.ppm", "wb") as file:
    file.write(b"P6 80 90 255 " + bytes(3 * 80 * 90))
assert cli.main(["predict", file.name, "--faces", "--model", "small"]) == 0
assert cli.main(["predict", f"{folder}/nowhere.ppm", "--model", "small"]) == 2
assert cli.main(["align", file.name, "-o", folder]) == 2  # a PNG needs Pillow
assert cache_folder().name == "numpyvgg"
assert not any(name.split(".")[0] in ("PIL", "scipy", "onnx") for name, module in sys.modules.items() if module)
"""


@pytest.mark.thorough
def test_a_network_answers_on_an_array_with_numpy_alone(tmp_path):
    path = write_standin(tmp_path / "net.onnx")
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-c", PROGRAM, str(path), str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "NUMPYVGG_CACHE"}
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no face found" in done.stdout
    assert "fault of numpyvgg" not in done.stderr
    import onnxruntime

    (expected,) = onnxruntime.InferenceSession(path).run(None, {"input": x})
    for name in ("vgg", "session"):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=2e-6)
