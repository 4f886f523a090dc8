"""The operators hold what ONNX specifies: the `onnx` package's own backend tests, run on this package.

Every node case runs whose operators are all available and whose types NumPy has; others are refused. The light models
all run. Nothing is left out silently: `test_every_case_is_run_or_has_its_reason` prints the counts and the reasons.
"""

from __future__ import annotations

import collections
import functools
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.backend.test import BackendTest
from onnx.backend.test.case import node as node_cases
from onnx.backend.test.loader import load_model_tests

from numpyvgg import InferenceSession, NumpyVggError
from numpyvgg.operators import Facts, Operator, find
from numpyvgg.operators.signatures import SIGNATURES

#: the modules of the package's node cases, about one for each operator
MODULES = [
    module.name.removeprefix(f"{node_cases.__name__}.")
    for module in pkgutil.walk_packages(node_cases.__path__, f"{node_cases.__name__}.")
    if not module.ispkg
]
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
#: networks that PyTorch exported in its first years: operator sets 6 to 9, where older meanings hold
OLD_EXPORTS = sorted(path.parent for path in DATA.glob("pytorch-*/*/model.onnx"))

#: TensorProto.DataType values of which NumPy has no counterpart: the float8, float6, float4, int4, int2 kinds
FOREIGN_TYPES = {
    value for name, value in onnx.TensorProto.DataType.items() if re.match(r"FLOAT[468]E|U?INT[24]$", name)
}

#: what the package promises to have; others are covered by the same functions
LISTED = {
    "Conv",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Gemm",
    "MatMul",
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Sigmoid",
    "Tanh",
    "Clip",
    "Softmax",
    "LogSoftmax",
    "Exp",
    "Sqrt",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Sum",
    "BatchNormalization",
    "LRN",
    "Dropout",
    "Identity",
    "Flatten",
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Concat",
    "Split",
    "Slice",
    "Gather",
    "Shape",
    "Constant",
    "ConstantOfShape",
    "Pad",
    "Cast",
    "ReduceMean",
}

LIGHT_MODELS = [
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
]


