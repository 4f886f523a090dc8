"""Measure parity's judge, and print the tables of docs/parity.md as Markdown.

    python tools/measure_parity.py runtimes                # correct runtimes, 100 inputs: what is accused
    python tools/measure_parity.py sums                    # the same for the tests of sums alone, layer by layer
    python tools/measure_parity.py faults [MODEL] [PHOTO]  # what parity --self-test makes, layer by layer
    python tools/measure_parity.py winograd                # libraries' points, products of fewer and fewer bits
    python tools/measure_parity.py networks                # the onnx package's light models, and the bundled ones
    python tools/measure_parity.py exponentials            # exp in other runtimes, in units in the last place
    python tools/measure_parity.py kernels                 # FFT and Strassen kernels beside the trials of `excuses`

With `--page docs/parity.md` the table there, between ``<!-- runtimes -->`` and ``<!-- end -->``, is replaced. Each
comparison is one line of JSON in `--folder`, where networks are made, too: a run may be stopped after `--seconds` or by
hand, and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skimage.data
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import numpyvgg
from numpyvgg import read_onnx
from numpyvgg.errors import NumpyVggError
from numpyvgg.files.onnx import Node, OnnxModel
from numpyvgg.kernels.winograd import POINTS as OUR_POINTS
from numpyvgg.kernels.winograd import transforms
from numpyvgg.parity import compare
from numpyvgg.parity.compare import Runtime, _judge_each, own_runtime
from numpyvgg.parity.excuses import _by_strassen, _fft_error, _strassen_error
from numpyvgg.parity.graph import ParityGraph
from numpyvgg.parity.judge import EXPLAINED
from numpyvgg.parity.precision import find_precision, round_to
from numpyvgg.parity.products import Product
from numpyvgg.parity.runtimes import open_runtime
from numpyvgg.parity.selftest import Tested, self_test_records
from numpyvgg.parity.selftest import layers as layers_of
from numpyvgg.vgg.layer import CONFIGURATIONS

Record = dict[str, Any]
RUNTIMES = (
    *("numpyvgg", "onnxruntime", "onnxruntime-extended", "onnxruntime-basic", "onnxruntime-none", "openvino-f32"),
    *("opencv", "opencv-plain", "tract", "mnn", "ncnn", "pytorch", "jax", "onnx.reference"),
)
SIDE = 64
#: What is tried in a network that is given: the whole list takes an hour at full size.
FULL_SIZE = (
    *("float32", "one bias is missing", "weights in float16", "weights in bfloat16"),
    *("factors in TF32", "output x (1 + 1e-4)"),
)


class Records:
    """What was measured, line by line in a file; what is there is not measured again."""

    def __init__(self, path: Path, seconds: float):
        self.path, self.until = path, time.monotonic() + seconds
        lines = path.read_text().splitlines() if path.exists() else []
        self.found: dict[str, Record] = {record["key"]: record for record in map(json.loads, lines)}

    def measure(self, tasks: Iterable[tuple[str, Callable[[], Record]]]) -> list[Record]:
        """The records of these tasks, in their order; those for which there was no time are left out."""
        found = []
        for key, task in tasks:
            if key not in self.found and time.monotonic() < self.until:
                self.found[key] = {"key": key, **task()}
                with self.path.open("a") as file:
                    file.write(json.dumps(self.found[key]) + "\n")
            if key in self.found:
                found.append(self.found[key])
        return found


def markdown(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


# ---------------------------------------------------------------------- network and inputs


def mini_network(path: Path) -> Path:
    """VGG-16 for images of 64 x 64, with a quarter of the channels."""
    rng, nodes, weights, top, channels = np.random.default_rng(0), [], {}, "input", 3

    def add(op_type: str, name: str, *shape: int, **attributes: Any) -> None:
        nonlocal top
        inputs = [top]
        if shape:
            fan_in = math.prod(shape[1:])
            weights[f"{name}_W"] = rng.standard_normal(shape) * math.sqrt(2 / fan_in)
            weights[f"{name}_B"] = rng.standard_normal(shape[0]) * 0.1
            inputs += [f"{name}_W", f"{name}_B"]
        nodes.append(helper.make_node(op_type, inputs, [f"{name}_Y"], name=name, **attributes))
        top = f"{name}_Y"

    for block, convolutions in enumerate(CONFIGURATIONS["D"], 1):
        for i in range(1, convolutions + 1):
            filters = min(2**block * 8, 128)
            add("Conv", f"conv{block}_{i}", filters, channels, 3, 3, kernel_shape=[3, 3], pads=[1] * 4)
            add("Relu", f"relu{block}_{i}")
            channels = filters
        add("MaxPool", f"pool{block}", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten", "flatten")
    for name, inputs, outputs in (("fc6", channels * 4, 256), ("fc7", 256, 256), ("fc8", 256, 101)):
        add("Gemm", name, outputs, inputs, transB=1)
        if name != "fc8":
            add("Relu", f"relu{name[2]}")
    add("Softmax", "prob", axis=1)
    weights["conv1_1_W"] /= 64  # pixels reach 255
    graph = helper.make_graph(
        nodes,
        "mini",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(top, TensorProto.FLOAT, [1, 101])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def inputs(count: int, side: int = SIDE) -> Iterator[tuple[str, np.ndarray]]:
    """Images [1, 3, side, side] of ten kinds in turn."""
    rng, (rows, columns) = np.random.default_rng(0), np.indices((side, side))
    pictures = [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "cat", "rocket", "camera")]
    ones = np.ones((3, side, side))
    for i in range(count):
        strength = rng.uniform(0.1, 255, (3, 1, 1))
        pixel = np.zeros_like(ones)
        pixel[:, rng.integers(side), rng.integers(side)] = strength[:, 0, 0]
        photograph = Image.fromarray(pictures[i // 10 % 5]).convert("RGB").rotate(9 * i).resize((side, side))
        kinds = {
            "noise": rng.integers(0, 256, ones.shape),
            "normal": rng.standard_normal(ones.shape),
            "photograph": np.asarray(photograph)[..., ::-1].transpose(2, 0, 1),
            "constant": strength * ones,
            "checkerboard": strength * ((rows + columns) % 2),
            "stripes": strength * (columns // (1 + i // 10) % 2),
            "pixel": pixel,
            "denormal": 1e-39 * rng.standard_normal(ones.shape),
            "huge": 1e30 * rng.standard_normal(ones.shape),
            "corner": strength * ((rows < side // 4) & (columns < side // 4)),
        }
        kind = list(kinds)[i % len(kinds)]
        yield f"{kind} {i}", kinds[kind][None].astype(np.float32)


# ---------------------------------------------------------------------- correct runtimes


def runtimes(records: Records, folder: Path, count: int) -> str:
    """Each runtime's layers on each input, and for one of each kind of input the output alone."""
    path = folder / "mini.onnx"
    if not path.exists():
        mini_network(path)
    model, images = read_onnx(path), dict(inputs(count))
    rows = []
    for name in RUNTIMES:
        run = own_runtime(model) if name == "numpyvgg" else _opened_once(name, model)

        def output(x: np.ndarray, run: Runtime = run) -> Any:
            tensors: Any = run(x)
            return tensors["prob_Y"]

        found = records.measure((f"{name}, {key}", _comparing(model, x, run)) for key, x in images.items())
        alone = records.measure(
            (f"{name}, {key}, output alone", _comparing(model, images[key], output)) for key in list(images)[:10]
        )
        if found:
            rows.append(_runtime_row(name, found, alone))
    header = ["runtime", "inputs", "explained", "largest probable", "usual", "of a channel", "outputs alone", "spreads"]
    return markdown(header, rows)


