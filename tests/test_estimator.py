"""What a network wants and means is known, stated in its file or said by its user, and never guessed."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from caffe_writer import CAFFE
from conftest import PORTRAIT
from make_standin import Layout, standin_model
from onnx import TensorProto, helper, numpy_helper
from test_caffe import caffe_model

import numpyvgg
from numpyvgg import ArgumentError, Predictor, UnsupportedModelError, cli, zoo
from numpyvgg.photo.answers import Age, AgeGroup, Gender, Ranking, Value, answer
from numpyvgg.photo.estimator import SessionClassifier, open_estimator
from numpyvgg.photo.images import load_image
from numpyvgg.zoo.labels import Labels

VGG_LAYOUT = Layout(opset=17, storage="raw", initializers_as_inputs=False, no_ops=(), batch="N", flatten="Flatten")


@pytest.fixture(scope="module")
def photo():
    return load_image(PORTRAIT).crop((150, 50, 300, 220))


def pixels(photo, height=224, width=224, bgr=True):
    """The photograph as [1, 3, H, W], by Pillow and NumPy alone."""
    values = np.asarray(photo.resize((width, height), 2), np.float32)[:, :, :: -1 if bgr else 1]
    return np.ascontiguousarray(values.transpose(2, 0, 1))[None]


def runtime(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0].reshape(len(x), -1)


def saved(model, path):
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


# ---------------------------------------------------------------------- networks that people have


def vgg(classes=101, softmax=True):
    model = standin_model(Layout(**{**vars(VGG_LAYOUT), "softmax": softmax}), width=1 / 16, classes=classes)
    del model.graph.value_info[:]  # the shapes of what the tests are about to change
    return model


def weights(model, name, change):
    """Replace an initializer by what `change` makes of it."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(tensor))), name))


def regression():
    """VGG with Linear(units, 1), as PyTorch's users write an age regression."""
    model = vgg(classes=2, softmax=False)
    last = model.graph.node[-1]
    for name in last.input[1:3]:
        weights(model, name, lambda array: array[:1])
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    return model


def with_head(*nodes, shape=("N", 3, 224, 224), constants=(), dtype=TensorProto.FLOAT, model=None):
    """A network with more nodes before its first one: they read ``x`` and write ``ready``."""
    model = model or vgg()
    first = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["ready" if name == first else name for name in node.input]
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("x", dtype, shape))
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants
    )
    return model


def mean_in_the_graph():
    mean = np.reshape([104.0, 117.0, 123.0], (1, 3, 1, 1))
    return with_head(helper.make_node("Sub", ["x", "mean"], ["ready"]), constants=[("mean", mean)])


def scale_and_mean_in_the_graph():
    return with_head(
        helper.make_node("Div", ["x", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["ready"]),
        constants=[("scale", 0.5), ("shift", np.reshape([-200.0, -230.0, -240.0], (1, 3, 1, 1)))],
    )


def channels_last():
    node = helper.make_node("Transpose", ["x"], ["ready"], perm=[0, 3, 1, 2])
    return with_head(node, shape=("N", 224, 224, 3))


def bytes_channels_last():
    """As TensorFlow's serving exports are: uint8 in, the conversion in the graph."""
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["ready"], perm=[0, 3, 1, 2]),
    ]
    return with_head(*nodes, shape=(None, 224, 224, 3), dtype=TensorProto.UINT8)


def half_precision():
    """float16 inside with casts at both ends, as converters write it that keep the input's type."""
    model = vgg()
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    model = with_head(helper.make_node("Cast", ["x"], ["ready"], to=TensorProto.FLOAT16), model=model)
    output = model.graph.output[0].name
    model.graph.node[-1].output[0] = "half"
    model.graph.node.append(helper.make_node("Cast", ["half"], [output], to=TensorProto.FLOAT))
    return model


