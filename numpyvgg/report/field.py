"""Receptive fields: the input pixels that an output depends on, by every way through the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..files.onnx import Node
from ..graph.graph import Graph
from ..graph.inference import pads_of
from ..operators import resolve_pads


@dataclass(frozen=True)
class ReceptiveField:
    """The stretch of input pixels, along one axis, that one output pixel depends on.

    Attributes
    ----------
    size : int
        Pixels; it may be larger than the image.
    jump : int
        Pixels between the fields of two neighbouring outputs.
    start : float
        Centre of the first output's field, in pixels; pixel 0 runs from 0 to 1.
    """

    size: int = 1
    jump: int = 1
    start: float = 0.5

    def after(self, kernel: int, stride: int, pad: int) -> ReceptiveField:
        """The field one operation further on (Araujo, Norris and Sim, "Computing Receptive Fields", Distill 2019)."""
        return ReceptiveField(
            size=self.size + (kernel - 1) * self.jump,
            jump=self.jump * stride,
            start=self.start + ((kernel - 1) / 2 - pad) * self.jump,
        )

    def joined(self, other: ReceptiveField) -> ReceptiveField | None:
        """The field of a sum of two, from the first pixel of either to the last; None if their jumps differ."""
        if self.jump != other.jump:
            return None
        (first, end), (begin, last) = self.span(0), other.span(0)
        begin, end = min(first, begin), max(end, last)
        return ReceptiveField(round(end - begin), self.jump, (begin + end) / 2)

    def span(self, index: int) -> tuple[float, float]:
        """Where an output's field begins and ends; parts may lie outside the image."""
        centre = self.start + index * self.jump
        return centre - self.size / 2, centre + self.size / 2


Field = tuple[ReceptiveField, ReceptiveField]  # along rows, along columns


def receptive_fields(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Field | None]:
    """The field of each tensor that is computed from the image; None where no rule here tells it.

    Parameters
    ----------
    graph : Graph
    shapes : mapping of str to tuple of int
        Of every tensor that is not fixed, those of the graph's inputs among them.
    """
    fields: dict[str, Field | None] = {value.name: (ReceptiveField(), ReceptiveField()) for value in graph.model.inputs}
    for node in graph.nodes:
        read = [name for name in node.inputs if name in fields]
        if not read:
            continue
        found = _joined([fields[name] for name in read])
        after = _after(graph, node, found, shapes[read[0]], shapes.get(node.outputs[0])) if found else None
        fields.update(dict.fromkeys(filter(None, node.outputs), after))
    return fields


def _joined(fields: Sequence[Field | None]) -> Field | None:
    result = fields[0]
    for field in fields[1:]:
        if result is None or field is None:
            return None
        rows, columns = (a.joined(b) for a, b in zip(result, field, strict=True))
        result = (rows, columns) if rows and columns else None
    return result


def _after(graph: Graph, node: Node, field: Field, shape: tuple[int, ...], out: tuple[int, ...] | None) -> Field | None:
    """The field behind a node that reads a tensor of this field and shape."""
    if len(shape) != 4 or out is None:
        return field
    if node.op_type in ("Conv", "MaxPool", "AveragePool", "LpPool"):
        weight = graph.constant_shape(node.inputs[1]) if node.op_type == "Conv" else None
        kernel_shape = list(weight[2:]) if weight else node.attributes.get("kernel_shape", [])
        return _windowed(node, field, shape, kernel_shape) if len(kernel_shape) == 2 else None
    if node.op_type == "Pad":
        pads = pads_of(graph, node)
        if pads is None or len(pads) != 8:
            return None
        return field[0].after(1, 1, pads[2]), field[1].after(1, 1, pads[3])
    if node.op_type == "Transpose" or tuple(out[2:]) == shape[2:]:
        return field
    if len(out) != 4 or out[2:] == (1, 1):  # everything goes into everything
        return field[0].after(shape[2], 1, 0), field[1].after(shape[3], 1, 0)
    return None


def _windowed(node: Node, field: Field, shape: tuple[int, ...], kernel_shape: Sequence[int]) -> Field:
    strides, dilations = (node.attributes.get(name) or [1, 1] for name in ("strides", "dilations"))
    auto_pad = node.attributes.get("auto_pad", "NOTSET")
    pads = resolve_pads(shape[2:], kernel_shape, strides, node.attributes.get("pads"), dilations, auto_pad)
    spans = [dilation * (kernel - 1) + 1 for kernel, dilation in zip(kernel_shape, dilations, strict=True)]
    rows, columns = (field[i].after(spans[i], strides[i], pads[i]) for i in (0, 1))
    return rows, columns