@functools.cache
def cases_of(module):
    """The node cases of one module, which computes them when it is imported: all of them take 12 seconds."""
    before = len(node_cases._NodeTestCases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows and all
        importlib.import_module(f"{node_cases.__name__}.{module}")
    return node_cases._NodeTestCases[before:]


def case_named(name, module):
    (case,) = (case for case in cases_of(module) if case.name == name)
    return case


def arrays(values):
    return [numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value for value in values]


def saved(folder, side):
    paths = sorted(folder.glob(f"{side}_*.pb"), key=lambda path: int(path.stem.rpartition("_")[2]))
    return [onnx.TensorProto.FromString(path.read_bytes()) for path in paths]


def assert_answers(model, inputs, expected):
    """Shapes, types and numbers are those of the case, within the tolerances of the package's own runner."""
    session = InferenceSession(model)
    feed = dict(zip([value.name for value in session.get_inputs()], arrays(inputs), strict=True))
    halves = [value.type == "tensor(bfloat16)" for value in session.get_outputs()]
    results = zip(session.run(None, feed), halves, strict=True)
    ours = [array.astype(ml_dtypes.bfloat16) if half else array for array, half in results]
    BackendTest.assert_similar_outputs(arrays(expected), ours, rtol=1e-3, atol=1e-7)


#: Where ONNX Runtime and the specification's own cases disagree, a drop-in goes with ONNX Runtime.
AS_ONNXRUNTIME = {
    "test_resize_downsample_scales_linear_align_corners": "length_resized is a whole number in ONNX Runtime",
    "test_resize_downsample_scales_cubic_align_corners": "length_resized is a whole number in ONNX Runtime",
}
#: Its numbers were computed in NumPy's float16, sums and all: 4.9e-4 from float64, where ours are 4.0e-4 from it.
IN_FLOAT16 = {"test_attention_4d_causal_fp16_expanded": "each sum is rounded once, not after each addition"}


def reason_to_exclude(model):
    """Why a node case is not for this package; None where it is."""
    opset = max([entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")], default=0)
    available = {"Constant"}
    missing = {
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for node in model.graph.node
        if node.domain or (node.op_type not in available and find(node.op_type, opset) is None)
    }
    if missing:
        return f"operators that are not available: {', '.join(sorted(missing))}"
    values = [*model.graph.input, *model.graph.output]
    types = {value.type.tensor_type.elem_type for value in values}
    types |= {a.i for node in model.graph.node for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
    if foreign := sorted(onnx.TensorProto.DataType.Name(value) for value in types & FOREIGN_TYPES):
        return f"types that NumPy does not have: {', '.join(foreign)}"
    if any(value.type.WhichOneof("value") != "tensor_type" for value in values):
        return "sequences or optional values"
    return None


def reason_to_leave_out(case):
    return (AS_ONNXRUNTIME | IN_FLOAT16).get(case.name) or reason_to_exclude(case.model)


@pytest.fixture
def held_to_its_rule(monkeypatch):
    """Each call of an operator has to give what its table and its shape rule say beforehand."""
    run = Operator.__call__

    def checked(self, *arrays):
        facts = [None if array is None else Facts(array.dtype.name, array.shape, array) for array in arrays]
        said = self.infer(facts)
        results = run(self, *arrays)
        for fact, result in zip(said, results if isinstance(results, tuple) else (results,), strict=True):
            assert fact.dtype in (result.dtype.name, None)
            shape = result.shape if fact.shape is None else fact.shape
            assert len(shape) == result.ndim
            assert all(said in (size, None) for said, size in zip(shape, result.shape, strict=True))
        return results

    monkeypatch.setattr(Operator, "__call__", checked)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.usefixtures("held_to_its_rule")
def test_node_cases(module):
    """A case of operators that are not available is refused; none of these is an operator that is promised."""
    failed = {}
    for case in cases_of(module):
        reason = reason_to_leave_out(case)
        try:
            if reason is None:
                for inputs, expected in case.data_sets:
                    assert_answers(case.model, inputs, expected)
            elif reason.startswith("operators"):
                assert not LISTED.intersection(reason.partition(": ")[2].split(", "))
                with pytest.raises(NumpyVggError):
                    InferenceSession(case.model)
        except Exception as error:
            failed[case.name] = repr(error)
    assert not failed


@pytest.mark.usefixtures("held_to_its_rule")
@pytest.mark.parametrize("folder", OLD_EXPORTS, ids=lambda folder: folder.name)
def test_old_export(folder):
    (data_set,) = folder.glob("test_data_set_*")
    assert_answers(onnx.load(folder / "model.onnx"), saved(data_set, "input"), saved(data_set, "output"))


def light(name):
    return DATA / "light" / f"light_{name}.onnx"


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in LIGHT_MODELS if name != "squeezenet"])
def test_light_model(name):
    model = onnx.load(light(name))
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [BackendTest.generate_dummy_data(value) for value in model.graph.input if value.name not in weights]
    assert_answers(model, inputs, saved(light(name).parent, f"light_{name}_output"))


@pytest.mark.thorough
@pytest.mark.parametrize("name", LIGHT_MODELS)
def test_every_convolution_of_a_light_model_is_computed_by_the_kernels(name):
    """Their weights are made by ConstantOfShape: folded, they are constants as any others."""
    session = InferenceSession(light(name))
    steps = session._steps_for([value.name for value in session.get_outputs()], frozenset())
    products = [step for step in steps if step.nodes[0].op_type in ("Conv", "Gemm")]
    assert len(products) >= 8
    assert not [str(step.nodes[0]) for step in products if isinstance(step.run, Operator)]


def test_the_light_squeezenet_up_to_its_scores():
    """Its filters are all alike, and its scores near 1e10: one ulp between two of them is a probability of 0."""
    path = light("squeezenet")
    model = onnx.load(path)
    scores = model.graph.node[-1].input[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(scores, onnx.TensorProto.FLOAT, None))
    x = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    name = onnxruntime.InferenceSession(path).get_inputs()[0].name
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run([scores], {name: x})
    (ours,) = InferenceSession(path).run([scores], {name: x})
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("name", AS_ONNXRUNTIME)
def test_a_case_that_onnxruntime_answers_otherwise_is_answered_as_there(name):
    case = case_named(name, "resize")
    model, ((inputs, _),) = case.model, case.data_sets
    feed = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
    theirs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    np.testing.assert_allclose(InferenceSession(model).run(None, feed)[0], theirs[0], rtol=1e-5)


@pytest.mark.parametrize("name", IN_FLOAT16)
def test_attention_in_float16_is_no_further_from_float64_than_the_case_itself(name):
    case = case_named(name, "attention")
    ((inputs, (expected,)),) = case.data_sets
    query, key, value = (np.asarray(array, np.float64) for array in inputs)
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    weights = np.where(np.tril(np.ones(scores.shape[-2:])) > 0, np.exp(scores), 0)
    exact = weights / weights.sum(axis=-1, keepdims=True) @ value
    feed = dict(zip([value.name for value in case.model.graph.input], inputs, strict=True))
    (ours,) = InferenceSession(case.model).run(None, feed)
    assert np.abs(ours - exact).max() <= np.abs(expected - exact).max()


@pytest.mark.thorough
def test_every_case_is_run_or_has_its_reason(capsys):
    """The modules' cases are all that the package's own loader finds."""
    cases = [case for module in MODULES for case in cases_of(module)]
    reasons = collections.Counter(reason_to_leave_out(case) for case in cases)
    run = reasons.pop(None)
    assert {case.name for case in cases} == {case.name for case in load_model_tests(kind="node")}
    assert run > len(cases) / 4
    others = [reason for reason in reasons if reason.startswith("operators")]
    missing = sum(reasons.pop(reason) for reason in others)
    with capsys.disabled():
        print(f"\n{len(cases)} node cases: {run} run, {missing} of other operators; left out:")
        for reason, count in sorted(reasons.items()):
            print(f"  {count:4} {reason}")
        print(f"{len(OLD_EXPORTS)} old exports, all run")


NUMPY_NAMES = {"float": "float32", "double": "float64", "string": "object"}


def specified(schema, side):
    """(NumPy types, marks) of each input or output, as the specification has them."""
    words = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    for value in getattr(schema, side):
        types = {text[7:-1] for text in words.get(value.type_str, [value.type_str]) if text.startswith("tensor(")}
        yield {NUMPY_NAMES.get(name, name) for name in types}, value.option.name


@pytest.mark.thorough
@pytest.mark.parametrize("op_type", SIGNATURES)
def test_the_table_says_of_inputs_outputs_and_types_what_the_specification_says(op_type):
    newest = onnx.defs.get_schema(op_type)
    history = [s for s in onnx.defs.get_all_schemas_with_history() if s.name == op_type and not s.domain]
    history = [schema for schema in history if find(op_type, schema.since_version)]
    for side in ("inputs", "outputs"):
        slots = getattr(SIGNATURES[op_type], side)
        widest = max((list(specified(schema, side)) for schema in history), key=len)
        assert [(slot.optional, slot.variadic) for slot in slots[: len(getattr(newest, side))]] == [
            (value.option.name == "Optional", value.option.name == "Variadic") for value in getattr(newest, side)
        ]
        assert len(slots) == len(widest)
        for slot, (types, _) in zip(slots, specified(newest, side), strict=False):
            # "number" stands for a few lists of the specification that leave out small integers here and there.
            assert types & set(slot.types) == set(slot.types) or slot.word.rstrip("23") in (
                "number",
                "any",
                "ordered",
                "pooled",
            )
            assert types & set(SIGNATURES["Size"].inputs[0].types) <= set(slot.types)
    for schema in history:
        parameters = inspect.signature(find(op_type, schema.since_version)).parameters
        assert set(schema.attributes) - {"consumed_inputs"} <= set(parameters)


def test_the_documentation_lists_the_operators_that_there_are():
    text = Path(__file__).parents[1].joinpath("docs", "session.md").read_text()
    listed = " ".join(line[1:] for line in text.splitlines() if line.startswith("> ")).split()
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    newest = onnx.defs.onnx_opset_version()
    assert set(listed) == {name for name in known if name == "Constant" or find(name, newest)}