def smaller_input(side):
    """VGG for images of another size: fc6 has fewer columns."""
    model = vgg()
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = side
    places = (side // 32) ** 2
    fc6 = next(node.input[1] for node in model.graph.node if node.op_type == "Gemm")
    weights(model, fc6, lambda w: w.reshape(len(w), -1, 49)[:, :, :places].reshape(len(w), -1) * 7 / places**0.5)
    return model


def text_network(end, classes=5, shape="N,3,32,32", opset=17):
    """A small network that is no VGG; `end` makes `y` of its scores `s`."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {opset}]>
        small (float[{shape}] x) => (float[N,{classes}] y) <float[{classes},3,3,3] w, float[{classes}] b> {{
            c = Conv<strides = [2, 2]>(x, w, b)
            r = LeakyRelu(c)
            p = GlobalAveragePool(r)
            s = Flatten(p)
            {end}
        }}"""
    )
    rng = np.random.default_rng(classes)
    for name, size in (("w", (classes, 3, 3, 3)), ("b", (classes,))):
        value = numpy_helper.from_array((rng.normal(size=size) / 20).astype(np.float32), name)
        model.graph.initializer.append(value)
    return model


SOFTMAX_ENDS = {
    "softmax": "y = Softmax(s)",
    "a cast after the softmax": "p1 = Softmax(s) y = Cast<to = 1>(p1)",
    "the softmax written out": "e = Exp(s) t = ReduceSum<keepdims = 1>(e, axes) y = Div(e, t)",
    "scores": "y = Identity(s)",
    "logarithms": "y = LogSoftmax(s)",
}


# ---------------------------------------------------------------------- labels


def test_a_number_of_classes_means_nothing_by_itself(tmp_path, photo):
    for classes in (2, 101, 8):
        model = vgg(classes)
        given = open_estimator(saved(model, tmp_path / f"{classes}.onnx"))(photo)
        expected = runtime(model, pixels(photo))[0]
        assert isinstance(given, Ranking)
        assert given.most_probable == expected.argmax()
        assert given.label == f"class {expected.argmax()}"
        assert given.probability == pytest.approx(expected.max(), abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "classes", "kind"),
    [("age", 101, Age), ("age", 81, Age), ("gender", 2, Gender), ("gender-male-first", 2, Gender)],
)
def test_the_user_says_what_classes_mean(labels, classes, kind, tmp_path, photo):
    model = vgg(classes)
    path = saved(model, tmp_path / "net.onnx")
    given = numpyvgg.predict(photo, [path], labels=labels).answers[path]
    expected = runtime(model, pixels(photo))[0].astype(float)
    assert isinstance(given, kind)
    if kind is Age:
        assert given.expected == pytest.approx(float(expected @ np.arange(classes)), abs=1e-3)
    else:
        names = ("female", "male") if labels == "gender" else ("male", "female")
        assert given.label == names[expected.argmax()]


