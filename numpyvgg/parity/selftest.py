"""What the judge would see in a network: known faults made in each of its layers, and judged.

A layer gets its inputs from our own float32 pass. What it makes of them, correctly in two orders of its sums and with
one fault at a time, is judged as if a runtime had exposed it. Layers are judged one by one by their own inputs, so this
takes no runtime, and one pass of the network.

**Which faults must be seen.** A layer says how far off one channel's mean may be without being seen (`sums.Limits`,
`shift`). Errors of that root mean square in all channels are seen, too: the limit of a mean over at most 64 places is
never below that of all errors together. So a fault must be seen that moves one channel's mean or, in root mean square,
all outputs by more than `MARGIN` times that. A smaller one may be missed, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..files.onnx import Node, OnnxModel, read_onnx
from ..text import progress_bar, table
from .compare import ModelLike
from .graph import ParityGraph
from .judge import Judgement, judge_numbers
from .layer import Input, Layer, Value, as_dtype, evaluate, root_mean_square
from .operations import forward, operation
from .precision import PRECISIONS, round_to
from .products import Product, as_product
from .winograd import FREEDOM

#: The stated limit is the median over channels, and a channel may be excused as a Winograd kernel's.
MARGIN = FREEDOM


@dataclass(frozen=True)
class Trial:
    """A layer that multiplies: its matrices in float32, from which its output is made again with a fault."""

    node: Node
    inputs: list[np.ndarray | None]
    product: Product
    columns: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        return self.product.weight

    @property
    def taps(self) -> int:
        """Weights of a filter to each input channel."""
        return int(np.prod(self.product.kernel)) if self.product.conv else 1

    def made(
        self, weight: np.ndarray | None = None, columns: np.ndarray | None = None, bias: np.ndarray | None = None
    ) -> np.ndarray:
        """The output with some of the factors replaced."""
        weight, columns = (self.weight if weight is None else weight), (self.columns if columns is None else columns)
        matrix = weight.astype(np.float32, copy=False) @ columns
        bias = self.product.bias if bias is None else bias
        return self.product.output(matrix if bias is None else matrix + bias[:, None])

    def rounded(self, bits: int, inputs: bool) -> np.ndarray:
        """The output with weights, and perhaps inputs, rounded to so many bits."""
        columns = self.columns
        if inputs:
            x = round_to(np.asarray(self.inputs[0]), bits).astype(np.float32)
            again = as_product(self.node, [x, *self.inputs[1:]])
            assert again is not None
            columns = again.columns()
        return self.made(round_to(self.weight, bits), columns)


# ---------------------------------------------------------------------- what is tried


def _terms_reversed(trial: Trial) -> np.ndarray:
    return trial.made(trial.weight[:, ::-1], trial.columns[::-1])


def _one_bias_missing(trial: Trial) -> np.ndarray | None:
    if trial.product.bias is None:
        return None
    bias = trial.product.bias.copy()
    bias[_median(bias)] = 0
    return trial.made(bias=bias)


def _one_weight_off(trial: Trial) -> np.ndarray:
    """A weight of median size, where inputs are of mean size."""
    weight, sizes = trial.weight.copy(), np.abs(trial.columns).mean(axis=1)
    k = int(np.abs(sizes - sizes.mean()).argmin())
    weight[_median(weight[:, k]), k] *= np.float32(1 + 1e-3)
    return trial.made(weight)


def _median(array: np.ndarray) -> int:
    """Where the value of median size lies."""
    return int(np.argsort(np.abs(array))[len(array) // 2])


def _by_brightness(trial: Trial) -> np.ndarray:
    """The rows of each input channel, the channels in the order of their mean size.  [C, taps]"""
    rows = np.arange(len(trial.columns)).reshape(-1, trial.taps)
    return rows[np.argsort(np.abs(trial.columns).mean(axis=1)[rows].sum(axis=1))]


def _channel_skipped(trial: Trial) -> np.ndarray:
    weight = trial.weight.copy()
    weight[:, _by_brightness(trial)[-1]] = 0
    return trial.made(weight)


def _channels_swapped(trial: Trial) -> np.ndarray:
    columns, channels = trial.columns.copy(), _by_brightness(trial)
    columns[channels[[0, -1]]] = columns[channels[[-1, 0]]]
    return trial.made(columns=columns)


def _filters_flipped(trial: Trial) -> np.ndarray | None:
    flipped = trial.weight.reshape(len(trial.weight), -1, trial.taps)[:, :, ::-1]
    return trial.made(flipped.reshape(trial.weight.shape)) if trial.taps > 1 else None


def _pixels_shifted(trial: Trial) -> np.ndarray | None:
    return trial.made(columns=np.roll(trial.columns, 1, axis=1)) if trial.product.places > 1 else None


def _sums_in_float16(trial: Trial) -> np.ndarray:
    """Products of eight terms at a time, added up in float16."""
    total = np.zeros((len(trial.weight), trial.product.places), np.float16)
    for start in range(0, len(trial.columns), 8):
        terms = slice(start, start + 8)
        total = (total + trial.weight[:, terms] @ trial.columns[terms]).astype(np.float16)
    bias = trial.product.bias
    return trial.product.output(total.astype(np.float32) + (0 if bias is None else bias[:, None]))


#: Correct results, and faults of layers that multiply: what is said -> the output, None where there is no such thing.
CORRECT: dict[str, Callable[[Trial], np.ndarray | None]] = {"float32, terms reversed": _terms_reversed}
OF_PRODUCTS: dict[str, Callable[[Trial], np.ndarray | None]] = {
    "one bias is missing": _one_bias_missing,
    "one weight x (1 + 1e-3)": _one_weight_off,
    "one input channel is skipped": _channel_skipped,
    "two input channels are swapped": _channels_swapped,
    "filters are flipped": _filters_flipped,
    "pixels are shifted by one": _pixels_shifted,
    "weights in float16": lambda trial: trial.rounded(11, inputs=False),
    "weights in bfloat16": lambda trial: trial.rounded(8, inputs=False),
    "factors of 16 bits": lambda trial: trial.rounded(16, inputs=True),
    "factors in TF32": lambda trial: trial.rounded(11, inputs=True),
    "factors in bfloat16": lambda trial: trial.rounded(8, inputs=True),
    "sums in float16": _sums_in_float16,
}


def _not_a_number(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y.flat[y.size // 2] = np.nan
    return y


#: Faults of any layer's output.
OF_OUTPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "output x (1 + 1e-5)": lambda y: y * np.float32(1 + 1e-5),
    "output x (1 + 1e-4)": lambda y: y * np.float32(1 + 1e-4),
    "output in bfloat16": lambda y: round_to(y, 8).astype(np.float32),
    "one output is not a number": _not_a_number,
}


# ---------------------------------------------------------------------- trying it


@dataclass(frozen=True)
class Tried:
    """What was made of one layer, and what the judge said.

    Attributes
    ----------
    layer, what : str
    correct : bool
        Whether it is no fault.
    seen : bool
        Whether the judge found it not explained.
    size : float
        Of a fault, in units of what must be seen there; infinite where any must, 0 where nothing is stated.
    judgement : Judgement
    """

    layer: str
    what: str
    correct: bool
    seen: bool
    size: float
    judgement: Judgement

    @property
    def wrong(self) -> bool:
        """Whether the judge is: he accuses what is correct, or misses what he says he would see."""
        return self.seen if self.correct else self.size > 1 and not self.seen


def self_test(model: ModelLike, x: np.ndarray | Mapping[str, np.ndarray]) -> list[Tried]:
    """Make correct results and faults of many kinds in each layer of a network, and judge them.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or OnnxModel
    x : ndarray [1, ...], or a dictionary of them
        One image.
    """
    found = []
    for layer in layers(model, x):
        tried = [layer.attempt(what) for what in layer.kinds]
        found += [each for each in tried if each]
    return found


def layers(model: ModelLike, x: np.ndarray | Mapping[str, np.ndarray]) -> Iterator[Tested]:
    """The layers that can be judged, with our own float32 pass's inputs to them."""
    model = model if isinstance(model, OnnxModel) else read_onnx(model)
    graph = ParityGraph(model)
    values: dict[str, Value] = {name: Value(np.asarray(array, np.float64)) for name, array in graph.feed(x).items()}
    for node in progress_bar(graph.nodes, unit="layer", leave=False):
        given: list[Input] = graph.arguments(node, values)
        op, arrays = operation(model, node), [as_dtype(array, np.float32) for array in given]
        for k, name in graph.outputs(node):
            output = forward(model, node, arrays, k)
            if k == 0 and op.known and not op.moves and output.dtype.kind == "f":
                yield Tested(graph.name(node), model, node, given, output)
            values[name] = Value(output.astype(np.float64) if output.dtype.kind == "f" else output)
        graph.forget(values, node)


