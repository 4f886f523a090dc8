"""Any network that takes an image and gives a row of numbers, whatever its layers: run by a session.

`VGG` knows its network's structure and is the faster one; this is for the others, and for VGG networks that a converter
wrote in a way that `vgg.recognise` turns away (a mean subtracted in the graph, float16, channels last).
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from ..errors import UnsupportedModelError
from ..files.onnx import Node, OnnxModel
from ..layers import softmax
from ..session import InferenceSession, SessionOptions

#: Operators that change no number, or only its type: what stands before them decides what they give
_PASSING_ON = (
    *("Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Dropout"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
)
_ARITHMETIC = ("Sub", "Add", "Mul", "Div", "BatchNormalization")
_SIZE = 224  # where the file leaves height and width open


class SessionClassifier:
    """A network of one image input and one output, as `VGG` is called: images in, a row of numbers for each out.

    Attributes
    ----------
    structure : str
        Empty: what it is made of is not known.
    input_shape : tuple of int
        (3, H, W), whichever way round the file has it.
    open_size : bool
        Whether the file leaves height and width open.
    classes : int
    independent : bool
        Whether the outputs are probabilities each by itself (sigmoids), which need not sum to 1.
    in_graph : str
        The arithmetic that the graph does to its input before the first layer.

    Raises
    ------
    UnsupportedModelError
        It has other inputs and outputs, or operators that are not available.
    """

    structure = ""

    def __init__(self, model: OnnxModel, conv: str = "im2col", threads: int | None = None):
        self._path = model.path
        options = SessionOptions()
        options.add_session_config_entry("numpyvgg.conv", conv)
        options.intra_op_num_threads = threads or 0
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            self._refuse(f"{len(model.inputs)} inputs and {len(model.outputs)} outputs")
        value = model.inputs[0]
        shape = value.shape or ()
        if len(shape) != 4 or value.dtype is None or 3 not in (shape[1], shape[3]):
            self._refuse(f"its input {value.name!r} has shape {list(shape)}, not [N, 3, H, W] or [N, H, W, 3]")
        self._session = InferenceSession(model, options)
        self._input, self._dtype, self._channels_last = value.name, value.dtype, shape[1] != 3
        self._batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        height, width = shape[1:3] if self._channels_last else shape[2:]
        self.open_size = not all(isinstance(side, int) and side > 0 for side in (height, width))
        self.input_shape = (3, _SIZE, _SIZE) if self.open_size else (3, int(height), int(width))  # type: ignore[arg-type]
        self._ends, _ = scores(model)
        self.independent = self._ends == "Sigmoid"
        self.in_graph = _arithmetic_at_the_head(model)
        self.classes = self._count_classes(model.outputs[0].shape)

    def _refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModelError(
            f"{self._path}: not a network that takes one image and gives one row of numbers: {reason}; run it with "
            "numpyvgg.InferenceSession"
        )

    def _count_classes(self, shape: tuple[int | str | None, ...] | None) -> int:
        """The number of outputs for one image, from the file or, where it does not say, from a run."""
        sizes = [size for size in (shape or (None, None))[1:] if size != 1]
        if shape and not sizes:
            return 1
        if len(sizes) == 1 and isinstance(sizes[0], int) and sizes[0] > 0:
            return sizes[0]
        return self(np.zeros((1, *self.input_shape), np.float32)).shape[1]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Run the network.

        Parameters
        ----------
        x : ndarray, float32 [N, 3, H, W]

        Returns
        -------
        ndarray, float32 [N, classes]
            Probabilities: where the graph ends with the scores, the softmax is applied all the same. Of a network with
            one output, its numbers.
        """
        batch = self._batch or len(x)
        outputs = np.concatenate([self._run(x[first : first + batch]) for first in range(0, len(x), batch)])
        if outputs.shape[1] == 1 or self._ends in ("Softmax", "Sigmoid"):
            return outputs
        return np.exp(outputs) if self._ends == "LogSoftmax" else softmax(outputs, axis=1)

    def feed(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """What the session is given for images: a batch that is too small for the file is filled up with its last."""
        if self._batch and len(x) < self._batch:
            x = np.concatenate([x, np.repeat(x[-1:], self._batch - len(x), axis=0)])
        if self._channels_last:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        return {self._input: x.astype(self._dtype, copy=False)}

    def _run(self, x: np.ndarray) -> np.ndarray:
        """One run of the session."""
        feed = self.feed(x)
        count = len(feed[self._input])
        (outputs,) = self._session.run(None, feed)
        if outputs.size % count or outputs.ndim < 1 or outputs.size != max(outputs.shape[1:], default=1) * count:
            self._refuse(f"it gives {list(outputs.shape)} for {count} images")
        return outputs.reshape(count, -1)[: len(x)].astype(np.float32)


def scores(model: OnnxModel) -> tuple[str, str]:
    """The operator that makes a model's last numbers (``Softmax`` however it is written), and the tensor it reads.

    Where that is none of Softmax, LogSoftmax and Sigmoid, the tensor is the model's output.
    """
    last = _producer(model)
    if last is not None and _is_softmax(model, last):
        exponential = {name: node for node in model.nodes for name in node.outputs}.get(last.inputs[0])
        return "Softmax", exponential.inputs[0] if last.op_type == "Div" and exponential else last.inputs[0]
    if last is not None and last.op_type in ("LogSoftmax", "Sigmoid"):
        return last.op_type, last.inputs[0]
    return last.op_type if last else "", model.outputs[0].name


def _producer(model: OnnxModel) -> Node | None:
    """The node that decides what the numbers of the output are."""
    producers = {name: node for node in model.nodes for name in node.outputs}
    node = producers.get(model.outputs[0].name)
    while node is not None and node.op_type in _PASSING_ON:
        node = producers.get(node.inputs[0])
    return node


def _is_softmax(model: OnnxModel, node: Node) -> bool:
    """Whether a node is a Softmax, or the last step of one written out: exp(x) / sum(exp(x))."""
    if node.op_type != "Div":
        return node.op_type == "Softmax"
    producers = {name: each for each in model.nodes for name in each.outputs}
    above, below = (producers.get(name) for name in node.inputs)
    return (above is not None and above.op_type == "Exp") and (below is not None and below.op_type == "ReduceSum")


def _arithmetic_at_the_head(model: OnnxModel) -> str:
    """The operators that change the input's numbers before the first layer: a mean, a scale."""
    consumers: dict[str, list[Node]] = {}
    for node in model.nodes:
        for name in node.inputs:
            consumers.setdefault(name, []).append(node)
    found, tensor = [], model.inputs[0].name
    while len(following := consumers.get(tensor, [])) == 1 and following[0].op_type in _PASSING_ON + _ARITHMETIC:
        node, tensor = following[0], following[0].outputs[0]
        found += [node.op_type] if node.op_type in _ARITHMETIC else []
    return " and ".join(found)