def _comparing(model: Any, x: np.ndarray, run: Runtime) -> Callable[[], Record]:
    def task() -> Record:
        theirs = run(x)
        parity = compare(model, x, lambda x: theirs, ours=lambda x: theirs)
        sums = [layer.judgement.sums for layer in parity.layers if layer.judgement.sums]
        return {
            "verdict": parity.verdict,
            "verdicts": sorted({layer.judgement.verdict for layer in parity.layers}),
            "not explained": [f"{layer.name}: {layer.verdict}" for layer in parity.layers if not layer.explained],
            "probable": max(layer.probable for layer in parity.layers),
            "usual": max((each.usual for each in sums), default=0.0),
            "of_channel": max((each.of_channel for each in sums), default=0.0),
            "drift": parity.layers[-1].judgement.drift,
            "relative": parity.layers[-1].theirs.relative,
        }

    return task


def _runtime_row(name: str, found: list[Record], alone: list[Record]) -> list[object]:
    explained, of_outputs = (sum(each["verdict"] == "explained" for each in some) for some in (found, alone))
    largest = [f"{max(each[key] for each in found):.2g}" for key in ("probable", "usual", "of_channel")]
    if not alone:
        return [name, len(found), explained, *largest, "-", "-"]
    spread = max(each["drift"] for each in alone)
    return [name, len(found), explained, *largest, f"{of_outputs} of {len(alone)}", f"{spread:.2g}"]