def test_a_file_has_a_label_a_line(tmp_path, photo, capsys):
    model = text_network("y = Softmax(s)", classes=3)
    path = saved(model, tmp_path / "net.onnx")
    (tmp_path / "labels.txt").write_text("apple pie\nbaby back ribs\n(25-32)\n\n", "utf-8")
    given = numpyvgg.predict(photo, [path], labels=tmp_path / "labels.txt").answers[path]
    best = runtime(model, pixels(photo, 32, 32))[0].argmax()
    assert given.label == ("apple pie", "baby back ribs", "(25-32)")[best]
    options = ["--model", path, "--labels", str(tmp_path / "labels.txt"), "--top", "3"]
    assert cli.main(["predict", str(PORTRAIT), *options]) == 0
    assert "baby back ribs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "classes", "reason"),
    [
        ("gender", 101, "2 labels for the 101 outputs"),
        (("a", "b", "c"), 2, "3 labels for the 2 outputs"),
        ("ages.txt", 2, "ages.txt: cannot be read"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, classes, reason, tmp_path):
    path = saved(vgg(classes), tmp_path / "net.onnx")
    with pytest.raises(ArgumentError, match=reason):
        open_estimator(path, labels)


def test_there_is_one_label_for_all_networks_or_one_for_each(tmp_path, photo):
    paths = [saved(vgg(classes), tmp_path / f"{classes}.onnx") for classes in (101, 2)]
    said = numpyvgg.predict(photo, paths, labels=["age", "gender-male-first"])
    assert [type(given) for given in said.answers.values()] == [Age, Gender]
    with pytest.raises(ArgumentError, match="3 labels for 2 networks"):
        Predictor(paths, labels=["age", "age", "age"])


@pytest.mark.parametrize("name", ["vgg_ilsvrc_16_age_imdb_wiki.onnx", "VGG_ILSVRC_16_layers_Age.onnx"])
def test_a_published_networks_file_is_known_by_its_name_and_its_structure(name, tmp_path, photo):
    assert isinstance(open_estimator(saved(vgg(101), tmp_path / name))(photo), Age)
    assert isinstance(open_estimator(saved(vgg(102), tmp_path / name))(photo), Ranking)
    other = standin_model(VGG_LAYOUT, configuration="B", width=1 / 16, classes=101)
    assert isinstance(open_estimator(saved(other, tmp_path / name))(photo), Ranking)


def test_a_bundled_network_is_known_by_its_hash_whatever_it_is_called(tmp_path, photo):
    copy = tmp_path / "mine.onnx"
    shutil.copy(zoo.BUNDLED["age-small"].path, copy)
    by_name, by_hash = open_estimator("age-small"), open_estimator(copy)
    assert by_hash.preparation == by_name.preparation != open_estimator_default()
    assert by_hash(photo) == by_name(photo)
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1  # a weight's lowest bit
    copy.write_bytes(data)
    assert isinstance(open_estimator(copy)(photo), Ranking)


def open_estimator_default():
    return zoo.preparation.DEX


@pytest.mark.parametrize("command", [["inspect"], ["parity", "--against", "onnxruntime"]])
def test_bundled_networks_have_their_names_in_every_command(command, capsys):
    assert cli.main([command[0], "gender-small", *command[1:]]) == 0
    assert "gender-v1.onnx" in capsys.readouterr().out or command[0] == "parity"


def test_models_lists_the_bundled_networks(capsys):
    assert cli.main(["models", "--json"]) == 0
    listed = {network["name"]: network for network in json.loads(capsys.readouterr().out)}
    assert listed["age-small"]["here"]
    assert listed["age-small"]["labels"] == "age, years 0.25 to 80"
    assert listed["gender-imdb-wiki"]["labels"] == "0 female, 1 male"


def test_what_a_file_makes_python_warn_of_is_one_line_of_the_command(tmp_path, capsys):
    layout = Layout(opset=17, initializers_as_inputs=False, no_ops=("Dropout",), batch="N")
    model = standin_model(layout, width=1 / 16, classes=101)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "training"))
    for node in model.graph.node:
        if node.op_type == "Dropout":
            node.input.extend([""] * (2 - len(node.input)) + ["training"])
    path = saved(model, tmp_path / "net.onnx")
    assert cli.main(["predict", str(PORTRAIT), "--model", path]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("numpyvgg: ")
    assert "exported for training" in line


# ---------------------------------------------------------------------- one output


def test_one_output_is_a_number_and_no_softmax_of_it(tmp_path, photo):
    model = regression()
    expected = runtime(model, pixels(photo))[0, 0]
    path = saved(model, tmp_path / "net.onnx")
    assert numpyvgg.VGG.from_onnx(path)(pixels(photo))[0, 0] == pytest.approx(expected, abs=1e-5)
    given = open_estimator(path)(photo)
    assert isinstance(given, Value)
    assert given.value == pytest.approx(expected, abs=1e-5)
    years = open_estimator(path, "age")(photo)
    assert str(years) == f"{years.value:.1f} years"
    with pytest.raises(ArgumentError, match="2 labels for the 1 outputs"):
        open_estimator(path, "gender")


@pytest.mark.parametrize("end", ["y = Identity(s)", "y = Mul(s, k)"])
def test_one_output_of_any_other_network_is_a_number_too(end, tmp_path, photo):
    model = text_network(end, classes=1)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(30), "k"))
    path = saved(model, tmp_path / "net.onnx")
    expected = runtime(model, pixels(photo, 32, 32))[0, 0]
    assert open_estimator(path)(photo).value == pytest.approx(expected, rel=1e-4)


