"""Hold the hand-written backward pass to PyTorch's autograd, and print the largest difference of any gradient.

    python tools/check_gradients.py NETWORK [IMAGE]

NETWORK is a name or a path: age-small, gender-small, a VGG network of any size. Every tensor of the graph is compared,
down to the image. PyTorch is too large for the test suite, which holds the same gradients to numerical differences;
this needs `pip install torch`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from numpyvgg.files.onnx import Node
from numpyvgg.graph.graph import Graph
from numpyvgg.photo.estimator import open_estimator
from numpyvgg.photo.images import load_image
from numpyvgg.report.backward import backward
from numpyvgg.report.explanation import seeds
from numpyvgg.text import table

LIMIT = 1e-4


def padded(x: torch.Tensor, node: Node, fill: float = 0.0) -> torch.Tensor:
    """PyTorch pads alike on both sides; ONNX does not have to."""
    top, left, bottom, right = node.attributes.get("pads") or [0, 0, 0, 0]
    return F.pad(x, (left, right, top, bottom), value=fill)


def convolution(node: Node, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    a = node.attributes
    return F.conv2d(padded(x, node), w, b, a.get("strides", [1, 1]), 0, a.get("dilations", [1, 1]), a.get("group", 1))


def gemm(node: Node, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return x @ (w.T if node.attributes.get("transB") else w) + b


def pad(node: Node, x: torch.Tensor, pads: torch.Tensor) -> torch.Tensor:
    ends = zip(pads[: x.ndim].tolist(), pads[x.ndim :].tolist(), strict=True)
    return F.pad(x, [side for both in reversed(list(ends)) for side in both])


def pool(function: Callable[..., torch.Tensor], fill: float) -> Callable[..., torch.Tensor]:
    return lambda node, x: function(
        padded(x, node, fill), node.attributes["kernel_shape"], node.attributes.get("strides", [1, 1])
    )


FORWARD: dict[str, Callable[..., torch.Tensor]] = {
    "Conv": convolution,
    "Gemm": gemm,
    "MatMul": lambda node, x, w: x @ w,
    "Pad": pad,
    "Add": lambda node, a, b: a + b,
    "Mul": lambda node, a, b: a * b,
    "Relu": lambda node, x: F.relu(x),
    "MaxPool": pool(F.max_pool2d, -np.inf),
    "AveragePool": pool(F.avg_pool2d, 0.0),
    "GlobalAveragePool": lambda node, x: x.mean(dim=(2, 3), keepdim=True),
    "BatchNormalization": lambda node, x, scale, shift, mean, var: F.batch_norm(
        x, mean, var, scale, shift, eps=node.attributes.get("epsilon", 1e-5)
    ),
    "Flatten": lambda node, x: x.flatten(1),
    "Reshape": lambda node, x, shape: x.reshape(shape.tolist()),
    "Dropout": lambda node, x, *rest: x,
    "Softmax": lambda node, x: F.softmax(x, dim=1),
}


def forward(graph: Graph, feed: dict[str, np.ndarray]) -> dict[str, Any]:
    """Every tensor that is computed, by PyTorch."""
    values: dict[str, Any] = {name: torch.tensor(value, requires_grad=True) for name, value in feed.items()}
    for node in graph.nodes:
        if node.op_type == "Constant" or graph.is_fixed(node.outputs[0]):
            continue
        inputs = [values[n] if n in values else torch.tensor(np.array(graph.constant(n))) for n in node.inputs]
        values[node.outputs[0]] = FORWARD[node.op_type](node, *inputs)
        values[node.outputs[0]].retain_grad()
    return values


def main() -> int:
    """Print a table; the exit code says whether every difference is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("image", nargs="?")
    args = parser.parse_args()
    image = load_image(args.image or (resources.files("numpyvgg") / "data" / "eileen_collins.jpg").read_bytes())
    network = open_estimator(args.network)
    x = network.tensors(image)[:1]
    graph, feed = Graph(network.model), {network.model.inputs[0].name: x}
    tensors = forward(graph, feed)
    # Both go back from the same values: rounding would put a few ReLUs near zero on different sides.
    values = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    ((begin, seed),) = seeds(network, values, network.network(x)).items()
    ours = backward(graph, values, {begin: seed}, feed)
    tensors[begin].backward(torch.tensor(seed))
    theirs = {name: tensor.grad.numpy() for name, tensor in tensors.items() if tensor.grad is not None}
    rows, worst = [], 0.0
    for name, gradient in ours.items():
        difference = float(np.abs(gradient - theirs[name]).max() / max(np.abs(theirs[name]).max(), 1e-30))
        worst = max(worst, difference)
        rows.append([name, "x".join(map(str, gradient.shape)), f"{difference:.1e}"])
    print(table(["gradient of", "shape", "largest difference / largest gradient"], rows, "<<>"))
    print(f"PyTorch {torch.__version__}, {len(rows)} gradients: {worst:.1e}, limit {LIMIT:.0e}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
