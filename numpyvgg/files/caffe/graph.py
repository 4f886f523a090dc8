"""The graph that Caffe's layers become, node by node.

Caffe computes in place: a ReLU reads and writes the blob ``conv1``. In ONNX each tensor is written once, so a blob has
versions here: the first has the blob's name, a later one that of the layer that makes it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from ...errors import ModelFormatError
from ..onnx import Node, ValueInfo
from ..source import Source
from ..tensor import StoredTensor
from .binary import read_blob
from .net import Layer, Net


class Graph:
    """Nodes, initializers and inputs, and which tensor each blob is at the moment (`current`).

    Parameters
    ----------
    net : Net
    """

    def __init__(self, net: Net):
        self.net = net
        self.nodes: list[Node] = []
        self.tensors: dict[str, StoredTensor] = {}
        self.inputs: dict[str, ValueInfo] = {}
        self.current: dict[str, str] = {}
        self._taken: set[str] = set()
        self._named: set[str] = set()
        for name, dims in net.inputs.items():
            self._input(name, dims)

    def _input(self, name: str, dims: list[int]) -> None:
        """An input of the network; Caffe's batch size is but a default, and 0 is no size."""
        shape = ("N", *(dim if dim > 0 else None for dim in dims[1:])) if dims else ("N", None, None, None)
        self.inputs[name] = ValueInfo(name, "float32", shape)
        self.current[name] = name
        self._taken.add(name)

    def _free(self, *names: str) -> str:
        """The first of the names that no tensor has yet."""
        free = next((name for name in names if name and name not in self._taken), "")
        number = 2
        while not free:
            candidate = f"{names[-1]}_{number}"
            free = candidate if candidate not in self._taken else ""
            number += 1
        self._taken.add(free)
        return free

    # ------------------------------------------------------------------ what a layer reads

    def bottom(self, layer: Layer, index: int = 0) -> str:
        """The tensor that a layer's blob is at the moment."""
        if index >= len(layer.bottom):
            raise layer.refuse("it reads no blob" if not index else f"it reads {index} blob, not {index + 1}")
        name = layer.bottom[index]
        if name not in self.current:
            if self.inputs:
                raise ModelFormatError(
                    f"{self.net.source}: layer {layer.name!r} reads {name!r}, which no layer before it makes"
                )
            self._input(name, [])  # saved from a network whose inputs were declared beside its layers
        return self.current[name]

    def bottoms(self, layer: Layer) -> list[str]:
        """The tensors of all blobs that a layer reads; at least one."""
        return [self.bottom(layer, index) for index in range(max(len(layer.bottom), 1))]

    def weight(self, layer: Layer, key: str, index: int, dims: tuple[int | None, ...]) -> str:
        """One of a layer's blobs as an initializer.

        Parameters
        ----------
        key : str
            What it is called: ``conv1_W``.
        index : int
            Which of the blobs it is.
        dims : tuple of int or None
            Its shape; None where the number of values decides. The blob's own shape may have other axes of size 1.
        """
        if index >= len(layer.blobs):
            raise layer.refuse(f"it has {len(layer.blobs)} weight blobs, not {index + 1}")
        name = self._free(f"{layer.name}_{key}")
        blob = read_blob(layer.blobs[index], name)
        held = math.prod(blob.dims)
        known = int(np.prod([dim for dim in dims if dim is not None], dtype=object))
        size = held // known if known and None in dims else 1
        shape = tuple(size if dim is None else dim for dim in dims)
        if size * known != held or not size or not _agree(blob.dims, dims):
            self._misfit(layer, blob, dims)
        self.tensors[name] = replace(blob, dims=shape)
        return name

    def _misfit(self, layer: Layer, blob: StoredTensor, dims: tuple[int | None, ...]) -> NoReturn:
        have = " x ".join(map(str, blob.dims))
        wanted = " x ".join("?" if dim is None else str(dim) for dim in dims)
        other = (
            f" as {self.net.source} says; are they of the same network?" if blob.source.name != self.net.source else ""
        )
        raise ModelFormatError(f"{blob.source.name}: a blob of layer {layer.name!r} is {have}, not {wanted}{other}")

    def values(self, layer: Layer) -> list[np.ndarray]:
        """A layer's blobs as arrays, for what is computed from them once."""
        return [read_blob(blob, layer.name).array().reshape(-1) for blob in layer.blobs]

    def constant(self, layer: Layer, key: str, value: np.ndarray | float) -> str:
        """A number or an array that the layer's parameters stand for, as an initializer."""
        array = np.asarray(value, None if isinstance(value, np.ndarray) else np.float32)
        name = self._free(f"{layer.name}_{key}")
        stored = array.astype(array.dtype.newbyteorder("<"))
        source = Source(f"{self.net.source}: layer {layer.name!r}", stored.tobytes())
        span = (0, stored.nbytes)
        self.tensors[name] = StoredTensor(name, array.shape, stored.dtype, array.dtype, "parameter", source, span)
        return name

    # ------------------------------------------------------------------ what it becomes

    def node(
        self,
        layer: Layer,
        op_type: str,
        inputs: list[str],
        top: int = 0,
        tops: int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> None:
        """The node that makes a layer's blob number `top`, or `tops` of them from there on.

        It has the layer's name; of several the first, and the others those of what they make.
        """
        blobs = [layer.top[i] if i < len(layer.top) else layer.name for i in range(top, top + tops)]
        outputs = [self._free(blob, layer.name) for blob in blobs]
        name = layer.name if layer.name not in self._named else outputs[0]
        self._named.add(name)
        self.nodes.append(Node(op_type, name, inputs, outputs, attributes, domain))
        self.current.update(zip(blobs, outputs, strict=True))

    def helper(self, layer: Layer, op_type: str, inputs: list[str], key: str, **attributes: Any) -> str:
        """A node on the way to the layer's own -> its output."""
        output = self._free(f"{layer.name}_{key}")
        self.nodes.append(Node(op_type, output, inputs, [output], attributes))
        return output


def _agree(stored: tuple[int, ...], dims: tuple[int | None, ...]) -> bool:
    """Whether a blob's own shape, without axes of size 1, has the sizes that are known of it.

    Old files have a matrix as 1 x 1 x M x K; one that is stored with fewer axes is a row of numbers, and fits.
    """
    own, known = [dim for dim in stored if dim != 1], [dim for dim in dims if dim != 1]
    return len(own) != len(known) or all(want in (None, have) for have, want in zip(own, known, strict=True))