@dataclass(frozen=True)
class Tested:
    """A layer, its inputs and its correct output in float32; what takes long is computed when it is asked for."""

    name: str
    model: OnnxModel
    node: Node
    given: list[Input]
    output: np.ndarray

    @cached_property
    def layer(self) -> Layer:
        return evaluate(self.model, self.node, self.given, PRECISIONS["float32"])

    @cached_property
    def plain(self) -> Judgement:
        return judge_numbers(self.layer, self.output.astype(np.float64))

    @cached_property
    def trial(self) -> Trial | None:
        """For layers that multiply."""
        arrays = [as_dtype(array, np.float32) for array in self.given]
        product = as_product(self.node, arrays)
        return Trial(self.node, arrays, product, product.columns()) if product else None

    @property
    def kinds(self) -> list[str]:
        """What can be made of it."""
        return ["float32", *(CORRECT | OF_PRODUCTS if self.trial else ()), *OF_OUTPUTS]

    def attempt(self, what: str) -> Tried | None:
        """Judge the correct output, or one with a fault; None where that makes no difference."""
        if what == "float32":
            return Tried(self.name, what, True, self.plain.failed, 0.0, self.plain)
        if what in OF_OUTPUTS:
            made: np.ndarray | None = OF_OUTPUTS[what](self.output)
        else:
            made = (CORRECT | OF_PRODUCTS)[what](self.trial) if self.trial else None
        if made is None or np.array_equal(made, self.output):
            return None
        judgement = judge_numbers(self.layer, made.astype(np.float64))
        size = 0.0 if what in CORRECT else _size(self.layer, self.plain, made - self.output)
        return Tried(self.name, what, what in CORRECT, judgement.failed, size, judgement)