# ---------------------------------------------------------------------- the tests of sums


def sums(records: Records, folder: Path, count: int) -> str:
    """How many layers of correct runtimes the tests of sums would accuse, and how many an excuse was needed for."""
    path = folder / "mini.onnx"
    if not path.exists():
        mini_network(path)
    model, images, rows = read_onnx(path), dict(inputs(count)), []
    for name in RUNTIMES[1:]:
        run = _opened_once(name, model)
        found = records.measure((f"{name}, {key}", _looking_at_sums(model, x, run)) for key, x in images.items())
        if found:
            layers, beyond, accused = (sum(each[key] for each in found) for key in ("layers", "beyond", "accused"))
            largest = [f"{max(each[key] for each in found):.2g}" for key in ("usual", "of_channel")]
            rows.append([name, len(found), layers, beyond, accused, *largest])
    return markdown(["runtime", "inputs", "layers", "beyond", "accused", "usual", "of a channel"], rows)


def _opened_once(name: str, model: OnnxModel) -> Runtime:
    opened: list[Runtime] = []

    def run(x: Any) -> Any:
        if not opened:
            opened.append(open_runtime(name, model, x))
        return opened[0](x)

    return run


def _looking_at_sums(model: OnnxModel, x: np.ndarray, run: Runtime) -> Callable[[], Record]:
    def task() -> Record:
        graph = ParityGraph(model)
        judged = _judge_each(graph, graph.feed(x), graph.named(run(x)), find_precision("float32"))
        found = [judgement for _, judgement in judged if judgement.sums]
        both = [(each.sums.usual, each.sums.of_channel) for each in found if each.sums]
        return {
            "layers": len(found),
            "beyond": sum(max(pair) > 1 for pair in both),
            "accused": sum(each.failed for each in found),
            "usual": max((usual for usual, _ in both), default=0.0),
            "of_channel": max((of_channel for _, of_channel in both), default=0.0),
        }

    return task


# ---------------------------------------------------------------------- faults


def faults(records: Records, folder: Path, model: Path | None, photograph: Path | None) -> str:
    """In how many layers each of the self-test's results was judged rightly, and in which it was not."""
    path = model or folder / "mini.onnx"
    if not path.exists():
        mini_network(path)
    key, shape = f"{path.name}, {photograph}", read_onnx(path).inputs[0].shape
    assert shape is not None
    side = int(shape[2] or 0)
    picture = Image.open(photograph) if photograph else Image.fromarray(skimage.data.astronaut())
    x = np.asarray(picture.convert("RGB").resize((side, side)), np.float32)[..., ::-1].transpose(2, 0, 1)[None]
    tried: list[Record] = []
    for layer in layers_of(path, np.ascontiguousarray(x)):
        possible = [what for what in layer.kinds if model is None or what in FULL_SIZE]
        tasks = [(f"{key}, {layer.name}, {what}", _attempting(layer, what)) for what in possible]
        tried += [each for record in records.measure(tasks) for each in record["tried"]]
    kinds = dict.fromkeys(each["what"] for each in tried)
    rows = []
    for kind in kinds:
        some = [each for each in tried if each["what"] == kind]
        missed = [each["layer"] for each in some if each["seen"] is each["correct"]]
        rows.append([kind, len(some), len(some) - len(missed), ", ".join(missed) or "-"])
    return markdown(["what", "layers", "right", "not"], rows)