def test_a_regression_has_its_column_and_its_key(tmp_path, capsys):
    path = saved(regression(), tmp_path / "net.onnx")
    expected = numpyvgg.predict(PORTRAIT, [path], labels="age").answers[path].value
    assert cli.main(["predict", str(PORTRAIT), "--model", path, "--labels", "age", "--csv", "--top", "1"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["kind"], row["unit"], row["probability"]) == ("value", "years", "")
    assert float(row["value"]) == pytest.approx(expected)
    assert cli.main(["predict", str(PORTRAIT), "--model", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["value"] == pytest.approx(expected)


# ---------------------------------------------------------------------- networks that VGG turns away


@pytest.mark.parametrize(
    ("make", "in_graph"),
    [
        (mean_in_the_graph, "Sub"),
        (scale_and_mean_in_the_graph, "Div and Add"),
        (half_precision, ""),
    ],
)
def test_arithmetic_and_casts_in_the_graph_are_computed_there(make, in_graph, tmp_path, photo):
    model = make()
    estimator = open_estimator(saved(model, tmp_path / "net.onnx"), "age")
    assert in_graph in str(estimator.preparation)
    expected = runtime(model, pixels(photo))[0].astype(float)
    np.testing.assert_allclose(estimator(photo).probabilities, expected, atol=1e-3 if make is half_precision else 1e-6)


@pytest.mark.parametrize(("make", "dtype"), [(channels_last, np.float32), (bytes_channels_last, np.uint8)])
def test_channels_may_come_last(make, dtype, tmp_path, photo):
    model = make()
    expected = runtime(model, pixels(photo).transpose(0, 2, 3, 1).astype(dtype))[0]
    given = open_estimator(saved(model, tmp_path / "net.onnx"), "age")(photo)
    np.testing.assert_allclose(given.probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("side", [64, 96])
def test_photographs_are_resized_to_what_the_network_takes(side, tmp_path, photo, capsys):
    model = smaller_input(side)
    path = saved(model, tmp_path / "net.onnx")
    expected = runtime(model, pixels(photo, side, side))[0]
    np.testing.assert_allclose(open_estimator(path)(photo).probabilities, expected, atol=1e-6)
    assert cli.main(["predict", str(PORTRAIT), "--model", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["preparation"] == f"{side}x{side} bgr"


@pytest.mark.parametrize("end", SOFTMAX_ENDS)
def test_any_network_of_one_image_and_one_row_answers(end, tmp_path, photo):
    model = text_network(SOFTMAX_ENDS[end])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axes"))
    estimator = open_estimator(saved(model, tmp_path / "net.onnx"))
    assert isinstance(estimator.network, SessionClassifier)
    assert estimator.notes[0].endswith("numpyvgg.InferenceSession runs other networks, and runs this one")
    plain = text_network("y = Softmax(s)")
    np.testing.assert_allclose(
        estimator(photo).probabilities, runtime(plain, pixels(photo, 32, 32))[0], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("shape", ["1,3,32,32", "4,3,32,32"])
def test_a_fixed_batch_is_kept_to(shape, tmp_path, photo):
    model = text_network("y = Softmax(s)", shape=shape)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    estimator = open_estimator(saved(model, tmp_path / "net.onnx"))
    crops = [photo.rotate(angle) for angle in range(0, 90, 15)]
    given = estimator.answers(np.stack([estimator.tensors(crop) for crop in crops]))
    free = text_network("y = Softmax(s)")
    expected = runtime(free, np.concatenate([pixels(crop, 32, 32) for crop in crops]))
    np.testing.assert_allclose([each.probabilities for each in given], expected, rtol=1e-5)


def test_where_the_file_leaves_the_size_open_the_user_says_it(tmp_path, photo):
    model = text_network("y = Softmax(s)", shape="N,3,H,W")
    path = saved(model, tmp_path / "net.onnx")
    for size, (height, width) in ((None, (224, 224)), (48, (48, 48)), ((40, 56), (40, 56))):
        given = numpyvgg.predict(photo, [path], size=size).answers[path]
        expected = runtime(model, pixels(photo, height, width))[0]
        np.testing.assert_allclose(given.probabilities, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.graph.output.append(helper.make_tensor_value_info("r", 1, None)), "1 inputs and 2 outputs"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim.pop(), r"not \[N, 3, H, W\]"),
    ],
)
def test_what_is_no_such_network_is_refused_with_what_to_do_instead(change, reason, tmp_path):
    model = text_network("y = Softmax(s)")
    change(model)
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(UnsupportedModelError, match=reason) as refused:
        open_estimator(tmp_path / "net.onnx")
    assert "run it with numpyvgg.InferenceSession" in str(refused.value)


def test_sigmoids_are_no_ages(tmp_path, photo):
    model = text_network("y = Sigmoid(s)")
    path = saved(model, tmp_path / "net.onnx")
    expected = runtime(model, pixels(photo, 32, 32))[0]
    np.testing.assert_allclose(open_estimator(path)(photo).probabilities, expected, rtol=1e-5)
    with pytest.raises(ArgumentError, match="ends with sigmoids"):
        open_estimator(path, "age")


# ---------------------------------------------------------------------- preparation


def by_hand(photo, size, crop, mean, scale, bgr):
    x = (pixels(photo, *size, bgr=bgr) - np.reshape(mean, (1, -1, 1, 1))) * np.reshape(scale, (1, -1, 1, 1))
    top, left = (size[0] - crop) // 2, (size[1] - crop) // 2
    return x[:, :, top : top + crop, left : left + crop].astype(np.float32)


@pytest.mark.parametrize(
    ("options", "prepared"),
    [
        ({"mean": (104, 117, 123)}, {"mean": [104, 117, 123]}),
        ({"mean": 128, "scale": 1 / 128, "channels": "rgb"}, {"mean": 128, "scale": 1 / 128, "bgr": False}),
        (
            {"mean": (123.675, 116.28, 103.53), "scale": (0.017, 0.0175, 0.0174), "channels": "rgb", "size": 256},
            {"mean": [123.675, 116.28, 103.53], "scale": [0.017, 0.0175, 0.0174], "bgr": False, "size": (256, 256)},
        ),
        ({"size": (240, 300), "crop": 224}, {"size": (240, 300)}),
    ],
)
def test_the_user_says_how_images_are_prepared(options, prepared, tmp_path, photo):
    model = vgg()
    path = saved(model, tmp_path / "net.onnx")
    given = numpyvgg.predict(photo, [path], labels="age", **options)
    x = by_hand(photo, **{"size": (224, 224), "crop": 224, "mean": 0, "scale": 1, "bgr": True, **prepared})
    np.testing.assert_allclose(given.answers[path].probabilities, runtime(model, x)[0], atol=1e-6)
    assert options.get("channels", "bgr") in str(given.preparations[path])


@pytest.mark.parametrize(
    "transform",
    [
        {"mean_value": [104, 117, 123]},
        {"scale": 1 / 256},
        {"mean_value": [127.5], "scale": 0.0078125, "mirror": True},
    ],
)
@pytest.mark.parametrize("form", ["new", "old"])
def test_a_caffe_file_says_how_its_images_were_prepared(form, transform, tmp_path, photo):
    net = caffe_model(form, training=True)
    data = (net.layer or net.layers)[0]
    for key, value in transform.items():
        if isinstance(value, list):
            getattr(data.transform_param, key).extend(value)
        else:
            setattr(data.transform_param, key, value)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    given = open_estimator(tmp_path / "net.caffemodel", "age")(photo)
    x = by_hand(photo, (224, 224), 224, transform.get("mean_value", 0), transform.get("scale", 1), bgr=True)
    np.testing.assert_allclose(given.probabilities, runtime(vgg(), x)[0], atol=1e-6)


def test_a_mean_image_is_subtracted_where_it_lies_beside_the_model_and_missed_by_name_where_not(tmp_path, photo):
    net = caffe_model(training=True)
    net.layer[0].transform_param.mean_file = "/home/somebody/data/mean.binaryproto"
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    (note,) = open_estimator(path).notes
    assert "mean.binaryproto" in note
    assert "--mean" in note
    mean = np.random.default_rng(0).uniform(0, 255, (3, 256, 256)).astype(np.float32)
    image = CAFFE["BlobProto"](num=1, channels=3, height=256, width=256, data=mean.ravel().tolist())
    (tmp_path / "mean.binaryproto").write_bytes(image.SerializeToString())
    estimator = open_estimator(path, "age")
    x = (pixels(photo, 256, 256) - mean)[:, :, 16:240, 16:240]  # Caffe crops what is left of the subtraction
    assert estimator.notes == ()
    np.testing.assert_allclose(estimator(photo).probabilities, runtime(vgg(), x)[0], atol=1e-6)
    by_name = open_estimator(saved(vgg(), tmp_path / "net.onnx"), "age", {"mean": tmp_path / "mean.binaryproto"})
    np.testing.assert_array_equal(by_name.tensors(photo), estimator.tensors(photo))


def test_ten_crops_are_the_corners_the_middle_and_their_mirror_images(tmp_path, photo):
    model = vgg()
    path = saved(model, tmp_path / "net.onnx")
    given = numpyvgg.predict(photo, [path], preparation="ten-crop", size=256).answers[path].probabilities
    x = pixels(photo, 256, 256)
    crops = [x[..., t : t + 224, left : left + 224] for t, left in ((0, 0), (0, 32), (32, 0), (32, 32), (16, 16))]
    crops += [crop[..., ::-1] for crop in crops]
    np.testing.assert_allclose(given, runtime(model, np.concatenate(crops)).mean(axis=0), atol=1e-6)


def test_every_answer_names_its_preparation(tmp_path, capsys):
    path = saved(vgg(), tmp_path / "net.onnx")
    options = ["--model", path, "--mean", "104,117,123", "--scale", "1/256", "--size", "256", "--channels", "rgb"]
    named = "256x256 rgb, mean 104,117,123, scale 0.00390625, centre 224x224"
    assert cli.main(["predict", str(PORTRAIT), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"][0]["preparation"] == named
    assert cli.main(["predict", str(PORTRAIT), *options, "--csv"]) == 0
    assert next(csv.DictReader(io.StringIO(capsys.readouterr().out)))["preparation"] == named


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 200}, "takes 224x224 pixels"),
        ({"crop": 100}, "takes 224x224 pixels"),
        ({"size": 0}, "from 1 to 4096"),
        ({"mean": (1, 2)}, "one for each of the three channels"),
        ({"scale": float("nan")}, "one for each of the three channels"),
        ({"channels": "grb"}, "grb"),
        ({"preparation": "twelve-crop"}, "ten-crop"),
        ({"preparation": "ten-crop"}, "give --size"),
    ],
)
def test_a_preparation_that_is_none_is_refused(options, reason, tmp_path):
    path = saved(vgg(), tmp_path / "net.onnx")
    with pytest.raises(ArgumentError, match=reason):
        Predictor([path], **options)


def test_what_the_zoo_knows_of_bundled_networks_cannot_be_overruled():
    with pytest.raises(ArgumentError, match="is known"):
        Predictor(["age-small"], mean=0)


# ---------------------------------------------------------------------- answers


def test_groups_of_ages_are_answered_by_the_most_probable():
    groups = Labels("age_group", ("(0-2)", "(4-6)", "(25-32)"))
    given = answer(np.array([0.1, 0.2, 0.7]), groups)
    assert isinstance(given, AgeGroup)
    assert str(given) == "(25-32) years (70.0%)"