def _size(layer: Layer, plain: Judgement, change: np.ndarray) -> float:
    """A fault's size in units of what must be seen at the layer."""
    if layer.bound is None or not np.isfinite(change).all():
        return np.inf
    if plain.sums is None:
        return 0.0
    of_channels = np.moveaxis(change, 1 if layer.node.op_type == "Conv" else -1, 0)
    mean = np.abs(of_channels.reshape(len(of_channels), -1).mean(axis=1)).max()
    largest = max(float(mean), root_mean_square(change, change))
    return largest / (MARGIN * plain.sums.limits.shift * root_mean_square(layer.exact, layer.exact))


# ---------------------------------------------------------------------- saying it


def self_test_table(tried: list[Tried]) -> str:
    """One line for each kind of fault, and where it was missed."""
    rows = []
    for what in dict.fromkeys(each.what for each in tried):
        some = [each for each in tried if each.what == what]
        seen, missed = [each for each in some if each.seen], [each for each in some if not each.seen]
        where = [each.layer + ("!" if each.wrong else "") for each in (seen if some[0].correct else missed)]
        rows.append([what, len(some), len(seen), ", ".join(where)])
    wrong = [each for each in tried if each.wrong]
    lines = [table(["what", "layers", "not explained", "accused or missed at"], rows, "<>><"), ""]
    accused = sum(each.correct for each in wrong)
    lines.append(f"correct float32 accused: {accused}; faults missed that must have been seen: {len(wrong) - accused}")
    return "\n".join(lines)


def self_test_records(tried: list[Tried]) -> list[dict[str, object]]:
    """For JSON: one record for each thing that was tried in each layer."""
    return [
        {"layer": each.layer, "what": each.what, "correct": each.correct, "seen": each.seen, "wrong": each.wrong}
        for each in tried
    ]