def _attempting(layer: Tested, what: str) -> Callable[[], Record]:
    def task() -> Record:
        tried = layer.attempt(what)
        return {"tried": self_test_records([tried] if tried else [])}

    return task


# ---------------------------------------------------------------------- Winograd

_SQRT2 = math.sqrt(2)
#: library -> its points, but for infinity
POINTS = {
    "ncnn F(2x2)": (0, 1, -1),
    "ncnn F(4x4)": (0, _SQRT2 / 2, -_SQRT2 / 2, _SQRT2, -_SQRT2),
    "ncnn, OpenCV F(6x6)": (0, 1, -1, 2, -2, 0.5, -0.5),
    "MNN F(6x6)": (0, 0.5, -0.5, 1, -1, 1.5, -1.5),
    "numpyvgg F(4x4)": OUR_POINTS,
}
BITS = (24, 18, 13, 11, 10, 8)


def winograd_conv(x: np.ndarray, weight: np.ndarray, points: tuple[float, ...], bits: int) -> np.ndarray:
    """A 3x3 convolution with pads of 1 by F(m x m, 3 x 3) in float32, both factors of its products rounded."""
    at, g, bt = (matrix.astype(np.float32) for matrix in transforms(points))
    m, (n, channels, height, width) = len(points) - 1, x.shape
    rows, columns = -(-height // m), -(-width // m)
    padded = np.pad(x, ((0, 0), (0, 0), (1, rows * m + 1 - height), (1, columns * m + 1 - width)))
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (m + 2, m + 2), axis=(2, 3))[:, :, ::m, ::m]
    d = bt @ tiles.transpose(0, 2, 3, 1, 4, 5).reshape(-1, channels, m + 2, m + 2) @ bt.T
    d, filters = (round_to(factor, bits).astype(np.float32) for factor in (d, g @ weight @ g.T))
    products = d.transpose(2, 3, 0, 1) @ filters.transpose(2, 3, 1, 0)
    y = (at @ products.transpose(2, 3, 0, 1) @ at.T).reshape(n, rows, columns, -1, m, m)
    return y.transpose(0, 3, 1, 4, 2, 5).reshape(n, -1, rows * m, columns * m)[:, :, :height, :width]


