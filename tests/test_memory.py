"""How much memory a network takes, as README tells it; and weights in every form that only the file's reader sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import PORTRAIT
from make_standin import Layout, standin_model
from onnx import TensorProto, numpy_helper

from numpyvgg import VGG16
from numpyvgg.files.source import Source
from numpyvgg.files.write import bytes_field, integer_field, tensor_proto

linux = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells what a process holds")


def status(key: str, text: str) -> int:
    """A line of /proc/PID/status in bytes."""
    return 1024 * int(re.search(rf"{key}:\s+(\d+) kB", text)[1])


@linux
@pytest.mark.full_size
@pytest.mark.parametrize(("conv", "limit"), [("im2col", 170e6), ("winograd", 390e6)])
def test_one_image_at_full_size_takes_no_more_memory_than_readme_says(conv, limit, zoo_path):
    """README's 133 and 343 MB, with room for another BLAS, more cores and other wheels."""
    code = """if True:
        import sys
        import numpyvgg
        from numpyvgg.photo.images import load_image, to_tensor
        net = numpyvgg.VGG16.from_onnx(sys.argv[1], conv=sys.argv[2], threads=2)
        net(to_tensor(load_image(sys.argv[3])))
        print(open("/proc/self/status").read())
    """
    run = subprocess.run([sys.executable, "-c", code, zoo_path, conv, PORTRAIT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert status("VmHWM", run.stdout) <= limit


@linux
@pytest.mark.parametrize("start", [0, 1, 4097])
def test_a_files_pages_are_given_back_while_it_is_copied(start, tmp_path):
    path = tmp_path / "large"
    content = np.random.default_rng(0).integers(0, 256, 64 << 20, dtype=np.uint8)
    path.write_bytes(content.tobytes())
    source, copied = Source.open(path), np.zeros(len(content) - start, np.uint8)
    before = status("RssFile", Path("/proc/self/status").read_text())
    source.read(start, copied)
    after = status("RssFile", Path("/proc/self/status").read_text())
    assert after - before < 8 << 20
    assert np.array_equal(copied, content[start:])


def bfloat16(weight: np.ndarray) -> tuple[bytes, np.ndarray]:
    bits = weight.view("<u4") >> 16
    fields = b"".join(integer_field(1, size) for size in weight.shape) + integer_field(2, TensorProto.BFLOAT16)
    return fields + bytes_field(9, bits.astype("<u2").tobytes()), (bits << 16).view(np.float32)


def float16_in_int32_data(weight: np.ndarray) -> tuple[bytes, np.ndarray]:
    half = weight.astype(np.float16)
    tensor = TensorProto(dims=weight.shape, data_type=TensorProto.FLOAT16)
    tensor.int32_data.extend(half.view(np.uint16).ravel().tolist())
    return tensor.SerializeToString(), half.astype(np.float32)


def float_data_in_two_pieces(weight: np.ndarray) -> tuple[bytes, np.ndarray]:
    fields = b"".join(integer_field(1, size) for size in weight.shape) + integer_field(2, TensorProto.FLOAT)
    data = weight.tobytes()
    return fields + bytes_field(4, data[:4000]) + bytes_field(4, data[4000:]), weight


def raw(dtype: str):
    def stored(weight: np.ndarray) -> tuple[bytes, np.ndarray]:
        return tensor_proto("", weight.astype(dtype)), weight.astype(dtype).astype(np.float32)

    return stored


FORMS = {
    "bfloat16": bfloat16,
    "float16 in int32_data": float16_in_int32_data,
    "float_data in two pieces": float_data_in_two_pieces,
    "float16 in raw_data": raw("<f2"),
    "float64 in raw_data": raw("<f8"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("layer", ["conv3_2", "fc7", "fc8-101"])
@pytest.mark.parametrize("form", FORMS)
def test_a_weight_in_any_form_answers_as_its_numbers_in_float32(form, layer, portrait):
    """The oracle is the same network with those numbers stored as float32, which other tests hold to ONNX Runtime."""
    model = standin_model(Layout(opset=17))
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == f"{layer}_W")
    fields, rounded = FORMS[form](numpy_helper.to_array(tensor))
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    (same,) = (tensor for tensor in twin.graph.initializer if tensor.name == f"{layer}_W")
    same.CopyFrom(numpy_helper.from_array(rounded, same.name))
    model.graph.initializer.remove(tensor)
    graph = bytes_field(5, fields + bytes_field(8, f"{layer}_W"))
    wire = model.SerializeToString() + bytes_field(7, graph)  # two messages in a row are one
    for conv in ("im2col", "winograd", "textbook"):
        net, wanted = VGG16.from_onnx(wire, conv=conv), VGG16.from_onnx(twin, conv=conv)(portrait)
        for _ in range(2):  # the second pass reads kept weights
            np.testing.assert_array_equal(net(portrait), wanted)
