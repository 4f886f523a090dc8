"""The network: found in every layout, refused in every other, and equal to ONNX Runtime layer by layer."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import onnx
import onnxruntime
import pytest
from make_standin import Layout, standin_model, write_standin
from onnx import helper, numpy_helper

from numpyvgg import VGG16, ArgumentError, UnsupportedModelError
from numpyvgg.files.onnx import read_onnx
from numpyvgg.files.tensor import StoredTensor
from numpyvgg.vgg.recognise import recognise


def runtime_session(model) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every initializer that is listed as an input
    source = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def runtime_layers(path: str, x: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """The named tensors of the graph, computed by ONNX Runtime."""
    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name != model.graph.output[0].name)
    return runtime_session(model).run(names, {"input": x})


# ---------------------------------------------------------------------- full size


@pytest.mark.full_size
@pytest.mark.parametrize("fixture", ["zoo_path", "raw_path", "gender_path"])
def test_full_size_networks_answer_as_onnx_runtime_does(fixture, portrait, request):
    path = request.getfixturevalue(fixture)
    ours = VGG16.from_onnx(path)(portrait)
    theirs = runtime_session(str(path)).run(None, {"input": portrait})[0]
    assert ours.shape == theirs.shape
    assert abs(ours - theirs).max() <= 5e-6
    if ours.shape[1] == 101:
        years = np.arange(101)
        assert abs(ours[0] @ years - theirs[0] @ years) <= 5e-4


@pytest.mark.full_size
@pytest.mark.parametrize("fixture", ["zoo_path", "raw_path"])
def test_every_intermediate_layer_is_that_of_onnx_runtime(fixture, portrait, request):
    path = request.getfixturevalue(fixture)
    layers, ours = zip(*VGG16.from_onnx(path).trace_layers(portrait), strict=True)
    theirs = runtime_layers(str(path), portrait, [layer.output for layer in layers])
    for layer, mine, their in zip(layers, ours, theirs, strict=True):
        assert mine.shape == their.shape
        assert abs(mine - their).max() <= 2e-5 * abs(their).max(), layer.title


def test_the_pass_and_its_trace_end_with_the_same_bits(raw_path, portrait):
    net = VGG16.from_onnx(raw_path)
    *_, (name, last) = net.trace(portrait)
    assert name == "prob"
    assert net(portrait).tobytes() == last.tobytes()


def test_the_layers_add_up_to_the_published_parameters_and_multiply_adds(raw_path):
    net = VGG16.from_onnx(raw_path)
    assert sum(layer.parameters for layer in net.layers) == 134_674_341
    assert sum(layer.multiply_adds for layer in net.layers) == pytest.approx(15.47e9, rel=1e-3)
    assert "134,674,341 parameters" in repr(net)


# ---------------------------------------------------------------------- small ones


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 3, 224, 224)).astype(np.float32)


def test_a_batch_is_answered_image_by_image_even_where_the_file_says_1(images):
    net = VGG16.from_onnx(standin_model(Layout(batch=1)))
    together = net(images)
    for i in range(3):
        np.testing.assert_allclose(together[i], net(images[i : i + 1])[0], atol=1e-6)
    assert net(images[:0]).shape == (0, 101)


def test_float64_is_the_same_network_computed_more_finely(images):
    model = standin_model()
    fine, coarse = VGG16.from_onnx(model, dtype="float64")(images), VGG16.from_onnx(model)(images)
    assert fine.dtype == np.float64
    assert 0 < abs(fine - coarse).max() < 1e-5
    np.testing.assert_allclose(fine.sum(axis=1), 1, rtol=1e-14)


def test_names_do_not_matter(images):
    model = standin_model(Layout(opset=13))
    names = {t.name: f"t{i}" for i, t in enumerate(model.graph.initializer)}
    for i, node in enumerate(model.graph.node):
        node.name = ""
        node.input[:] = [names.get(name, name) for name in node.input]
        for output in node.output:
            names[output] = f"v{i}"
        node.output[:] = [names[name] for name in node.output]
    for value in (*model.graph.initializer, *model.graph.output, *model.graph.input):
        value.name = names.get(value.name, value.name)
    anonymous = VGG16.from_onnx(model)
    assert [layer.title for layer in anonymous.layers][-3:] == ["relu7", "fc8", "prob"]
    assert anonymous(images).tobytes() == VGG16.from_onnx(standin_model(Layout(opset=13)))(images).tobytes()


@pytest.mark.parametrize("size", [-1, 0, "rows", None])
def test_dimensions_that_a_file_leaves_open_are_the_published_ones(size, images):
    """Exporters write an open dimension as a name, as nothing, or as a number that is none."""
    model = standin_model(Layout(batch="N"))
    for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]:
        dim.Clear()
        if isinstance(size, str):
            dim.dim_param = size
        elif size is not None:
            dim.dim_value = size
    net = VGG16.from_onnx(model)
    assert net.input_shape == (3, 224, 224)
    assert net(images).tobytes() == VGG16.from_onnx(standin_model())(images).tobytes()


def edited(change) -> onnx.ModelProto:
    model = standin_model(Layout(opset=13, no_ops=()))
    change({node.name: node for node in model.graph.node}, model)
    return model


def set_attribute(node, **attributes) -> None:
    kept = [a for a in node.attribute if a.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(*item) for item in attributes.items())])


def set_tensor(model, name, array) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))


def set_rows(value, rows) -> None:
    value.type.tensor_type.shape.dim[2].dim_value = rows


OTHER_NETWORKS = {
    "another operator": (lambda n, m: setattr(n["relu3_2"], "op_type", "Tanh"), r"relu3_2 \(Relu\).*Tanh node"),
    "a stride": (lambda n, m: set_attribute(n["conv2_1"], strides=[2, 2]), "conv2_1.*strides"),
    "a pad": (lambda n, m: set_attribute(n["conv2_1"], pads=[0, 0, 0, 0]), "conv2_1.*pads"),
    "a dilation": (lambda n, m: set_attribute(n["conv2_1"], dilations=[2, 2]), "conv2_1.*dilations"),
    "groups": (lambda n, m: set_attribute(n["conv2_1"], group=4), "conv2_1.*group"),
    "a pooling of 3": (lambda n, m: set_attribute(n["pool3"], kernel_shape=[3, 3]), "pool3.*kernel_shape"),
    "padding by another name": (lambda n, m: set_attribute(n["conv2_1"], auto_pad="VALID"), "conv2_1.*auto_pad"),
    "a 5x5 filter": (lambda n, m: set_tensor(m, "conv4_1_W", np.zeros((32, 16, 5, 5))), "conv4_1.*32, 16, 5, 5"),
    "a bias of another size": (lambda n, m: set_tensor(m, "conv4_1_b", np.zeros(31)), "conv4_1.*bias"),
    "fc6 of another size": (lambda n, m: set_tensor(m, "fc6_W", np.zeros((256, 999))), "fc6.*1568 numbers"),
    "a scaled product": (lambda n, m: set_attribute(n["fc7_Gemm"], alpha=0.5), "fc7.*alpha"),
    "softmax over images": (lambda n, m: set_attribute(n["prob"], axis=0), "prob.*axis 0"),
    "no softmax": (lambda n, m: m.graph.node.remove(n["prob"]), "'fc8-101_Gemm_Y', which is not"),
    "a second use": (lambda n, m: m.graph.node.append(helper.make_node("Tanh", ["pool3_Y"], ["z"])), "goes to 2 nodes"),
    "a computed weight": (lambda n, m: n["fc7_Gemm"].input.__setitem__(1, "pool3_Y"), "pool3_Y"),
    "another image size": (lambda n, m: set_rows(m.graph.input[0], 256), "fc6"),
    "two inputs": (lambda n, m: m.graph.input.append(helper.make_tensor_value_info("i", 1, [1])), "2 inputs"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), OTHER_NETWORKS.values(), ids=OTHER_NETWORKS.keys())
def test_another_network_is_refused_with_the_node_that_differs(change, reason):
    with pytest.raises(UnsupportedModelError, match=f"not a VGG network: .*{reason}"):
        VGG16.from_onnx(edited(change))


def test_nothing_is_read_of_the_weights_before_they_are_needed(monkeypatch):
    model = read_onnx(standin_model())
    read = StoredTensor.array

    def read_no_weight(tensor):
        return pytest.fail(f"{tensor.name} was read") if tensor.name.endswith("_W") else read(tensor)

    monkeypatch.setattr(StoredTensor, "array", read_no_weight)
    layers, input_shape = recognise(model)
    assert (len(layers), input_shape) == (37, (3, 224, 224))


def test_a_network_that_is_let_go_leaves_its_file_at_once(tmp_path):
    gc.disable()
    try:
        for conv in ("im2col", "winograd", "textbook"):
            model = read_onnx(write_standin(tmp_path / "net.onnx"))
            held, net = weakref.ref(model), VGG16.from_onnx(model, conv=conv)
            net(np.zeros((1, 3, 224, 224), np.float32))
            del model, net
            assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("x", "mend"),
    [
        (np.zeros((3, 224, 224)), r"x\[None\]"),
        (np.zeros((1, 224, 224, 3)), "transpose"),
        (np.zeros((1, 3, 223, 224)), r"\[1, 3, 223, 224\]"),
        (np.zeros((1, 3, 224, 224), complex), "real numbers"),
        ("photo.jpg", "takes"),
    ],
    ids=["no batch axis", "channels last", "one row short", "complex", "a path"],
)
def test_inputs_of_another_shape_are_refused_with_a_mend(x, mend):
    with pytest.raises(ArgumentError, match=mend):
        VGG16.from_onnx(standin_model())(x)


@pytest.mark.parametrize("options", [{"conv": "fft"}, {"dtype": "float16"}, {"dtype": "nonsense"}])
def test_options_that_do_not_exist_are_refused(options):
    with pytest.raises(ArgumentError, match="does not exist"):
        VGG16.from_onnx(standin_model(), **options)