def layers() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Inputs and filters of 3x3 convolutions: of noise, of what a ReLU leaves, and of a photograph's pixels."""
    rng = np.random.default_rng(0)
    for channels, size in ((3, 56), (16, 28), (64, 28), (256, 14)):
        noise = rng.standard_normal((1, channels, size, size)).astype(np.float32)
        pixels = skimage.data.astronaut()[:size, :size].transpose(2, 0, 1)[None]
        photograph = np.repeat(pixels, -(-channels // 3), axis=1)[:, :channels].astype(np.float32)
        weight = (rng.standard_normal((16, channels, 3, 3)) * math.sqrt(2 / 9 / channels)).astype(np.float32)
        for kind, x in (("noise", noise), ("ReLU", np.maximum(noise, 0)), ("photograph", photograph)):
            yield f"{kind}, {channels} channels", x, weight


def winograd(records: Records, folder: Path) -> str:
    """How many of the layers are explained, for each library's points and each number of bits."""

    def task(x: np.ndarray, weight: np.ndarray, points: tuple[float, ...], bits: int) -> Callable[[], Record]:
        def run() -> Record:
            path = folder / "winograd.onnx"
            path.write_bytes(_convolution(weight, x.shape))
            y = winograd_conv(x, weight, points, bits)
            return {"verdict": compare(path.read_bytes(), x, lambda x: y, ours=lambda x: y).verdict}

        return run

    rows = []
    for name, points in POINTS.items():
        row: list[object] = [name]
        for bits in BITS:
            tasks = [(f"{name}, {bits} bits, {layer}", task(x, w, points, bits)) for layer, x, w in layers()]
            found = [record["verdict"] == "explained" for record in records.measure(tasks)]
            row.append(f"{sum(found)} of {len(found)}")
        rows.append(row)
    return markdown(["kernel", *(f"{bits} bits" for bits in BITS)], rows)


def _convolution(weight: np.ndarray, shape: tuple[int, ...]) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


# ---------------------------------------------------------------------- networks


def networks(records: Records) -> str:
    """How many tensors of the light models and the bundled networks are explained, on noise."""
    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    bundled = Path(numpyvgg.__file__).parent / "models"
    if not bundled.exists():  # a checkout
        bundled = bundled.parents[1] / "models"
    paths = [*sorted(light.glob("light_*.onnx")), *sorted(bundled.glob("*.onnx"))]
    names = ("onnxruntime", "openvino-f32", "tract")
    rows = []
    for path in paths:
        found = [records.measure([(f"{path.stem}, {name}", _judging(path, name))]) for name in names]
        rows.append([path.stem.removeprefix("light_"), *(_said(each[0]) if each else "-" for each in found)])
    return markdown(["network", *names], rows)


def _judging(path: Path, name: str) -> Callable[[], Record]:
    def task() -> Record:
        model = read_onnx(path)
        sizes = enumerate(model.inputs[0].shape or ())
        shape = [size if isinstance(size, int) else 48 if axis > 1 else 1 for axis, size in sizes]
        x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
        graph = ParityGraph(model)
        try:
            theirs = graph.named(open_runtime(name, model, x)(x))
        except NumpyVggError as error:
            return {"refused": str(error)}
        judged = _judge_each(graph, graph.feed(x), theirs, find_precision("float32"))
        verdicts = {tensor: judgement.verdict for tensor, judgement in judged if judgement.verdict != "not exposed"}
        return {"verdicts": verdicts}

    return task


def _said(record: Record) -> str:
    if "refused" in record:
        return "refused"
    verdicts = list(record["verdicts"].values())
    explained = f"{sum(verdict in EXPLAINED for verdict in verdicts)} of {len(verdicts)}"
    others = [f"{verdicts.count(kind)} {kind}" for kind in ("like terms", "fused", "Winograd") if kind in verdicts]
    return f"{explained} ({', '.join(others)})" if others else explained


# ---------------------------------------------------------------------- exponentials


def exponentials(folder: Path) -> str:
    """How far runtimes' exp is from the exact one, in units in the last place: what `bounds.EXP_ULPS` allows for."""
    x = np.linspace(-87, 0, 1 << 20, dtype=np.float32)[None]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Exp", ["x"], ["y"])], "exp", value[:1], value[1:])
    path = folder / "exp.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    model, exact = read_onnx(path), np.exp(x.astype(np.float64))
    rows = []
    for name in ("onnxruntime", "openvino-f32", "tract", "mnn", "onnx.reference"):
        try:
            y: Any = open_runtime(name, model, x)(x)
        except NumpyVggError as error:
            print(error)
            continue
        ulps = np.abs(np.asarray(y["y"], np.float64) - exact) / np.spacing(exact.astype(np.float32))
        rows.append([name, f"{ulps.max():.2f}"])
    return markdown(["runtime", "largest error in ulps"], rows)


# ---------------------------------------------------------------------- FFT and Strassen


def kernels() -> str:
    """Other FFT and Strassen kernels: the largest root mean square error of a filter, as a multiple of the trial's."""
    import scipy.fft

    found: dict[str, float] = {}

    def add(name: str, product: Product, y: np.ndarray, trial: np.ndarray | None) -> None:
        assert trial is not None
        error = product.matrix(y) - product.weight.astype(np.float64) @ product.columns().astype(np.float64)
        found[name] = max(found.get(name, 0.0), float((np.sqrt(np.square(error).mean(axis=1)) / trial).max()))

    for _, x, weight in layers():
        node = Node("Conv", "conv", ["x", "w"], ["y"], {"pads": [1] * 4, "kernel_shape": [3, 3]})
        product = Product(node, [x, weight])
        trial, side = _fft_error(product), x.shape[2]
        for name, size, tile in (
            ("FFT of the image", side + 2, side),
            ("FFT of the next power of two", 1 << (side + 1).bit_length(), side),
            *((f"FFT in tiles of {size}", size, size - 2) for size in (8, 16, 32)),
        ):
            add(name, product, _fft_conv(x, weight, size, tile, scipy.fft), trial)
    for channels, places in ((64, 64), (256, 256), (512, 256)):
        rng = np.random.default_rng(channels)
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((channels, channels), (channels, places)))
        product = Product(Node("MatMul", "product", ["x", "w"], ["y"], {}), [b.T, a.T])
        trial = _strassen_error(product)
        for steps in (1, 2, 3, 4):
            add(f"Strassen, {steps} steps", product, product.output(_strassen(a, b, steps)), trial)
    return markdown(["kernel", "error / trial's"], [[name, f"{ratio:.1f}"] for name, ratio in found.items()])


def _fft_conv(x: np.ndarray, weight: np.ndarray, size: int, tile: int, fft: Any) -> np.ndarray:
    """Convolution by transforms of `size` a side in float32, `tile` outputs at a time."""
    side, channels = x.shape[2], x.shape[1]
    tiles = -(-side // tile)
    padded = np.pad(x, ((0, 0), (0, 0), (1, size + tiles * tile - side), (1, size + tiles * tile - side)))
    taps = np.conj(fft.rfft2(weight, (size, size)))
    y = np.empty((1, len(weight), tiles * tile, tiles * tile), np.float32)
    for top, left in np.ndindex(tiles, tiles):
        rows, columns = slice(top * tile, top * tile + tile + 2), slice(left * tile, left * tile + tile + 2)
        far = fft.rfft2(padded[:, :, rows, columns], (size, size))
        total = sum(far[:, None, c] * taps[None, :, c] for c in range(channels))
        part = fft.irfft2(total, (size, size))[:, :, :tile, :tile]
        y[:, :, top * tile : top * tile + tile, left * tile : left * tile + tile] = part
    return y[:, :, :side, :side]


def _strassen(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    return _by_strassen(a, b, lambda a, b: _strassen(a, b, steps - 1)) if steps else a @ b


def replace_table(page: Path, name: str, table: str) -> None:
    text = page.read_text("utf-8")
    before, after = text.split(f"<!-- {name} -->\n", 1)
    page.write_text(f"{before}<!-- {name} -->\n{table}\n<!-- end -->{after.split('<!-- end -->', 1)[1]}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = ("runtimes", "sums", "faults", "winograd", "networks", "exponentials", "kernels")
    parser.add_argument("table", choices=tables)
    parser.add_argument("model", type=Path, nargs="?", help="faults: of this network instead of a small one")
    parser.add_argument("photograph", type=Path, nargs="?", help="faults: on this photograph")
    parser.add_argument("--folder", type=Path, default=Path("parity-tables"))
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop measuring then; print what is there")
    parser.add_argument("--count", type=int, default=100, help="runtimes, sums: inputs (%(default)s)")
    parser.add_argument("--page", type=Path, help="replace the table there instead of printing it")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    records = Records(args.folder / f"{args.table}.jsonl", args.seconds)
    made: dict[str, Callable[[], str]] = {
        "runtimes": lambda: runtimes(records, args.folder, args.count),
        "sums": lambda: sums(records, args.folder, args.count),
        "faults": lambda: faults(records, args.folder, args.model, args.photograph),
        "winograd": lambda: winograd(records, args.folder),
        "networks": lambda: networks(records),
        "exponentials": lambda: exponentials(args.folder),
        "kernels": kernels,
    }
    if args.page:
        replace_table(args.page, f"{args.table}, full size" if args.model else args.table, made[args.table]())
    else:
        print(made[args.table]())


if __name__ == "__main__":
    main()
