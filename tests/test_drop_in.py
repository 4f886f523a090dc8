"""Programs written for onnxruntime run with nothing changed but their import, and say the same."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import PORTRAIT
from make_standin import Layout, standin_model

from numpyvgg.zoo import models_folder

CLASSIFY = """
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(MODEL)
input_name = session.get_inputs()[0].name
output_name = session.get_outputs()[0].name

image = Image.open(PHOTO).convert("RGB").resize((224, 224))
data = np.array(image).transpose(2, 0, 1).astype("float32")
data = np.expand_dims(data, axis=0)

scores = np.squeeze(session.run([output_name], {input_name: data})[0])
ranks = np.argsort(scores)[::-1]
result = [ranks[:5].tolist(), scores[ranks[:5]]]
"""

AGE = """
import numpy as np
import onnxruntime as ort
from PIL import Image

opts = ort.SessionOptions()
opts.intra_op_num_threads = 1
opts.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
opts.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
opts.log_severity_level = 3
age_classifier = ort.InferenceSession(MODEL, sess_options=opts, providers=["CPUExecutionProvider"])

def age(image):
    image = image.resize((224, 224), Image.BILINEAR)
    image = np.asarray(image, np.float32)[:, :, ::-1]
    image = np.transpose(image, [2, 0, 1])
    inputs = {age_classifier.get_inputs()[0].name: image[np.newaxis]}
    ages = age_classifier.run(None, inputs)[0][0]
    return int(ages.argmax()), float(sum(i * p for i, p in enumerate(ages)))

image = Image.open(PHOTO)
result = [*age(image.crop((130, 20, 310, 200))), *age(image)]
"""

BATCHES = """
import numpy as np
from onnxruntime import InferenceSession, get_available_providers, get_device
from PIL import Image

assert get_device() == "CPU"
providers = ["CPUExecutionProvider"] if "CPUExecutionProvider" in get_available_providers() else []
net = InferenceSession(str(SMALL_MODEL), providers=providers)
(spec,) = net.get_inputs()
batch, channels, height, width = spec.shape
assert not isinstance(batch, int) and spec.type == "tensor(float)"

photo = Image.open(PHOTO).convert("RGB")
faces = [photo.crop((x, 60, x + 120, 180)).resize((width, height)) for x in range(140, 200, 10)]
pixels = (np.stack([np.asarray(face, dtype=np.float32) for face in faces]) - 127) / 256
outputs = dict(zip([o.name for o in net.get_outputs()],
                   net.run([o.name for o in net.get_outputs()], {spec.name: pixels.transpose(0, 3, 1, 2)})))
result = [name for name in outputs] + [value for value in outputs.values()]
"""

FEED_CHECKS = """
import numpy as np
import onnxruntime as rt

sess = rt.InferenceSession(open(MODEL, "rb").read(), providers=rt.get_available_providers())
label = sess.get_outputs()[0].name
result = [sess.get_providers()[-1], label, str(sess.get_inputs()[0])]
try:
    sess.run([label], {})
except ValueError:
    result.append("an input is missing")
try:
    sess.run([label], {sess.get_inputs()[0].name: np.zeros((1, 3, 224, 224))})
except Exception:
    result.append("double is not float")
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "standin.onnx"
    path.write_bytes(standin_model(Layout(), width=1 / 16).SerializeToString())
    return {"MODEL": str(path), "SMALL_MODEL": models_folder() / "age-v1.onnx", "PHOTO": str(PORTRAIT)}


def with_import_changed(program):
    """`import onnxruntime as ort` becomes `import numpyvgg.session as ort`, and so on; no other line changes."""
    program = re.sub(r"^import onnxruntime$", "import numpyvgg.session as onnxruntime", program, flags=re.MULTILINE)
    return re.sub(r"^(import|from) onnxruntime ", r"\1 numpyvgg.session ", program, flags=re.MULTILINE)


@pytest.mark.parametrize("program", [CLASSIFY, AGE, BATCHES, FEED_CHECKS], ids=["classify", "age", "batches", "checks"])
def test_the_program_says_the_same_with_its_import_changed(program, paths):
    changed = with_import_changed(program)
    assert sum(a != b for a, b in zip(program.splitlines(), changed.splitlines(), strict=True)) == 1
    theirs, ours = dict(paths), dict(paths)
    exec(program, theirs)
    exec(changed, ours)
    assert ours["result"]
    for a, b in zip(ours["result"], theirs["result"], strict=True):
        if isinstance(b, float | np.ndarray):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        else:
            assert a == b
